"""Check that every number of a table follows from the steps' files: a part of `prunegrid verify`.

Two checks meet in the middle. Scores, averages, deltas and their spreads over seeds are recomputed from the item files
by plain arithmetic that shares no code with `results` and `statistics`, and compared with `results.parquet` and
`table.csv`. And everything is collected and laid out once more from the steps' files: `results.parquet`,
`deltas.parquet` and the table in each format must come out as they are.
"""

from collections.abc import Callable
from math import isclose
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

import pandas as pd

from prunegrid import status
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_json, repair
from prunegrid.experiment import layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.names import AVERAGE
from prunegrid.results import collect
from prunegrid.statistics import deltas, primary
from prunegrid.statistics.paired_items import read_item_scores
from prunegrid.table import build

TOLERANCE = 1e-9
MADE_BY = "table by prunegrid"  # the footer's line that names the code, which may have changed since
Numbers = dict[tuple[Cell, str], float]
Summary = Callable[[list[float]], float | None]


class Verified(NamedTuple):
    """How many numbers were recomputed, from how many item values; and the files that were regenerated."""

    scores: int
    averages: int
    deltas: int
    csv_numbers: int
    values: int
    files: list[Path]


def verify_table(directory: Path) -> Verified:
    """Recompute every score, average and delta from the item files, and regenerate every file of the table.

    Raises `PrunegridError` at the first number or line that differs, with what it should be.
    """
    files = _verify_files(directory)
    experiment, path = collect.read_folder(directory), directory / layout.RESULTS
    rows = read_done_rows(directory, experiment)
    if not rows:
        raise PrunegridError(directory, "has no finished evaluation, so no number can be verified", "run the workflow")
    means, gaps, n_values = Numbers(), Numbers(), 0
    for (cell, benchmark), row in rows.items():
        if benchmark == AVERAGE:
            means[cell, benchmark] = fmean(means[cell, name] for name in experiment.evaluation.benchmarks)
        else:
            values = read_item_scores(directory, cell, benchmark).rows["value"].to_pylist()
            means[cell, benchmark] = 100 * fmean(values)
            n_values += len(values)
            _check_record(directory, cell, benchmark, means[cell, benchmark])
        _check_number(path, cell, benchmark, "score", row.score, means[cell, benchmark])
    for (cell, benchmark), row in rows.items():
        base = baseline_cell(experiment, cell)
        if base and (base, benchmark) in means:
            gaps[cell, benchmark] = means[cell, benchmark] - means[base, benchmark]
            _check_number(path, cell, benchmark, "delta", row.delta, gaps[cell, benchmark])
    n_averages = sum(benchmark == AVERAGE for _, benchmark in rows)
    n_csv_numbers = _verify_csv(directory, means, gaps)
    return Verified(len(rows) - n_averages, n_averages, len(gaps), n_csv_numbers, n_values, files)


def read_done_rows(directory: Path, experiment: Experiment) -> dict[tuple[Cell, str], Any]:
    """The rows of results.parquet that are done, by cell and benchmark."""
    path = directory / layout.RESULTS
    _check_exists(path, fix := rebuild_command(directory))
    frame = collect.read(path)
    try:
        places = list(collect.done(experiment, frame))
    except KeyError:
        raise PrunegridError(path, "has cells that are not in experiment.json", fix) from None
    return dict(zip(places, frame[frame["status"] == "done"].itertuples(), strict=True))


def baseline_cell(experiment: Experiment, cell: Cell) -> Cell | None:
    """The cell that this one's deltas are against; None for reference cells and for a baseline itself."""
    baseline = collect.baselines(experiment).get(cell.variant) if cell.pruned else None
    return Cell(cell.model, baseline, cell.budget, cell.seed) if baseline and baseline != cell.variant else None


def rebuild_command(directory: Path, baseline: str | None = None) -> str:
    return f"rewrite it with `prunegrid table {directory}{f' --against {baseline}' if baseline else ''}`"


def _check_record(directory: Path, cell: Cell, benchmark: str, recomputed: float) -> None:
    """Whether the score in the record that results.parquet was made from is that of its items."""
    path = directory / layout.score(cell.name, benchmark)
    score = read_json(path)["score"]
    if not abs(score - recomputed) < TOLERANCE:
        raise PrunegridError(path, f"score is {score}, but its items give {recomputed}", repair(path))


def _check_number(path: Path, cell: Cell, benchmark: str, name: str, recorded: float, recomputed: float) -> None:
    if not abs(recorded - recomputed) < TOLERANCE:
        place = f"{path}: {cell.name}, {benchmark}"
        raise PrunegridError(
            place, f"{name} is {recorded}, but its items give {recomputed}", rebuild_command(path.parent)
        )


def _verify_files(directory: Path) -> list[Path]:
    """The files that come out the same when regenerated, tables with other baselines included."""
    names = [path.name.removeprefix("against-") for path in sorted(directory.glob(layout.comparison("*")))]
    files = []
    for baseline in (None, *names):
        data, fix = build.collect(directory, baseline), rebuild_command(directory, baseline)
        if baseline is None:
            _check_frame(directory / layout.RESULTS, collect.read, data.frame, fix)
            files.append(directory / layout.RESULTS)
            if data.experiment.contrasts:
                files.append(directory / layout.CONTRASTS)
                _check_frame(files[-1], primary.read, data.contrasts, fix)
        _check_frame(data.deltas_file, deltas.read, data.deltas, fix)
        files.append(data.deltas_file)
        table = build.make_table(data, status.failures(data.experiment, directory))
        for ending, render in build.FORMATS.items():
            files.append(data.folder / f"table.{ending}")
            _check_text(files[-1], render(table), fix)
    return files


def _check_frame(path: Path, read: Callable[[Path], pd.DataFrame], expected: pd.DataFrame, fix: str) -> None:
    """Raise unless the file holds these rows, with numbers equal but for the last bits."""
    _check_exists(path, fix)
    try:
        frame = read(path)
    except PrunegridError as error:  # damaged, or of a version with other columns
        raise PrunegridError(path, error.what, fix) from None
    if len(frame) != len(expected):
        raise PrunegridError(path, f"has {len(frame)} rows, but the steps' files give {len(expected)}", fix)
    for row, expected_row in zip(frame.to_dict("records"), expected.to_dict("records"), strict=True):
        for column, value in row.items():
            if not _is_equal(value, expected_row[column]):
                raise PrunegridError(
                    f"{path}: {_row_name(row)}",
                    f"{column} is {value}, but the steps' files give {expected_row[column]}",
                    fix,
                )


def _row_name(row: dict[Any, Any]) -> str:
    if "contrast" in row:
        return str(row["contrast"])
    seed = f"/seed{row['seed']}" if pd.notna(row.get("seed")) else ""
    return f"{row['model']}, {row['variant']}{seed}, {row['benchmark']}"


def _is_equal(value: Any, expected: Any) -> bool:
    if pd.isna(value) or pd.isna(expected):
        return bool(pd.isna(value) and pd.isna(expected))
    return value == expected or (
        isinstance(value, float) and isclose(value, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    )


def _check_text(path: Path, expected: str, fix: str) -> None:
    _check_exists(path, fix)
    lines, expected_lines = (
        [line for line in text.splitlines() if MADE_BY not in line]
        for text in (path.read_text(errors="replace"), expected)
    )
    if lines != expected_lines:
        pairs = enumerate(zip(lines, expected_lines, strict=False))
        number = next((n for n, (line, other) in pairs if line != other), min(len(lines), len(expected_lines)))
        text = lines[number].strip()[:80] if number < len(lines) else "end of file"
        raise PrunegridError(path, f"differs from what the results give, from {text!r} on", fix)


def _check_exists(path: Path, fix: str) -> None:
    if not path.exists():
        raise PrunegridError(path, "no such file", fix)


def _verify_csv(directory: Path, means: Numbers, gaps: Numbers) -> int:
    """How many scores, spreads and deltas table.csv shows: means over seeds of these numbers, and no others."""
    path = directory / layout.table("csv")
    table = pd.read_csv(path, dtype={"variant": str})
    expected = {"": _summarise(means, fmean), " sd": _summarise(means, _spread), " delta": _summarise(gaps, fmean)}
    count = 0
    for line in table.to_dict("records"):
        budget = None if pd.isna(line["sample_ratio"]) else (line["sample_ratio"], line["token_ratio"])
        for suffix, numbers in expected.items():
            for model, benchmark in dict.fromkeys((cell.model, name) for cell, name in means):
                column, row = f"{model} {benchmark}{suffix}", (model, benchmark, line["variant"])
                number = numbers.get((*row, budget), numbers.get((*row, None)))  # Full Dataset closes every budget
                if not _is_shown(line.get(column), number):
                    computed = "nothing" if number is None else f"{number:.4f}"
                    message = f"shows {line.get(column)}, but its items give {computed}"
                    place = f"{path}: {line['variant']}, {column}"
                    raise PrunegridError(place, message, rebuild_command(directory))
                count += number is not None
    return count


def _is_shown(text: Any, number: float | None) -> bool:
    """Whether a place of the CSV shows the number with two decimals, or none where there is none."""
    value = pd.to_numeric(text, errors="coerce")
    if number is None or pd.isna(value):
        return number is None and bool(pd.isna(value))
    return f"{value:.2f}" == f"{round(number, 2) + 0:.2f}"  # + 0: no negative zero


def _spread(values: list[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None


def _summarise(numbers: Numbers, summary: Summary) -> dict[tuple[Any, ...], float | None]:
    """By model, benchmark, variant and budget (None for reference cells)."""
    rows: dict[tuple[Any, ...], list[float]] = {}
    for (cell, benchmark), number in numbers.items():
        budget = cell.budget and (cell.budget.sample_ratio, cell.budget.token_ratio)
        rows.setdefault((cell.model, benchmark, cell.variant, budget), []).append(number)
    return {row: summary(values) for row, values in rows.items()}
