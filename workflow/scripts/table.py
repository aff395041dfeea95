"""Render the results as the delta-annotated table, in Markdown, CSV and HTML."""

from pathlib import Path

from prunegrid.step import step
from prunegrid.table import build

with step(snakemake.log[0]):
    build(Path(snakemake.params.root))
