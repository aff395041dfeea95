"""Cut one shard of the token table by a cell's choice."""

from pathlib import Path

from prunegrid.core.step import step
from prunegrid.selection.cut import cut

with step(snakemake.log[0]):
    shard, shards = map(int, snakemake.wildcards.part.split("-of-"))
    cut(Path(snakemake.input.choice), (shard, shards), Path(snakemake.input.samples).parent)
