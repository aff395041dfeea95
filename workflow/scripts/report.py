"""Write the page of the experiment from its results folder."""

from pathlib import Path

from prunegrid.core.step import step

with step(snakemake.log[0]):
    from prunegrid.report.build import build
    from prunegrid.table.build import read

    folder = Path(snakemake.output[0]).parent
    build(folder, data=read(folder))
