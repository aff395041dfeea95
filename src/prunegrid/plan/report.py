"""The plan in words and tables: the grid, every rule's jobs, totals by budget, what stays on disk, what it rests on."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from textwrap import fill

from prunegrid.core.text import byte_size, duration
from prunegrid.experiment import grid
from prunegrid.plan import disk, gpu_rates, gpus, workload
from prunegrid.plan.calibrate import Rates, calibrate, rule_family
from prunegrid.plan.jobs import SHARED, Basis, PlannedJob, jobs
from prunegrid.plan.memory import gpu_peak_mb, peak_mb

REFERENCES = ("zero-shot", "shuffled-responses", "full")


def report(basis: Basis) -> str:
    """All of the plan."""
    all_jobs = jobs(basis)
    level = calibrate(basis.root, all_jobs, basis.experiment.device)
    parts = [
        _grid_line(basis),
        _table(_rule_rows(basis, all_jobs, level), "rule", ["disk", "memory a job", "memory a GPU"]),
        _table(_group_rows(all_jobs, level), "part", []),
        _time_note(basis),
        "\n".join(_retention_lines(basis)),
        "\n".join(_basis_lines(basis, all_jobs, level)),
    ]
    return "\n\n".join(parts)


def _grid_line(basis: Basis) -> str:
    experiment, cells = basis.experiment, grid.cells(basis.experiment)
    factors = {
        "model": len(experiment.models),
        "budget": len(experiment.grid_budgets),
        "variant": len(experiment.variants),
        "seed": len(experiment.seeds),
    }
    product = " x ".join(f"{count} {name}{'s' * (count > 1)}" for name, count in factors.items())
    references = Counter(cell.variant for cell in cells if not cell.budget)
    beside = ", ".join(f"{count} {name}" for name, count in references.items())
    return (
        f"{experiment.experiment} ({experiment.device}): {product} = {sum(cell.pruned for cell in cells)} cells"
        f"{f', and {beside}' if beside else ''}; {len(cells)} x {len(basis.benchmarks)} benchmarks"
    )


def _rule_rows(basis: Basis, all_jobs: list[PlannedJob], level: Rates) -> Iterator[list[str]]:
    experiment, left = basis.experiment, _bytes_by_rule(basis)
    for rule in dict.fromkeys(job.rule for job in all_jobs):
        own = [job for job in all_jobs if job.rule == rule]
        gpu = gpu_peak_mb(rule, experiment, root=basis.root)
        memory = peak_mb(rule, experiment, root=basis.root) * 2**20
        space = byte_size(left[rule_family(rule)]) if rule_family(rule) in left else ""
        yield [rule, *_sums(own, level), space, byte_size(memory), byte_size(gpu * 2**20) if gpu else ""]
    total = sum(left.values())
    yield ["total", *_sums(all_jobs, level), byte_size(total), "", ""]


def _bytes_by_rule(basis: Basis) -> dict[str, int]:
    """What each rule leaves for good, under the experiment's own retention."""
    experiment = basis.experiment
    kept = disk.retained_weight_bytes(basis, experiment.runtime.retention)
    return {
        "model": disk.base_model_bytes(basis),
        "gather_scores": disk.score_bytes(basis),
        "train": kept,
        "evaluate": sum(disk.cell_bytes(basis, cell) for cell in grid.cells(experiment)),
    }


def _group_rows(all_jobs: list[PlannedJob], level: Rates) -> Iterator[list[str]]:
    groups: dict[str, list[PlannedJob]] = defaultdict(list)
    for job in all_jobs:
        groups[job.group].append(job)
    for name in sorted(groups, key=lambda name: (name == SHARED, name in REFERENCES)):
        yield [name, *_sums(groups[name], level)]
    yield ["total", *_sums(all_jobs, level)]


def _sums(own: list[PlannedJob], level: Rates) -> list[str]:
    """Jobs, of which done, time on machines and on GPUs, and what is left of both."""
    to_do = [job for job in own if not job.done]
    gpus = any(job.gpus for job in own)
    times = []
    for some in (own, to_do):
        times.append(duration(sum(level.seconds(job) for job in some)))
        times.append(duration(sum(level.gpu_seconds(job) for job in some)) if gpus else "")
    return [str(len(own)), str(len(own) - len(to_do)), *times]


def _table(rows: Iterator[list[str]], first: str, more: list[str]) -> str:
    head = [first, "jobs", "done", "time", "GPU time", "to do: time", "GPU time ", *more]
    found = list(rows)
    empty = {place for place in range(len(head)) if not any(row[place] for row in found)}
    kept = [place for place in range(len(head)) if place not in empty]
    cut = [[row[place] for place in kept] for row in [head, *found]]
    widths = [max(len(row[column]) for row in cut) for column in range(len(kept))]
    lines = ([cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in cut)
    return "\n".join("  ".join([row[0].strip().ljust(widths[0]), *row[1:]]).rstrip() for row in lines)


def _time_note(basis: Basis) -> str:
    text = (
        "Time is that of jobs one after another; N of them side by side take an N-th, if as many fit on the machines."
    )
    if basis.experiment.device == "cuda":
        ranks = basis.experiment.training.ranks
        text += f"\nGPU time: a training holds {ranks} GPU(s), scoring and evaluation one."
        if (sharers := basis.experiment.runtime.cells_per_gpu) > 1:
            text += (
                f"\n{sharers} jobs of one rank share a GPU. This assumes that each costs its start-up and Python:\n"
                f"1/{sharers} of its time is GPU time, or what it computes at the default rate, if that is longer."
            )
    return text


def _retention_lines(basis: Basis) -> Iterator[str]:
    """What stays of the trained cells, by retention, and what is there meanwhile."""
    experiment = basis.experiment
    cells = [cell for cell in grid.cells(experiment) if cell.trained]
    yield f"Weights kept of {len(cells)} trained cells ({experiment.training.method}), by runtime.retention:"
    for retention in disk.RETENTIONS:
        mark = "   <- this experiment's" if retention == experiment.runtime.retention else ""
        yield f"  {retention:<9} {byte_size(disk.retained_weight_bytes(basis, retention)):>8}{mark}"
    if experiment.training.method == "lora":
        yield f"  ({byte_size(disk.whole_model_bytes(experiment, basis))} if each were kept as a whole model in bf16)"
    largest = max(disk.weight_bytes(basis, model) for model in experiment.models)
    yield (
        f"Meanwhile, each training that runs: {byte_size(disk.checkpoint_bytes(basis))} "
        f"({disk.CHECKPOINTS} checkpoints at most)"
        + ("" if grid.keeps_weights(experiment) else f"; each cell that waits to be evaluated: {byte_size(largest)}")
    )


def _basis_lines(basis: Basis, all_jobs: list[PlannedJob], level: Rates) -> Iterator[str]:
    yield "The estimate rests on:"
    for name, own in basis.sizes.items():
        yield f"  model   {name}: {own.count:,} parameters ({own.how})"
    for name, tokens in basis.tokens.items():
        yield f"  tokens  {name}: {tokens.samples:,} samples, {tokens.total:,} tokens ({tokens.source})"
    items = ", ".join(
        f"{name} {ask.items:,}{'' if ask.known else ' (assumed)'}" for name, ask in basis.benchmarks.items()
    )
    yield f"  items   {items}"
    yield from gpus.gpu_lines(basis.experiment, basis.root)
    rules = list(dict.fromkeys(rule_family(job.rule) for job in all_jobs))
    told = [f"{rule} {level.factors[rule]:.2f} ({level.files[rule]})" for rule in rules if rule in level.factors]
    if told:
        yield _rate_line(f"times the default seconds (by so many benchmark files): {', '.join(told)}")
    if lacking := [rule for rule in rules if rule not in level.factors]:
        cuda = basis.experiment.device == "cuda"
        rate = gpu_rates.description([own.count for own in basis.sizes.values()]) if cuda else workload.CPU
        yield _rate_line(f"defaults ({rate}; a machine may be 2 or 3 times faster or slower): {', '.join(lacking)}")


def _rate_line(text: str) -> str:
    return fill(text, 118, initial_indent="  rates   ", subsequent_indent=" " * 10)
