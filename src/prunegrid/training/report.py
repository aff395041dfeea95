"""What a training job writes beside its model: `training.json`, and a dynamic cell's selection."""

import resource
from typing import Any

import deepspeed
import pyarrow as pa
import torch
import transformers

from prunegrid import __version__
from prunegrid.core.files import read_parquet, write_json, write_parquet
from prunegrid.experiment import layout
from prunegrid.training.job import Order
from prunegrid.training.launch import DYNAMIC, REPORT
from prunegrid.training.schedule import Timetable


def write_outputs(order: Order, trainer: Any) -> None:
    """Save the model, and what the launcher moves beside it: the report, and a dynamic cell's selection."""
    counters = trainer.counters
    loop_seconds = round(counters.seconds, 2)
    if order.job.pruning:
        trainer.examples.probe()
    states: list[Any] = [None] * trainer.args.world_size
    torch.distributed.all_gather_object(states, (counters.counts, counters.log))
    trainer.save_model(str(order.out))
    if trainer.is_world_process_zero():
        totals = {name: sum(counts[name] for counts, _ in states) for name in counters.counts}
        if order.job.pruning:
            _write_selection(order, trainer.examples, [table for _, tables in states for table in tables])
        write_json(order.out / REPORT, training_report(order, totals, trainer) | {"loop_seconds": loop_seconds})
    trainer.accelerator.wait_for_everyone()


def _write_selection(order: Order, examples: Any, logs: list[pa.Table]) -> None:
    """A dynamic cell's selection log and `selection.json`, from the logs of all ranks."""
    from prunegrid.training.dynamic_summary import summarise  # here only: a static job does without the scoring modules

    job = order.job
    log = pa.concat_tables(logs).sort_by([(key, "ascending") for key in ("step", "rank", "sample_id")])
    write_parquet(order.out / DYNAMIC[0], log)
    digests, extras = order.identity["digests"], order.identity.get("extras", {})
    candidates, interval = examples.all_candidates(), job.training.rescore_every
    assert job.pruning, "a dynamic cell has a pruning"
    summary = summarise(job.pruning, examples.rows, job.seed, candidates, digests, log, interval, extras)
    summary.write(order.out / DYNAMIC[1])


def training_report(order: Order, totals: dict[str, int], trainer: Any) -> dict[str, Any]:
    """`training.json`, without what the launcher adds. Tokens and `sample_passes` are totals over all epochs
    and ranks."""
    job, counters = order.job, trainer.counters
    lengths = read_parquet(job.scores / layout.SAMPLES, ["response_tokens"])["response_tokens"]
    timetable: Timetable = trainer.examples.timetable
    epochs = timetable.passes(trainer.state.global_step)
    # The optional kernels that rank 0 did without, and why.
    fallbacks = trainer.fallbacks | (trainer.examples.pruner.candidates.head.fallbacks if job.pruning else {})
    curve = [
        {key: entry[key] for key in ("step", "loss", "grad_norm", "learning_rate") if key in entry}
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
    return {
        "steps": trainer.state.global_step,
        "steps_per_epoch": timetable.steps_per_epoch,
        "epochs": epochs,
        "candidate_samples": len(lengths),
        "kept_samples": totals["samples"] / epochs,
        "sample_passes": totals.pop("samples"),
        "candidate_tokens": round(pa.compute.sum(lengths).as_py() * epochs),
        **totals,
        "padding": 1 - totals["forwarded_tokens"] / totals["positions"],
        "probes": counters.probes,
        "loss_curve": curve,
        "resumed": counters.resumed,
        "halvings": order.halvings,
        "gradient_checkpointing": order.checkpoints_layers,
        "peak_memory_bytes": _peak_memory(job.device),
        **({"fallbacks": fallbacks} if fallbacks else {}),
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


def _peak_memory(device: str) -> int:
    """Rank 0's allocated GPU memory, or the resident memory of its process."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
