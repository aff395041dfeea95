"""Draw every figure of the experiment from its results folder."""

from pathlib import Path

from prunegrid.core.step import step
from prunegrid.figures.draw import draw_all
from prunegrid.statistics import deltas

with step(snakemake.log[0]):
    results = Path(snakemake.input.results)
    draw_all(results.parent, deltas.read(Path(snakemake.input.deltas)))
