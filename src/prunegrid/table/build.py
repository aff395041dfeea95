"""Write an experiment's table as `table.md`, `table.csv`, `table.tex` and `table.html`, which all show the same.

`prunegrid table results/<experiment>` runs `build`, as do the workflow's last rule and its `onerror`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from prunegrid import __version__, status
from prunegrid.core import file_sums, files
from prunegrid.experiment import layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.names import BEST
from prunegrid.experiment.variant import query_readers
from prunegrid.results import collect as results
from prunegrid.statistics import deltas, primary
from prunegrid.table import answers, csv, html, latex, markdown, provenance
from prunegrid.table.comparison import contrasts
from prunegrid.table.labels import Labels
from prunegrid.table.layout import Failures, Table, lay_out

FORMATS = {"md": markdown.render, "csv": csv.render, "tex": latex.render, "html": html.render}
NO_DELTAS = "No deltas: no row has a score together with what it is compared with."
BEST_PAIR = (
    "Deltas are against the pair with the highest Avg of its budget, chosen on these very items, which favours it."
)


@dataclass(frozen=True)
class TableData:
    """A results folder's rows, their deltas from the row `baseline` (None: the experiment's own), its contrasts."""

    directory: Path
    experiment: Experiment
    frame: pd.DataFrame
    deltas: pd.DataFrame
    contrasts: pd.DataFrame
    baseline: str | None = None
    records: Sequence[str] = ()
    """The JSON files that they were made from, relative to `directory`."""

    @property
    def folder(self) -> Path:
        return table_folder(self.directory, self.baseline)

    @property
    def deltas_file(self) -> Path:
        return (self.folder if self.baseline else self.directory) / layout.DELTAS


def build(directory: Path, baseline: str | None = None) -> Table:
    """Collect a results folder by its own `experiment.json`; write `results.parquet`, `deltas.parquet` and `table/`.

    With `baseline` (`full`, `best`, a variant's name) deltas are against that row, and only `table/against-<name>/` is
    written. No step is run: what does not exist is shown as missing. Raises `PrunegridError` for a folder without
    `experiment.json`, a damaged file, cells that were evaluated differently, and an unknown `baseline`.
    """
    data = collect(directory, baseline)
    save(data)
    table = make_table(data, status.failures(data.experiment, directory))
    write(table, data.folder)
    if baseline is None:
        rebuild_comparisons(directory)
    return table


def rebuild_comparisons(directory: Path) -> None:
    """Update the tables with other baselines, if there are any, to the current results."""
    for path in sorted(directory.glob(layout.comparison("*"))):
        build(directory, path.name.removeprefix("against-"))


def collect(directory: Path, baseline: str | None = None) -> TableData:
    """The results in the folder, and their differences item by item."""
    experiment = results.read_folder(directory)
    read = status.Files(directory)
    frame = results.collect(experiment, directory, read)
    rows = deltas.deltas(frame, directory, contrasts(experiment, frame, baseline))
    stated = primary.primary(experiment, frame, directory)
    return TableData(directory, experiment, frame, rows, stated, baseline, read.records())


def read(directory: Path) -> TableData:
    """The data that `save` wrote."""
    experiment, frame = results.read_folder(directory), results.read(directory / layout.RESULTS)
    stated = primary.read(directory / layout.CONTRASTS) if experiment.contrasts else primary.nothing()
    return TableData(directory, experiment, frame, deltas.read(directory / layout.DELTAS), stated)


def save(data: TableData) -> None:
    """Write `deltas.parquet` and, with the experiment's own baseline, the other results and their record."""
    if data.baseline is None:
        results.write(data.frame, data.directory / layout.RESULTS)
        if data.experiment.contrasts:
            primary.write(data.contrasts, data.directory / layout.CONTRASTS)
    deltas.write(data.deltas, data.deltas_file)
    if data.baseline is None:
        write_record(data)


def write_record(data: TableData) -> None:
    """Write `results.json`: the SHA-256 of the records that the results were made from, and of the results."""
    root = data.directory
    inputs = file_sums.hash_files(root / name for name in [layout.EXPERIMENT, *data.records])
    names = [layout.RESULTS, layout.DELTAS, *([layout.CONTRASTS] if data.experiment.contrasts else [])]
    written = file_sums.hash_files(root / name for name in names)
    record = {
        "version": __version__,
        "inputs": file_sums.relative_sums(inputs, root),
        "sha256": file_sums.relative_sums(written, root),
    }
    files.write_json(root / layout.RESULTS_RECORD, record)


def table_folder(directory: Path, baseline: str | None = None) -> Path:
    """Where `build` writes the table."""
    return directory / (layout.comparison(baseline) if baseline else layout.TABLE)


def make_table(data: TableData, failures: Failures | None = None) -> Table:
    """The table; `failures` (from `status.failures`) become footnotes."""
    experiment = data.experiment
    return lay_out(
        data.frame,
        title=f"{experiment.experiment}: fine-tuned on pruned {experiment.dataset.name}",
        note=" ".join(filter(None, (experiment.note, *_remarks(data)))),
        failures=failures,
        deltas=data.deltas,
        answers=answers.answers(experiment, data.directory, data.contrasts),
        labels=Labels(experiment),
        footer=provenance.footer(experiment, data.directory, data.frame, data.deltas),
    )


def _remarks(data: TableData) -> list[str]:
    """That the baseline was chosen by its scores, rows by task data, or that there are no deltas, but should be."""
    caveat = [BEST_PAIR] if data.baseline == BEST else []
    expected = contrasts(data.experiment, data.frame, data.baseline)
    return [*caveat, *_task_data(data.experiment), *([NO_DELTAS] if expected and data.deltas.empty else [])]


def _task_data(experiment: Experiment) -> list[str]:
    """That some rows chose by a query set, which one, and so with task data."""
    readers, query = query_readers(experiment.variants), experiment.query
    if not readers or query is None:
        return []
    names, source = ", ".join(variant.name for variant in readers), query.hub or query.path
    return [f"Chosen by a query set ({source}, split {query.split}), so with task data: {names}."]


def write(table: Table, folder: Path) -> None:
    """Write the table into the folder, in every format."""
    for ending, render in FORMATS.items():
        files.write_text(folder / f"table.{ending}", render(table))
