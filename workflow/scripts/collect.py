"""Gather all cells' scores, and their differences item by item, into two tidy files."""

from pathlib import Path

from prunegrid.core.step import step

with step(snakemake.log[0]):
    from prunegrid.table import build

    build.save(build.collect(Path(snakemake.output.results).parent))
