"""Put the shards' scores together, in the order of the training set."""

from pathlib import Path

from prunegrid.core.step import step
from prunegrid.scoring.extra_files import gather_extras
from prunegrid.scoring.writer import gather

with step(snakemake.log[0]):
    shards, out = [Path(meta).parent for meta in snakemake.input.meta], Path(snakemake.output.meta).parent
    gather_extras(shards, out, snakemake.params.scoring.get("extra", []))
    gather(shards, out)
