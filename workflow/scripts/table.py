"""Render results and deltas as the delta-annotated table, in every format."""

from pathlib import Path

from prunegrid.step import step

with step(snakemake.log[0]):
    from prunegrid.results import experiment_of, read
    from prunegrid.statistics import deltas
    from prunegrid.table.build import show

    file = Path(snakemake.input.results)
    compared = deltas.read(Path(snakemake.input.deltas))
    show(experiment_of(file.parent), file.parent, read(file), compared, Path(snakemake.output.markdown).parent)
