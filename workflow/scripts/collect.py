"""Gather all cells' scores into the tidy results file."""

from pathlib import Path

from prunegrid.config import Experiment
from prunegrid.results import collect, write
from prunegrid.step import step

with step(snakemake.log[0]):
    experiment = Experiment.model_validate(snakemake.params.experiment)
    results = Path(snakemake.output.results)
    write(collect(experiment, results.parent), results)
