"""From a number of the table back to the items that it is made of, by arithmetic of its own.

    prunegrid trace results/sandbox                                             # every number
    prunegrid trace results/sandbox sandbox-1M/s0.125-t0.5/qtuning/seed0 GSM8K  # one, step by step

Nothing that made the table is used here but the laying out of rows: scores are means of item files, averages means of
scores, deltas their differences.
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import pandas as pd

from prunegrid import grid, io, results
from prunegrid.config import Experiment
from prunegrid.errors import PrunegridError
from prunegrid.grid import Cell
from prunegrid.sections import Budget

TOLERANCE = 1e-9
LISTED = 20
KEY = ["doc_id", "doc_hash"]
Means = dict[tuple[Cell, str], float]


class Traced(NamedTuple):
    """How many numbers were found again, and of how many item values."""

    scores: int
    averages: int
    deltas: int
    shown: int
    values: int


def trace_all(directory: Path) -> Traced:
    """Compute every score, average and delta again from the item files; compare results.parquet and table.csv.

    Raises `PrunegridError` that names the first number that differs, both values and the files.
    """
    experiment, frame = results.experiment_of(directory), _collected(directory)
    file = directory / "results.parquet"
    means, gaps, values = Means(), Means(), 0
    done = list(_done(experiment, frame))
    for cell, benchmark, row in done:
        if benchmark == results.AVERAGE:
            means[cell, benchmark] = fmean(means[cell, name] for name in experiment.evaluation.benchmarks)
        else:
            items = items_of(directory, cell, benchmark)
            means[cell, benchmark] = 100 * fmean(items["value"])
            values += len(items)
        _same(file, f"{_name(cell)}, {benchmark}: score", row.score, means[cell, benchmark])
    for cell, benchmark, row in done:
        base = _base(experiment, cell)
        if base and (base, benchmark) in means:
            gaps[cell, benchmark] = means[cell, benchmark] - means[base, benchmark]
            _same(file, f"{_name(cell)}, {benchmark}: delta", row.delta, gaps[cell, benchmark])
    averages = sum(benchmark == results.AVERAGE for _, benchmark, _ in done)
    return Traced(len(done) - averages, averages, len(gaps), _shown(directory, means, gaps), values)


def trace_one(directory: Path, cell_name: str, benchmark: str) -> list[str]:
    """Lines that lead from one score to its items, its model and its baseline."""
    experiment, frame = results.experiment_of(directory), _collected(directory)
    found = {(_name(cell), name): (cell, row) for cell, name, row in _done(experiment, frame)}
    if (cell_name, benchmark) not in found or benchmark == results.AVERAGE:
        cells, names = sorted({name for name, _ in found}), ", ".join(experiment.evaluation.benchmarks)
        listed = ", ".join(cells[:4]) + (", ..." if cells[4:] else "")
        raise PrunegridError(
            f"{directory}: no score of {cell_name!r} on {benchmark!r}; benchmarks: {names}; cells: {listed}"
        )
    cell, row = found[cell_name, benchmark]
    items = items_of(directory, cell, benchmark)
    lines = [
        f"{cell_name}, {benchmark}: {row.score:.2f} % in {directory / 'results.parquet'}",
        f"= 100 x {items['value'].sum():g} / {len(items)} items in {_item_file(directory, cell, benchmark)}",
        *_made_of(directory, experiment, cell, benchmark),
    ]
    base = _base(experiment, cell)
    if base and (_name(base), benchmark) in found:
        lines += _compared(items, items_of(directory, base, benchmark), _name(base))
    return lines


def items_of(directory: Path, cell: Cell, benchmark: str) -> pd.DataFrame:
    """The items whose mean is the score, checked against the record's digest of the file."""
    file, record = _item_file(directory, cell, benchmark), _record(directory, cell, benchmark)
    if io.sha256(file) != record["items_hash"]:
        raise PrunegridError(
            f"{file}: is not the file that {benchmark}.json beside it was written with; {io.repair(file)}"
        )
    table = io.read_parquet(file, [*KEY, "filter", "value"]).to_pandas()
    return pd.DataFrame(table[table["filter"] == record["filter"]])


def _collected(directory: Path) -> pd.DataFrame:
    """results.parquet as it stands on disk."""
    path = directory / "results.parquet"
    if not path.exists():
        raise PrunegridError(f"{path}: no such file; prunegrid table {directory} writes it")
    return results.read(path)


def _done(experiment: Experiment, frame: pd.DataFrame) -> Iterator[tuple[Cell, str, Any]]:
    """(cell, benchmark, row) of every score of the frame, a cell's average after its benchmarks."""
    at = {(cell.model, cell.path): cell for cell in grid.cells(experiment)}
    budgets = {(b.sample_ratio, b.token_ratio): b for b in experiment.grid_budgets}
    rows: Any = frame[frame["status"] == "done"].itertuples()
    for row in rows:
        budget = None if pd.isna(row.sample_ratio) else budgets[row.sample_ratio, row.token_ratio]
        cell = Cell(row.model, row.variant, budget, None if pd.isna(row.seed) else int(row.seed))
        yield at[cell.model, cell.path], row.benchmark, row


def _base(experiment: Experiment, cell: Cell) -> Cell | None:
    """The baseline's cell; none for reference cells and for a baseline itself."""
    against = results.baselines(experiment).get(cell.variant) if cell.pruned else None
    return Cell(cell.model, against, cell.budget, cell.seed) if against and against != cell.variant else None


def _shown(directory: Path, means: Means, gaps: Means) -> int:
    """How many scores and deltas table.csv shows; each has to be the mean over seeds, with two decimals."""
    path = directory / "table" / "table.csv"
    table = pd.read_csv(path, comment="#", dtype={"variant": str})
    count = 0
    for suffix, numbers in {"": means, " delta": gaps}.items():
        for (model, budget, variant, benchmark), mean in _over_seeds(numbers).items():
            column = f"{model} {benchmark}{suffix}"
            rows = table[table["variant"] == variant]
            if budget:
                rows = rows[(rows["sample_ratio"] == budget.sample_ratio) & (rows["token_ratio"] == budget.token_ratio)]
            for shown in rows[column]:
                if f"{float(shown):.2f}" != f"{round(mean, 2) + 0:.2f}":
                    raise PrunegridError(f"{path}: {variant}, {column} shows {shown}, its items give {mean:.4f}")
                count += 1
    return count


def _over_seeds(numbers: Means) -> dict[tuple[str, Budget | None, str, str], float]:
    rows: dict[tuple[str, Budget | None, str, str], list[float]] = {}
    for (cell, benchmark), number in numbers.items():
        rows.setdefault((cell.model, cell.budget, cell.variant, benchmark), []).append(number)
    return {row: fmean(values) for row, values in rows.items()}


def _made_of(directory: Path, experiment: Experiment, cell: Cell, benchmark: str) -> Iterator[str]:
    """The files that the score's record names, on the way back to the data."""
    record = _record(directory, cell, benchmark)
    weights = record["digests"]["weights"][:12]
    yield f"  evaluated: {_path(directory, 'evaluation', cell)}/{benchmark}.json, weights {weights}"
    if cell.trained:
        yield f"  trained: {_path(directory, 'trained', cell)}/training.json, model/"
    if cell.pruned:
        yield f"  selected: {directory / grid.selection_folder(experiment, cell)}/selection.json"
    yield f"  scored with: {directory / 'scores' / cell.model}/meta.json, base model {record['digests']['model'][:12]}"


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


def _path(directory: Path, step: str, cell: Cell) -> Path:
    return directory / step / cell.model / cell.path


def _item_file(directory: Path, cell: Cell, benchmark: str) -> Path:
    return _path(directory, "evaluation", cell) / f"{benchmark}.parquet"


def _record(directory: Path, cell: Cell, benchmark: str) -> dict[str, Any]:
    record: dict[str, Any] = io.read_json(_path(directory, "evaluation", cell) / f"{benchmark}.json")
    return record


def _same(path: Path, what: str, recorded: float, again: float) -> None:
    if not abs(recorded - again) < TOLERANCE:
        raise PrunegridError(f"{path}: {what} is {recorded}, its items give {again}; prunegrid table writes it again")
