"""The columns from Kept to Cost of a finished table, compared with what `measures` recomputes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from prunegrid.core import files
from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.results import collect
from prunegrid.verification.measures import Bounds, Measures
from prunegrid.verification.numbers import TOLERANCE, rebuild_command

RECORDED = {"realised_sample_ratio": "realised.samples", "realised_token_ratio": "realised_token_ratio"}
SHOWN = {"realised samples": "realised_sample_ratio", "realised tokens": "realised_token_ratio"}
WHOLE = {"trained tokens": "trained_tokens", "steps": "steps", "sample passes": "sample_passes"}
WHOLE |= {"end tokens": "end_tokens"}
SHOWN |= WHOLE | {"cost seconds": "cost", "cost GPU-hours": "gpu_hours"}
PLACE = ["model", "variant", "sample_ratio", "token_ratio", "seed"]


class CheckedColumns(NamedTuple):
    """The cells and the numbers of table.csv that follow from the files, and what does not."""

    cells: int
    csv_numbers: int
    problems: list[PrunegridError]


def check_columns(root: Path, experiment: Experiment, shown: bool = True) -> CheckedColumns:
    """Compare Kept, Tokens and Cost of each cell: in its records, in results.parquet, and as means in table.csv.

    A table.csv that is not `shown` as it was written is known to be wrong, and is not read.
    """
    frame = collect.read(root / layout.RESULTS)
    rows = frame.drop_duplicates(PLACE).assign(cost=frame["train_seconds"] + frame["scoring_seconds"])
    rows = rows[rows["seed"].notna() & rows["trained_tokens"].notna()]
    measures, cells = Measures(root, experiment), {_place(cell): cell for cell in grid.cells(experiment)}
    problems: list[PrunegridError] = []
    records: Any = rows.to_dict("records")
    for row in records:
        cell = cells.get(tuple(None if pd.isna(row[key]) else row[key] for key in PLACE))
        try:
            problems += list(_cell_problems(root, experiment, cell, row, measures.columns(cell))) if cell else []
        except PrunegridError as error:
            problems.append(error)
    numbers = list(_shown_numbers(root, rows)) if shown else []
    return CheckedColumns(len(rows), len(numbers), problems + [problem for problem in numbers if problem])


def _cell_problems(
    root: Path, experiment: Experiment, cell: Cell, row: dict[str, Any], columns: dict[str, Bounds]
) -> Iterator[PrunegridError]:
    """The record of each column that does not follow from the other files; else results.parquet where it differs."""
    for column, bounds in columns.items():
        low, high = bounds
        given = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        record = root / _source(experiment, cell, column)
        key = RECORDED.get(column, column)
        is_made = column in WHOLE.values() or (column in RECORDED and cell.pruned)
        recorded = _value(files.read_json(record), key) if is_made else low
        if not _is_within(recorded, bounds):
            problem = f"{key} is {recorded}, but the selection and the scores give {given}"
            yield PrunegridError(record, problem, files.repair(record))
        elif not _is_within(row[column], bounds):
            place = f"{root / layout.RESULTS}: {cell.name}"
            yield PrunegridError(place, f"{column} is {row[column]}, but {record} gives {given}", rebuild_command(root))


def _is_within(value: Any, bounds: Bounds) -> bool:
    slack = TOLERANCE * max(1.0, abs(bounds[1]))
    return isinstance(value, int | float) and bounds[0] - slack <= value <= bounds[1] + slack


def _value(record: Any, key: str) -> Any:
    for part in key.split("."):
        record = record.get(part) if isinstance(record, dict) else None
    return record


def _source(experiment: Experiment, cell: Cell, column: str) -> str:
    """The record that the column was read from."""
    if column.startswith("realised") and cell.pruned:
        return grid.selection_summary(experiment, cell)
    return layout.scores_meta(cell.model) if column == "scoring_seconds" else layout.training(cell.name)


def _place(cell: Cell) -> tuple[Any, ...]:
    ratios = (cell.budget.sample_ratio, cell.budget.token_ratio) if cell.budget else (None, None)
    return (cell.model, cell.variant, *ratios, cell.seed)


def _shown_numbers(root: Path, rows: pd.DataFrame) -> Iterator[PrunegridError | None]:
    """For each number of these columns in table.csv None, or what is wrong with it. Full closes every budget."""
    path = root / layout.table("csv")
    if not path.exists():
        return
    means: Any = rows.groupby(PLACE[:-1], dropna=False)[list(SHOWN.values())].mean()
    by_row: dict[Any, Any] = {
        tuple(None if pd.isna(part) else part for part in key): value for key, value in means.iterrows()
    }
    for line in pd.read_csv(path, dtype={"variant": str}).to_dict("records"):
        for model in rows["model"].unique():
            key = (model, line["variant"], line["sample_ratio"], line["token_ratio"])
            mean = by_row.get(key, by_row.get((*key[:2], None, None)))
            for name, column in SHOWN.items():
                text = line.get(f"{model} {name}")
                if mean is not None and text is not None and not pd.isna(mean[column]):
                    yield _shown_problem(root, path, f"{line['variant']}, {model} {name}", text, float(mean[column]))


def _shown_problem(root: Path, path: Path, place: str, text: Any, mean: float) -> PrunegridError | None:
    expected = round(mean) if place.endswith(tuple(WHOLE)) else mean
    if _is_within(pd.to_numeric(text, errors="coerce"), (expected, expected)):
        return None
    return PrunegridError(f"{path}: {place}", f"shows {text}, but its files give {expected:g}", rebuild_command(root))
