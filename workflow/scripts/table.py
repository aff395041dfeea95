"""Render the results as the delta-annotated table, in Markdown, CSV and HTML."""

from pathlib import Path

from prunegrid.config import Experiment
from prunegrid.results import read
from prunegrid.step import step
from prunegrid.table import title, write_table

with step(snakemake.log[0]):
    experiment = Experiment.model_validate(snakemake.params.experiment)
    frame, out = read(Path(snakemake.input.results)), Path(snakemake.output.markdown).parent
    write_table(frame, out, title=title(experiment), note=experiment.note)
