"""Compute one optional score of the training set."""

from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from prunegrid.core.gpus import use_device
from prunegrid.core.step import step
from prunegrid.experiment.training import Runtime
from prunegrid.models.remote_code import allow_code, trust_reason

name, model, reference = snakemake.wildcards.model, snakemake.input.model, snakemake.input.get("reference")
data = snakemake.input.get("data")
# From the config, not from params: a change of runtime or trust must not run finished jobs again.
slots = Runtime.from_config(snakemake.config).cells_per_gpu
own_code = allow_code(trust_reason(snakemake.config, name), model)
its_code = allow_code(trust_reason(snakemake.config, f"{name}@reference"), reference) if reference else nullcontext()
folder = TemporaryDirectory()
with step(snakemake.log[0]), use_device(snakemake.params.device, slots), own_code, its_code, folder as temporary:
    import torch

    from prunegrid.data.datasets import write_dataset
    from prunegrid.experiment.dataset import Dataset
    from prunegrid.experiment.training import Scoring
    from prunegrid.scoring.extra import write_extra

    query = None
    if given := snakemake.params.get("query"):
        ref, query = Dataset.model_validate(given), Path(temporary, "query.parquet")
        local = ref.path or snakemake.input.get("query") or None
        write_dataset(ref, local, query, query.with_suffix(".json"))
    torch.set_num_threads(snakemake.threads)
    write_extra(
        snakemake.wildcards.extra,
        Path(snakemake.input.meta).parent,
        Path(model),
        Path(snakemake.output[0]),
        Scoring.model_validate(snakemake.params.scoring),
        snakemake.params.device,
        Path(reference) if reference else None,
        Path(data) if data else None,
        query,
    )
