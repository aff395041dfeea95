"""Write the summary of a cell's selection, whose parts are there."""

from pathlib import Path

from prunegrid.core.step import step
from prunegrid.selection.cut import gather

with step(snakemake.log[0]):
    gather(Path(snakemake.input.choice), len(snakemake.input.parts))
