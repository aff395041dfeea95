"""Write an experiment's table: `table.md`, `table.csv`, `table.tex` and `table.html`, all showing the same.

`prunegrid table results/<experiment>` runs `build`; the workflow's last rule and its `onerror` end here too.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from prunegrid import io, results, status
from prunegrid.config import Experiment
from prunegrid.table import csv, html, latex, markdown
from prunegrid.table.layout import Failures, Table, lay_out

FORMATS = {"md": markdown.render, "csv": csv.render, "tex": latex.render, "html": html.render}


def write_table(
    frame: pd.DataFrame,
    out: Path,
    *,
    title: str,
    note: str = "",
    failures: Failures | None = None,
    deltas: pd.DataFrame | None = None,
    footer: Sequence[str] = (),
) -> Table:
    """Write the table of a results frame into the folder `out`, in every format; return what they show.

    `failures` (from `status.failures`) become footnotes, `deltas` (from `statistics.deltas`) bring the intervals, and
    `footer` is sentences for below the table. Raises `PrunegridError` for a frame without rows.
    """
    table = lay_out(frame, title=title, note=note, failures=failures, deltas=deltas, footer=footer)
    for ending, form in FORMATS.items():
        io.write_text(out / f"table.{ending}", form(table))
    return table


def build(directory: Path) -> Table:
    """Collect a results folder by its own `experiment.json`; write `results.parquet` and `table/` into it.

    Nothing is run: what is not there is shown as missing. Raises `PrunegridError` for a folder without
    `experiment.json` and for a damaged file.
    """
    experiment = results.experiment_of(directory)
    frame = results.collect(experiment, directory)
    results.write(frame, directory / "results.parquet")
    failures = status.failures(experiment, directory)
    return write_table(frame, directory / "table", title=title(experiment), note=experiment.note, failures=failures)


def title(experiment: Experiment) -> str:
    return f"{experiment.experiment}: fine-tuned on pruned {experiment.dataset.name}"
