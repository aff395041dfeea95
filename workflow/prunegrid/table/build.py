"""Write an experiment's table: `table.md`, `table.csv`, `table.tex` and `table.html`, all showing the same.

`prunegrid table results/<experiment>` runs `build`; the workflow's last rule and its `onerror` end here too.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from prunegrid import io, results, status
from prunegrid.config import Experiment
from prunegrid.statistics import deltas
from prunegrid.table import csv, html, latex, markdown, provenance
from prunegrid.table.against import contrasts
from prunegrid.table.layout import Failures, Table, lay_out

FORMATS = {"md": markdown.render, "csv": csv.render, "tex": latex.render, "html": html.render}


def write_table(
    frame: pd.DataFrame,
    out: Path,
    *,
    title: str,
    note: str = "",
    failures: Failures | None = None,
    compared: pd.DataFrame | None = None,
    footer: Sequence[str] = (),
) -> Table:
    """Write the table of a results frame into the folder `out`, in every format; return what they show.

    `failures` (from `status.failures`) become footnotes, `compared` (from `statistics.deltas`) brings the
    intervals, and `footer` is sentences for below the table. Raises `PrunegridError` for a frame without rows.
    """
    table = lay_out(frame, title=title, note=note, failures=failures, deltas=compared, footer=footer)
    for ending, form in FORMATS.items():
        io.write_text(out / f"table.{ending}", form(table))
    return table


def build(directory: Path, against: str | None = None) -> Table:
    """Collect a results folder by its own `experiment.json`; write `results.parquet`, `deltas.parquet` and `table/`.

    With `against` (`full`, `best`, a variant's name) deltas are against that row, and only `table/against-<name>/` is
    written. Nothing is run: what is not there is shown as missing. Raises `PrunegridError`
    for a folder without `experiment.json`, a damaged file, cells that were not evaluated alike, an unknown `against`.
    """
    experiment = results.experiment_of(directory)
    frame = results.collect(experiment, directory)
    compared = deltas.deltas(frame, directory, contrasts(experiment, frame, against))
    out = folder(directory, against)
    write_both(directory, frame, compared, out if against else directory)
    return show(experiment, directory, frame, compared, out, status.failures(experiment, directory))


def folder(directory: Path, against: str | None = None) -> Path:
    """Where `build` writes the table."""
    return directory / "table" / f"against-{against}" if against else directory / "table"


def write_both(directory: Path, frame: pd.DataFrame, compared: pd.DataFrame, beside: Path) -> None:
    """`results.parquet`, and `deltas.parquet` in the folder `beside`."""
    results.write(frame, directory / "results.parquet")
    deltas.write(compared, beside / "deltas.parquet")


def show(
    experiment: Experiment,
    directory: Path,
    frame: pd.DataFrame,
    compared: pd.DataFrame,
    out: Path,
    failures: Failures | None = None,
) -> Table:
    """Write the table of an experiment's results and deltas into the folder `out`."""
    said = provenance.footer(experiment, directory, frame, compared)
    return write_table(
        frame, out, title=title(experiment), note=experiment.note, failures=failures, compared=compared, footer=said
    )


def title(experiment: Experiment) -> str:
    return f"{experiment.experiment}: fine-tuned on pruned {experiment.dataset.name}"
