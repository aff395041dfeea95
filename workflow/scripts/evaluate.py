"""Evaluate one cell on all benchmarks."""

from pathlib import Path

from prunegrid.core.gpus import use_device
from prunegrid.core.step import step
from prunegrid.experiment.training import Runtime
from prunegrid.models.remote_code import allow_code, trust_reason

base, trained = Path(snakemake.input.model), Path(snakemake.input.get("trained") or snakemake.input.model)
# From the config, not from params: a change of runtime or trust must not run finished jobs again.
slots = Runtime.from_config(snakemake.config).cells_per_gpu
trust = trust_reason(snakemake.config, snakemake.wildcards.model)
with step(snakemake.log[0]), use_device(snakemake.params.device, slots), allow_code(trust, base, trained):
    import torch

    from prunegrid.core import file_sums
    from prunegrid.evaluation.evaluate import evaluate
    from prunegrid.experiment import layout
    from prunegrid.experiment.evaluation import Evaluation
    from prunegrid.models import check_device, evaluated_digests, is_adapter

    check_device(snakemake.params.device)
    torch.set_num_threads(snakemake.threads)
    settings = Evaluation.model_validate(snakemake.params.evaluation)
    adapter = trained if is_adapter(trained) else None
    training = [file] if (file := trained.with_name(layout.TRAINING)).exists() else []
    evaluate(
        base if adapter else trained,
        Path(snakemake.output.scores[0]).parent,
        adapter_dir=adapter,
        benchmarks=settings.benchmarks,
        data=dict(zip(settings.benchmarks, map(Path, snakemake.input.data), strict=True)),
        protocol=settings.protocol,
        tasks=settings.tasks,
        texts=settings.items == "full",
        answers=settings.items != "scores",
        batch_tokens=settings.batch_tokens,
        dtype=settings.dtype,
        device=snakemake.params.device,
        engine=settings.engine,
        share_prefixes=settings.share_prefixes,
        jobs_per_gpu=slots,
        digests=evaluated_digests(base, trained),
        inputs=file_sums.relative_sums(file_sums.hash_files(training), base.parents[1]),
    )
