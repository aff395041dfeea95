"""The decomposition of a results folder's ladder."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from prunegrid.core import files
from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import layout
from prunegrid.experiment.locate import read_folder
from prunegrid.results import collect
from prunegrid.statistics.ladder import decompose


def decompose_folder(directory: Path, rows: Sequence[str] | None = None) -> pd.DataFrame:
    """The frame of `statistics.ladder.decompose`; `PrunegridError` for a folder without a ladder or a table.

    `rows`: two of the ladder's rows, instead of those of its gap.
    """
    experiment = read_folder(directory)
    if experiment.ladder is None:
        raise PrunegridError(directory, "has no ladder in its experiment", "run an experiment with the section ladder")
    known = list(experiment.ladder.rows)
    for row in [row for row in rows or [] if row not in known]:
        raise PrunegridError("--gap", f"{row!r} is not a row of the ladder", f"name two of {', '.join(known)}")
    if rows and rows[0] == rows[1]:
        raise PrunegridError("--gap", f"compares {rows[0]} with itself", f"name two of {', '.join(known)}")
    if not (directory / layout.RESULTS).exists():
        raise PrunegridError(directory, f"no {layout.RESULTS} there", f"write it with `prunegrid table {directory}`")
    return decompose(experiment, collect.read(directory / layout.RESULTS), directory, rows)


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """All rows and columns; an empty field is a number that is not known."""
    files.write_text(path, frame.to_csv(index=False))
