"""Gather all cells' scores into the tidy results file."""

from pathlib import Path

import pyarrow as pa

from prunegrid.io import write_parquet
from prunegrid.results import collect_from, write
from prunegrid.step import step

NAMES = ("experiment", "model", "variant", "benchmark", "against")
NUMBERS = ("sample_ratio", "token_ratio", "delta", "item_low", "item_high", "low", "high")
NONE_YET = pa.schema(
    [(n, pa.string()) for n in NAMES] + [(n, pa.float64()) for n in NUMBERS] + [("significant", "bool")]
)

with step(snakemake.log[0]):
    results = Path(snakemake.output.results)
    write(collect_from(results.parent), results)
    write_parquet(Path(snakemake.output.deltas), NONE_YET.empty_table())
