"""Render results and deltas as the delta-annotated table, in every format."""

from pathlib import Path

from prunegrid.core.step import step

with step(snakemake.log[0]):
    from prunegrid.table import build

    data = build.read(Path(snakemake.input.results).parent)
    build.write(build.make_table(data), data.folder)
    build.rebuild_comparisons(data.directory)
