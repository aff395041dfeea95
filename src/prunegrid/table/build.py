"""Write an experiment's table: `table.md`, `table.csv`, `table.tex` and `table.html`, all showing the same.

`prunegrid table results/<experiment>` runs `build`; the workflow's last rule and its `onerror` end here too.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from prunegrid import status
from prunegrid.core import files
from prunegrid.experiment import layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.sections import BEST
from prunegrid.results import collect as results
from prunegrid.statistics import deltas
from prunegrid.table import csv, html, latex, markdown, provenance
from prunegrid.table.comparison import contrasts
from prunegrid.table.layout import Failures, Table, lay_out

FORMATS = {"md": markdown.render, "csv": csv.render, "tex": latex.render, "html": html.render}
NO_DELTAS = "No deltas: no row has a score together with what it is compared with."
CHOSEN = "Deltas are against the pair with the highest Avg of its budget, chosen on these very items, which favours it."


@dataclass(frozen=True)
class TableData:
    """What a results folder holds: its results, and their differences from the row `against` (None: the baseline)."""

    directory: Path
    experiment: Experiment
    frame: pd.DataFrame
    compared: pd.DataFrame
    against: str | None = None

    @property
    def folder(self) -> Path:
        return table_folder(self.directory, self.against)

    @property
    def deltas(self) -> Path:
        return (self.folder if self.against else self.directory) / layout.DELTAS


def build(directory: Path, against: str | None = None) -> Table:
    """Collect a results folder by its own `experiment.json`; write `results.parquet`, `deltas.parquet` and `table/`.

    With `against` (`full`, `best`, a variant's name) deltas are against that row, and only `table/against-<name>/` is
    written. Nothing is run: what is not there is shown as missing. Raises `PrunegridError` for a folder without
    `experiment.json`, a damaged file, cells that were not evaluated alike, and an unknown `against`.
    """
    collected = collect(directory, against)
    save(collected)
    table = make_table(collected, status.failures(collected.experiment, directory))
    write(table, collected.folder)
    if against is None:
        rebuild_comparisons(directory)
    return table


def rebuild_comparisons(directory: Path) -> None:
    """Bring the tables against other rows, where there are any, up to the results that are there."""
    for path in sorted(directory.glob(layout.comparison("*"))):
        build(directory, path.name.removeprefix("against-"))


def collect(directory: Path, against: str | None = None) -> TableData:
    """The results of the files that are there, and their differences item by item."""
    experiment = results.experiment_of(directory)
    frame = results.collect(experiment, directory)
    compared = deltas.deltas(frame, directory, contrasts(experiment, frame, against))
    return TableData(directory, experiment, frame, compared, against)


def read(directory: Path) -> TableData:
    """What `save` wrote."""
    frame = results.read(directory / layout.RESULTS)
    return TableData(directory, results.experiment_of(directory), frame, deltas.read(directory / layout.DELTAS))


def save(collected: TableData) -> None:
    """Write `deltas.parquet` and, of the comparison with the baseline, `results.parquet`."""
    if collected.against is None:
        results.write(collected.frame, collected.directory / layout.RESULTS)
    deltas.write(collected.compared, collected.deltas)


def table_folder(directory: Path, against: str | None = None) -> Path:
    """Where `build` writes the table."""
    return directory / (layout.comparison(against) if against else layout.TABLE)


def make_table(collected: TableData, failures: Failures | None = None) -> Table:
    """The table; `failures` (from `status.failures`) become footnotes."""
    experiment, frame = collected.experiment, collected.frame
    return lay_out(
        frame,
        title=f"{experiment.experiment}: fine-tuned on pruned {experiment.dataset.name}",
        note=" ".join(filter(None, (experiment.note, *_remarks(collected)))),
        failures=failures,
        deltas=collected.compared,
        footer=provenance.footer(experiment, collected.directory, frame, collected.compared),
    )


def _remarks(collected: TableData) -> list[str]:
    """What to know of the deltas: that they are against a chosen row, or why there are none."""
    chosen = [CHOSEN] if collected.against == BEST else []
    wanted = contrasts(collected.experiment, collected.frame, collected.against)
    return [*chosen, *([NO_DELTAS] if wanted and collected.compared.empty else [])]


def write(table: Table, out: Path) -> None:
    """Write the table into the folder `out`, in every format."""
    for ending, form in FORMATS.items():
        files.write_text(out / f"table.{ending}", form(table))
