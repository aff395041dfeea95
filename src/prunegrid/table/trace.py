"""From a number of the table back to the items that it is made of.

    prunegrid trace results/sandbox                                             # every number
    prunegrid trace results/sandbox sandbox-1M/s0.125-t0.5/qtuning/seed0 GSM8K  # one, step by step

Two checks meet in the middle. Scores, averages, deltas and their spread over seeds are computed from the item files by
arithmetic of this module's own, and compared with results.parquet and table.csv. And everything is collected and laid
out once more from the steps' files: results.parquet, deltas.parquet and the table in every format have to say just so.
"""

from collections.abc import Iterator
from math import isclose
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from prunegrid import status
from prunegrid.core import files as io
from prunegrid.core.errors import PrunegridError
from prunegrid.core.text import did_you_mean
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.results import collect
from prunegrid.statistics import deltas
from prunegrid.statistics.paired_items import KEY, read_item_scores
from prunegrid.table import build

TOLERANCE = 1e-9
LISTED = 20
MADE_BY = "table by prunegrid"  # the footer's line that names the code: it may have changed since
Means = dict[tuple[Cell, str], float]


class Traced(NamedTuple):
    """How many numbers were found again, and of how many item values; and the files that say just that."""

    scores: int
    averages: int
    deltas: int
    shown: int
    values: int
    files: list[Path]


def trace_all(directory: Path) -> Traced:
    """Compute every score, average and delta again from the item files, and make every file of the table again.

    Raises `PrunegridError` that names the first number or line that differs, what it should be, and the file.
    """
    files = _as_collected(directory)
    experiment, file = collect.experiment_of(directory), directory / layout.RESULTS
    rows = _rows(directory, experiment)
    if not rows:
        raise PrunegridError(f"{directory}: nothing is evaluated yet, so there is no number to trace; run the workflow")
    means, gaps, values = Means(), Means(), 0
    for (cell, benchmark), row in rows.items():
        if benchmark == collect.AVERAGE:
            means[cell, benchmark] = fmean(means[cell, name] for name in experiment.evaluation.benchmarks)
        else:
            items = read_item_scores(directory, cell, benchmark).rows["value"].to_pylist()
            means[cell, benchmark] = 100 * fmean(items)
            values += len(items)
        _same(file, f"{_name(cell)}, {benchmark}: score", row.score, means[cell, benchmark])
    for (cell, benchmark), row in rows.items():
        base = _base(experiment, cell)
        if base and (base, benchmark) in means:
            gaps[cell, benchmark] = means[cell, benchmark] - means[base, benchmark]
            _same(file, f"{_name(cell)}, {benchmark}: delta", row.delta, gaps[cell, benchmark])
    averages = sum(benchmark == collect.AVERAGE for _, benchmark in rows)
    return Traced(len(rows) - averages, averages, len(gaps), _shown(directory, means, gaps), values, files)


def _as_collected(directory: Path) -> list[Path]:
    """The files that say what is collected now; raises for the first that does not. Other rows' tables too."""
    rows = [path.name.removeprefix("against-") for path in sorted(directory.glob(layout.comparison("*")))]
    files = []
    for against in (None, *rows):
        collected = build.collect(directory, against)
        if against is None:
            _same_frame(directory, directory / layout.RESULTS, collect.read, collected.frame)
            files.append(directory / layout.RESULTS)
        _same_frame(directory, collected.deltas, deltas.read, collected.compared)
        table = build.make_table(collected, status.failures(collected.experiment, directory))
        files.append(collected.deltas)
        for ending, form in build.FORMATS.items():
            _same_text(directory, collected.folder / f"table.{ending}", form(table))
            files.append(collected.folder / f"table.{ending}")
    return files


def _same_frame(directory: Path, path: Path, reader: Any, again: pd.DataFrame) -> None:
    """Whether the file holds these rows, numbers to the last bits."""
    _there(directory, path)
    found, again = reader(path), again.reset_index(drop=True)
    if len(found) != len(again):
        said = f"has {len(found)} rows where the steps' files give {len(again)} now"
        raise PrunegridError(f"{path}: {said}; {_again(directory, path)}")
    for column in again:
        for place, (one, other) in enumerate(zip(found[column], again[column], strict=True)):
            if not _equal(one, other):
                row = found.iloc[place]
                seed = f"/seed{row['seed']}" if pd.notna(row.get("seed")) else ""
                where = f"{row['model']}, {row['variant']}{seed}, {row['benchmark']}: {column}"
                said = f"{where} is {one} where the steps' files give {other} now"
                raise PrunegridError(f"{path}: {said}; {_again(directory, path)}")


def _equal(one: Any, other: Any) -> bool:
    if pd.isna(one) or pd.isna(other):
        return bool(pd.isna(one) and pd.isna(other))
    return one == other or (isinstance(one, float) and isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE))


def _same_text(directory: Path, path: Path, again: str) -> None:
    _there(directory, path)
    ours, theirs = ([line for line in text.splitlines() if MADE_BY not in line] for text in (path.read_text(), again))
    if ours != theirs:
        first = next((n for n, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), len(theirs))
        shown = ours[first].strip()[:80] if first < len(ours) else "nothing more"
        raise PrunegridError(f"{path}: is not what the results give, from {shown!r} on; {_again(directory, path)}")


def _there(directory: Path, path: Path) -> None:
    if not path.exists():
        raise PrunegridError(f"{path}: no such file; {_again(directory, path)}")


def _again(directory: Path, path: Path) -> str:
    other = path.parent.name.partition("against-")[2]
    return f"prunegrid table {directory}{f' --against {other}' if other else ''} writes it again"


def trace_one(directory: Path, cell_name: str, benchmark: str) -> list[str]:
    """Lines that lead from one score to its items, its model and its baseline."""
    experiment = collect.experiment_of(directory)
    rows = _rows(directory, experiment)
    found = {(_name(cell), name): (cell, row) for (cell, name), row in rows.items() if name != collect.AVERAGE}
    cell_name = cell_name.rstrip("/")
    if (cell_name, benchmark) not in found:
        raise PrunegridError(f"{directory}: {_unknown(experiment, cell_name, benchmark)}")
    cell, row = found[cell_name, benchmark]
    answers = read_item_scores(directory, cell, benchmark)
    items, file, chosen = answers.rows.to_pandas(), answers.record.with_suffix(".parquet"), answers.asked["filter"]
    lines = [
        f"{cell_name}, {benchmark}: {row.score:.2f} % in {directory / 'results.parquet'}",
        f"= 100 x {items['value'].sum():g} / {len(items)} items in {file}, filter {chosen}",
        *_made_of(directory, experiment, cell, benchmark),
    ]
    base = _base(experiment, cell)
    if base and (_name(base), benchmark) in found:
        lines += _compared(items, read_item_scores(directory, base, benchmark).rows.to_pandas(), _name(base))
    return lines


def _unknown(experiment: Experiment, cell: str, benchmark: str) -> str:
    """Which of the two names there is not, and what it could have been."""
    known = {
        "cell": [_name(one) for one in grid.cells(experiment)],
        "benchmark": list(experiment.evaluation.benchmarks),
    }
    if benchmark == collect.AVERAGE:
        return f"{benchmark} is the mean of the benchmarks; trace these: {', '.join(known['benchmark'])}"
    for what, name in {"cell": cell, "benchmark": benchmark}.items():
        if name not in known[what]:
            nearest = did_you_mean(name, known[what], count=3, cutoff=0.3)
            return f"there is no {what} {name!r}; {nearest or 'give one such as ' + ' or '.join(known[what][:3])}"
    return f"{cell} has no score on {benchmark}: the table says why; run the workflow"


def _rows(directory: Path, experiment: Experiment) -> dict[tuple[Cell, str], Any]:
    """The rows of results.parquet that are done, by cell and benchmark."""
    path = directory / layout.RESULTS
    _there(directory, path)
    frame = collect.read(path)
    try:
        places = list(collect.done(experiment, frame))
    except KeyError:
        raise PrunegridError(f"{path}: has cells that experiment.json has not; {_again(directory, path)}") from None
    return dict(zip(places, frame[frame["status"] == "done"].itertuples(), strict=True))


def _base(experiment: Experiment, cell: Cell) -> Cell | None:
    """The baseline's cell; none for reference cells and for a baseline itself."""
    against = collect.baselines(experiment).get(cell.variant) if cell.pruned else None
    return Cell(cell.model, against, cell.budget, cell.seed) if against and against != cell.variant else None


def _shown(directory: Path, means: Means, gaps: Means) -> int:
    """How many scores, spreads and deltas table.csv shows: means over seeds of these, and no number beside them."""
    path = directory / layout.table("csv")
    table = pd.read_csv(path, comment="#", dtype={"variant": str})
    expected = {"": _over_seeds(means, fmean), " sd": _over_seeds(means, _spread), " delta": _over_seeds(gaps, fmean)}
    benchmarks = {benchmark for _, benchmark in means}
    count = 0
    for line in table.to_dict("records"):
        budget = None if pd.isna(line["sample_ratio"]) else (line["sample_ratio"], line["token_ratio"])
        for suffix, numbers in expected.items():
            for model in {cell.model for cell, _ in means}:
                for benchmark in benchmarks:
                    shown = line.get(f"{model} {benchmark}{suffix}", np.nan)
                    at = (model, benchmark, line["variant"])
                    mean = numbers.get((*at, budget), numbers.get((*at, None)))
                    count += _one(directory, path, f"{line['variant']}, {model} {benchmark}{suffix}", shown, mean)
    return count


def _one(directory: Path, path: Path, what: str, shown: Any, mean: float | None) -> int:
    """1 for a number that is `mean` with two decimals, 0 where neither has one."""
    number = pd.to_numeric(shown, errors="coerce")
    if mean is None and pd.isna(number):
        return 0
    if mean is None or pd.isna(number) or f"{number:.2f}" != f"{round(mean, 2) + 0:.2f}":
        given = "nothing" if mean is None else f"{mean:.4f}"
        raise PrunegridError(f"{path}: {what} shows {shown}, its items give {given}; {_again(directory, path)}")
    return 1


def _spread(values: list[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None


def _over_seeds(numbers: Means, summed: Any) -> dict[tuple[Any, ...], float | None]:
    """By model, benchmark, variant and budget (None for reference cells)."""
    rows: dict[tuple[Any, ...], list[float]] = {}
    for (cell, benchmark), number in numbers.items():
        budget = cell.budget and (cell.budget.sample_ratio, cell.budget.token_ratio)
        rows.setdefault((cell.model, benchmark, cell.variant, budget), []).append(number)
    return {row: summed(values) for row, values in rows.items()}


def _made_of(directory: Path, experiment: Experiment, cell: Cell, benchmark: str) -> Iterator[str]:
    """The files that the score's record names, on the way back to the data."""
    path = directory / layout.score(cell.name, benchmark)
    record = io.read_json(path)
    yield f"  evaluated: {path}, weights {record['digests']['weights'][:12]}"
    if cell.trained:
        weights = ", model/" if (directory / layout.weights(cell.name)).exists() else ""
        yield f"  trained: {directory / layout.training(cell.name)}{weights}"
    if cell.pruned:
        yield f"  selected: {directory / grid.selection_summary(experiment, cell)}"
        yield f"  scored with: {directory / layout.scores_meta(cell.model)}"
    yield f"  base model: {directory / layout.base_model(cell.model)}, digest {record['digests']['model'][:12]}"


def _compared(items: pd.DataFrame, others: pd.DataFrame, base: str) -> Iterator[str]:
    """The delta, and the items that make it."""
    pairs = items.merge(others, on=KEY, suffixes=("", "_base"), validate="one_to_one")
    gap = 100 * (pairs["value"] - pairs["value_base"])
    score = 100 * others["value"].mean()
    yield f"against {base}: {score:.2f} %, delta {gap.mean():+.2f} points over {len(pairs)} items"
    for word, which in {"better": gap > 0, "worse": gap < 0}.items():
        numbers = pairs.loc[which, "doc_id"].tolist()
        listed = ", ".join(map(str, numbers[:LISTED])) + (", ..." if numbers[LISTED:] else "")
        yield f"  {word} on {len(numbers)}{': doc_id ' + listed if numbers else ''}"
    yield f"  alike on {(gap == 0).sum()}"


def _name(cell: Cell) -> str:
    return f"{cell.model}/{cell.path}"


def _same(path: Path, what: str, recorded: float, again: float) -> None:
    if not abs(recorded - again) < TOLERANCE:
        raise PrunegridError(f"{path}: {what} is {recorded}, its items give {again}; prunegrid table writes it again")
