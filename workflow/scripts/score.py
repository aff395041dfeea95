"""Score one shard of the training set under one base model."""

from contextlib import nullcontext
from pathlib import Path

from prunegrid.core.gpus import use_device
from prunegrid.core.step import step
from prunegrid.experiment.training import Runtime
from prunegrid.models.remote_code import allow_code, trust_reason

# From the config, not from params: a change of runtime or trust must not run finished jobs again.
slots = Runtime.from_config(snakemake.config).cells_per_gpu
name, reference = snakemake.wildcards.model, snakemake.input.get("reference")
own_code = allow_code(trust_reason(snakemake.config, name), snakemake.input.model)
its_code = allow_code(trust_reason(snakemake.config, f"{name}@reference"), reference) if reference else nullcontext()
with step(snakemake.log[0]), use_device(snakemake.params.device, slots), own_code, its_code:
    import torch

    from prunegrid.experiment import grid
    from prunegrid.experiment.config import load
    from prunegrid.experiment.training import Scoring
    from prunegrid.models.meta_model import check_trainable
    from prunegrid.scoring.score import score

    torch.set_num_threads(snakemake.threads)
    experiment = load(snakemake.config)
    removals = grid.removals(experiment)
    if removals:
        print(check_trainable(Path(snakemake.input.model), experiment.training, removals), flush=True)
    shard, shards = map(int, snakemake.wildcards.scatteritem.split("-of-"))
    score(
        Path(snakemake.input.model),
        Path(snakemake.input.data),
        Path(snakemake.output.meta).parent,
        Scoring.model_validate(snakemake.params.scoring),
        snakemake.params.device,
        (shard, shards),
        removals,
        reference=Path(reference) if reference else None,
    )
