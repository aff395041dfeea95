"""Render the published table through the code that renders ours."""

from pathlib import Path

from prunegrid.published.frame import NOTE, TITLE, frame
from prunegrid.results import write
from prunegrid.step import step
from prunegrid.table.build import write_table

with step(snakemake.log[0]):
    published = frame()
    write(published, Path(snakemake.output.results))
    write_table(published, Path(snakemake.output.markdown).parent, title=TITLE, note=NOTE)
