"""Prune one cell: from scores to its selection."""

from pathlib import Path

from prunegrid.core.step import step
from prunegrid.models import expected_digests
from prunegrid.selection.prune import prune

with step(snakemake.log[0]):
    prune(
        Path(snakemake.input.samples).parent,
        Path(snakemake.output.selection).parent,
        match=Path(snakemake.input.match) if snakemake.input.match else None,
        expected_digests=expected_digests(Path(snakemake.input.manifest), Path(snakemake.input.data)),
        **snakemake.params.pruning,
    )
