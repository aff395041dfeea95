"""Compute one optional score of the training set."""

from pathlib import Path

from prunegrid.devices import own
from prunegrid.step import step

with step(snakemake.log[0]), own(snakemake.params.device):
    import torch

    from prunegrid.extras import write_extra
    from prunegrid.sections import Scoring

    torch.set_num_threads(snakemake.threads)
    reference = snakemake.input.get("reference")
    write_extra(
        snakemake.wildcards.extra,
        Path(snakemake.input.meta).parent,
        Path(snakemake.input.model),
        Path(snakemake.output[0]),
        Scoring.model_validate(snakemake.params.scoring),
        snakemake.params.device,
        Path(reference) if reference else None,
    )
