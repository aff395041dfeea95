"""Sections of what runs no model: selection, reading data, grids, pages."""

from collections.abc import Iterable
from typing import Any

from sections import Measured, Section, count, figures, fixed, listed, over, times

Run = dict[str, Any]


def pruning(m: Measured) -> Section:
    largest = max(run["samples"] for run in m["runs"])
    parts = [
        f"{figures(run['cpu_seconds'])} CPU seconds with {run['method']}"
        for run in m["runs"]
        if run["samples"] == largest
    ]
    budget = " x ".join(f"{100 * ratio:g} %" for ratio in m["ratios"].values())
    claim = f"Pruning {count(largest)} samples to {budget} takes {listed(parts)}{_growth(m['growth_exponent'])}."
    rows = [
        {
            "method": run["method"],
            "samples": count(run["samples"]),
            "response tokens": count(run.get("tokens")),
            "CPU seconds": figures(run["cpu_seconds"]),
            "samples per CPU second": count(run["samples"] / run["cpu_seconds"]),
            "peak memory, MB": count(run["peak_mb"]),
        }
        for run in m["runs"]
    ]
    return Section(claim, rows)


def choosing(m: Measured) -> Section:
    largest = max(run["samples"] for run in m["runs"])
    runs = [run for run in m["runs"] if run["samples"] == largest]
    seconds, peaks = ([run[key] for run in runs] for key in ("cpu_seconds", "peak_mb"))
    claim = (
        f"Choosing 25 % of {count(largest)} sample rows takes {_span(seconds)} CPU seconds and "
        f"{count(min(peaks))} to {count(max(peaks))} MB, by method."
    )
    rows = [
        {
            "method": run["method"],
            "samples": count(run["samples"]),
            "CPU seconds": figures(run["cpu_seconds"]),
            "peak memory, MB": count(run["peak_mb"]),
            "choice file, MB": fixed(run.get("choice_mb")),
            "grows as samples^": fixed(_last(m, run, largest).get("cpu_seconds"), 2),
            "bytes per row": count(_last(m, run, largest).get("bytes_a_row")),
        }
        for run in m["runs"]
    ]
    return Section(claim, rows)


def _last(m: Measured, run: Run, largest: int) -> dict[str, float]:
    """A method's growth, in the row of its largest size."""
    return m["growth"].get(run["method"], {}) if run["samples"] == largest else {}


def diversity(m: Measured) -> Section:
    largest = max(run["samples"] for run in m["runs"])
    parts = [f"{run['method']} {figures(run['cpu_seconds'])}" for run in m["runs"] if run["samples"] == largest]
    growth = _growth(m["growth_exponent"])
    claim = f"Choosing 25 % of {count(largest)} vectors takes, in CPU seconds: {listed(parts)}{growth}."
    if m.get("quality"):
        shown = [f"{times(values['ratio'])} ({name})" for name, values in m["quality"].items()]
        claim += f" At the smallest size blocks of 1,000 multiply the exact choice's measure by {listed(shown)}."
    rows = [
        {
            "method": run["method"],
            "samples": count(run["samples"]),
            "CPU seconds": figures(run["cpu_seconds"]),
            "peak memory, MB": count(run["peak_mb"]),
        }
        for run in m["runs"]
    ]
    return Section(claim, rows)


def _growth(exponents: dict[str, float | None]) -> str:
    known = [f"samples^{value:.2f} ({name})" for name, value in exponents.items() if value is not None]
    return f"; CPU seconds grow as {listed(known)}" if known else ""


def _span(values: list[float]) -> str:
    return f"{figures(min(values))} to {figures(max(values))}"


WAYS = {
    "exact": "`drop_duplicates: true`",
    "near": "`drop_duplicates: near`",
    "contamination": "`contamination`, 1,000 items",
    "datasketch": "datasketch, MinHash and LSH",
    "prunegrid": "prunegrid, row after row",
    "write": "prunegrid, written as `data.parquet`",
    "list": "`[json.loads(line) for line in file]`",
    "datasets": "`datasets.load_dataset`, then each row",
}


def duplicates(m: Measured) -> Section:
    near = {run["rows"]: run for run in m["runs"] if run["way"] == "near"}
    most = max(near)
    planted = most // 10
    claim = (
        f"`drop_duplicates: near` finds {100 * near[most]['left_out'] / planted:.1f} % of {count(planted)} planted "
        f"near duplicates in {count(most)} rows, at {count(1e6 * near[most]['cpu_seconds'] / most)} "
        "CPU microseconds per row."
    )
    other = next((run for run in m["runs"] if run["way"] == "datasketch" and run["rows"] == most), None)
    ratio = f"{times(over(other, near[most], 'cpu_seconds'))} times as fast" if other else ""
    headline = ("near duplicates, against datasketch", ratio) if other else None
    rows = [
        {
            "way": WAYS[run["way"]],
            "rows": count(run["rows"]),
            "CPU seconds": figures(run["cpu_seconds"]),
            "over near's": times(over(run, near.get(run["rows"]), "cpu_seconds")),
            "found": count(run.get("left_out")),
            "peak memory, MB": count(run["peak_mb"]),
        }
        for run in m["runs"]
    ]
    return Section(claim, rows, headline)


def intake(m: Measured) -> Section:
    ours = {run["rows"]: run for run in m["runs"] if run["way"] == "prunegrid"}
    most = max(ours)
    claim = (
        f"prunegrid reads {count(most)} rows of JSON in {figures(ours[most]['cpu_seconds'])} CPU seconds and "
        f"{count(ours[most]['peak_mb'])} MB, which do not grow with the rows."
    )
    library = next((run for run in m["runs"] if run["way"] == "datasets" and run["rows"] == most), None)
    ratio = f"{times(over(library, ours[most], 'cpu_seconds'))} times as fast" if library else ""
    headline = ("reading JSON lines, against datasets.load_dataset", ratio) if library else None
    rows = [
        {
            "way": WAYS[run["way"]],
            "rows": count(run["rows"]),
            "CPU seconds": figures(run["cpu_seconds"]),
            "over prunegrid's": times(over(run, ours.get(run["rows"]), "cpu_seconds")),
            "peak memory, MB": count(run["peak_mb"]),
            "memory over prunegrid's": times(over(run, ours.get(run["rows"]), "peak_mb")),
        }
        for run in m["runs"]
    ]
    return Section(claim, rows, headline)


def dag(m: Measured) -> Section:
    last = m["sizes"][-1]
    claim = (
        f"Snakemake plans a grid of {count(last['cells'])} cells ({count(last['jobs'])} jobs) in "
        f"{figures(last['new'])} CPU seconds and {count(last['new_mb'])} MB, and starts a job of it in "
        f"{figures(last['job'])} CPU seconds."
    )
    rows = [
        {
            "cells": count(row["cells"]),
            "jobs": count(row["jobs"]),
            "dry run, all new, CPU s": figures(row["new"]),
            "dry run, all done": figures(row["done"]),
            "start of a job": figures(row["job"]),
            "start of `collect`": figures(row["collect"]),
            "memory, MB": count(row["new_mb"]),
        }
        for row in m["sizes"]
    ]
    return Section(claim, rows)


def status(m: Measured) -> Section:
    seconds = m["seconds"]
    claim = (
        f"`prunegrid status` looks at {count(m['cells'])} finished cells ({count(m['files'])} files) in "
        f"{figures(seconds['status'])} s, its start included. Collecting their results takes "
        f"{figures(seconds['collect'])} s."
    )
    rows = [
        {"step": name, "seconds": figures(value), "ms a cell": figures(1000 * value / m["cells"])}
        for name, value in seconds.items()
    ]
    return Section(claim, rows)


def startup(m: Measured) -> Section:
    jobs = m["jobs"]
    parts = [f"{figures(phases['overhead'])} s for {name}" for name, phases in jobs.items()]
    claim = f"A job of one sandbox cell spends this much time on overhead, mostly on Python's imports: {listed(parts)}."
    names = ("start", "imports", "load", "work", "exit", "overhead", "cpu")
    rows = [
        {"job": job} | {f"{name}, s": fixed(phases.get(name), 1) for name in names if name in phases}
        for job, phases in jobs.items()
    ]
    return Section(claim, rows)


def report(m: Measured) -> Section:
    sizes = m["bytes"]
    claim = (
        f"`prunegrid report` builds the page of {count(m['cells'])} cells in {figures(m['report_cpu_s'])} CPU seconds; "
        f"`prunegrid table` alone takes {figures(m['table_cpu_s'])}. The page has {fixed(sizes['page'] / 1e6)} MB."
    )
    facts = [
        ("`prunegrid report`, CPU s", figures(m["report_cpu_s"])),
        ("`prunegrid table`, CPU s", figures(m["table_cpu_s"])),
        ("memory, MB", count(m["report_mb"])),
        ("report.html, MB", fixed(sizes["page"] / 1e6)),
        (f"pages next to it ({m['pages_beside']}), MB", fixed(sizes["beside"] / 1e6)),
        *_openings(m.get("opening_s", {})),
    ]
    return Section(claim, [{"what": name, "measured": value} for name, value in facts])


def _openings(opened: dict[str, Iterable[float]]) -> list[tuple[str, str]]:
    shown = {"table": "the table is drawn", "items": "the items of two rows are", "item": "a link's item is shown"}
    return [
        (f"until {shown[name]}: median of 5, s (CPU s of the page)", f"{median:.2f} ({cpu:.2f})")
        for name, (median, _, cpu) in opened.items()
    ]
