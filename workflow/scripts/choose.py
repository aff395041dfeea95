"""Choose the samples of one cell, whose selection is cut in shards."""

from pathlib import Path

from prunegrid.core.step import step
from prunegrid.models import expected_digests
from prunegrid.pruners import PruningSpec
from prunegrid.selection.choose import choose

with step(snakemake.log[0]):
    spec = {key: value for key, value in snakemake.params.pruning.items() if key != "seed"}
    choose(
        Path(snakemake.input.samples).parent,
        Path(snakemake.output[0]),
        PruningSpec.model_validate(spec),
        snakemake.params.pruning["seed"],
        match=Path(snakemake.input.match) if snakemake.input.match else None,
        expected_digests=expected_digests(Path(snakemake.input.manifest), Path(snakemake.input.data)),
        root=Path(snakemake.input.samples).parents[2],
    )
