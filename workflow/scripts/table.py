"""Render the results as the delta-annotated table, in Markdown, CSV and HTML."""

from pathlib import Path

from prunegrid.results import experiment_of, read
from prunegrid.step import step
from prunegrid.table.build import title, write_table

with step(snakemake.log[0]):
    results, out = Path(snakemake.input.results), Path(snakemake.output.markdown).parent
    experiment = experiment_of(results.parent)
    write_table(read(results), out, title=title(experiment), note=experiment.note)
