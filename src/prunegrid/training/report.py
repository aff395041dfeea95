"""What a training job leaves beside its model: `training.json`, and of a dynamic cell its selection and its probes."""

import resource
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from prunegrid import __version__
from prunegrid.core.files import read_parquet, write_json, write_parquet
from prunegrid.core.ragged import Ints
from prunegrid.experiment import layout
from prunegrid.training.job import Job, Order
from prunegrid.training.launch import DYNAMIC
from prunegrid.training.schedule import schedule, steps_per_epoch


def write_outputs(order: Order, trainer: Any) -> None:
    """Save the model, and what `launch` puts beside it: the report and a dynamic cell's selection."""
    account = trainer.account
    seconds = account.seconds
    if order.job.pruning:
        trainer.examples.probe()
    logs: list[Any] = [None] * trainer.args.world_size
    torch.distributed.all_gather_object(logs, (account.counts, account.log))
    trainer.save_model(str(order.out))
    if trainer.is_world_process_zero():
        totals = {name: sum(counts[name] for counts, _ in logs) for name in account.counts}
        if order.job.pruning:
            from prunegrid.training.dynamic import summarise

            log = pa.concat_tables([table for _, tables in logs for table in tables])
            log = log.sort_by([("step", "ascending"), ("rank", "ascending"), ("sample_id", "ascending")])
            write_parquet(order.out / DYNAMIC[0], log)
            candidates = _candidates(order.job, trainer.examples.pruner.samples.rows.sample_id_N)
            digests = order.identity["digests"]
            every = order.job.training.rescore_every
            summary = summarise(trainer.examples.pruner, candidates, order.job.seed, digests, log, every)
            summary.write(order.out / DYNAMIC[1])
        write_json(
            order.out / "report.json", training_report(order, totals, trainer) | {"loop_seconds": round(seconds, 2)}
        )
    trainer.accelerator.wait_for_everyone()


def _candidates(job: Job, sample_id_N: Ints) -> Ints:
    """Rows of the candidates of all mini-batches of all ranks."""
    ranks = range(job.training.ranks)
    plans = [schedule(sample_id_N, len(sample_id_N), job.training, job.seed, rank) for rank in ranks]
    return np.array([row for plan in plans for step in plan for batch in step for row in batch])


def training_report(order: Order, totals: dict[str, int], trainer: Any) -> dict[str, Any]:
    """`training.json`, less the whole job's seconds: tokens are totals over all epochs and ranks."""
    import deepspeed
    import transformers

    job, account = order.job, trainer.account
    lengths = read_parquet(job.scores / layout.SAMPLES, ["response_tokens"])["response_tokens"]
    epochs = trainer.state.global_step / steps_per_epoch(len(lengths), job.training)
    curve = [
        {key: entry[key] for key in ("step", "loss", "grad_norm", "learning_rate") if key in entry}
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
    return {
        "steps": trainer.state.global_step,
        "steps_per_epoch": steps_per_epoch(len(lengths), job.training),
        "epochs": epochs,
        "candidate_samples": len(lengths),
        "kept_samples": totals.pop("samples") / epochs,
        "candidate_tokens": round(pa.compute.sum(lengths).as_py() * epochs),
        **totals,
        "padding": 1 - totals["forwarded_tokens"] / totals["positions"],
        "probes": account.probes,
        "loss_curve": curve,
        "resumed": account.resumed,
        "halvings": order.halvings,
        "gradient_checkpointing": order.checkpoints_layers,
        "peak_memory_bytes": _peak_memory(job.device),
        **({"fallbacks": found} if (found := _fallbacks(trainer)) else {}),
        "seed": job.seed,
        "device": job.device,
        "training": order.identity["training"],
        "attention": order.attention.as_json() if order.attention else None,
        "versions": {
            "prunegrid": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "deepspeed": deepspeed.__version__,
        },
    }


def _fallbacks(trainer: Any) -> dict[str, str]:
    """The optional kernels that rank 0 did without, and why."""
    scoring = trainer.examples.pruner.candidates.head.fallbacks if trainer.order.job.pruning else {}
    return {**trainer.fallbacks, **scoring}


def _peak_memory(device: str) -> int:
    """Of rank 0: GPU memory allocated, or the process's resident memory."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
