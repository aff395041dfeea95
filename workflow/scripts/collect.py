"""Gather all cells' scores into the tidy results file."""

from pathlib import Path

import pyarrow as pa

from prunegrid.io import write_parquet
from prunegrid.results import collect_from, write
from prunegrid.step import step

with step(snakemake.log[0]):
    results = Path(snakemake.output.results)
    write(collect_from(results.parent), results)
    write_parquet(Path(snakemake.output.deltas), pa.table({"model": pa.array([], pa.string())}))
