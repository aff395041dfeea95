"""Render the published tables through the code that renders ours."""

from pathlib import Path

import pandas as pd

from prunegrid.core.step import step
from prunegrid.experiment import layout
from prunegrid.published import V2_TABLES
from prunegrid.published.frame import NOTE, TITLE, frame, note_v2, table_v2, title_v2
from prunegrid.results.collect import write
from prunegrid.table.build import write as write_table
from prunegrid.table.layout import lay_out


def render(published: pd.DataFrame, out: Path, title: str, note: str) -> None:
    write(published, out / layout.RESULTS)
    write_table(lay_out(published, title=title, note=note), out / layout.TABLE)


with step(snakemake.log[0]):
    out = Path(snakemake.output.results).parent
    render(frame(), out, TITLE, NOTE)
    for number in V2_TABLES:
        render(table_v2(number), out / "v2" / f"table{number}", title_v2(number), note_v2(number))
