"""One rank of a training job: `python -m prunegrid.train.worker ORDER.json` (written and started by `launch`)."""

import os
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from prunegrid import __version__
from prunegrid.config import Training
from prunegrid.draws import derive
from prunegrid.errors import PrunegridError
from prunegrid.io import read_parquet, write_json, write_parquet
from prunegrid.pruners.ragged import Ints
from prunegrid.rows import Rows, stored_rows
from prunegrid.step import collect_rarely
from prunegrid.train import checkpoints
from prunegrid.train.account import Account
from prunegrid.train.batches import Example, MicroBatches, schedule, steps_per_epoch
from prunegrid.train.faults import leave_with_the_others, tell
from prunegrid.train.launch import DYNAMIC, Job, Order
from prunegrid.train.samples import Samples, circle


def main(path: Path) -> None:
    collect_rarely()
    order, rank = Order.model_validate_json(path.read_text()), int(os.environ["RANK"])
    checkpoints.share(order.checkpoints)
    launcher = os.open(path, os.O_RDONLY)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if order.job.training.ranks > 1:
        leave_with_the_others(order.error)
    trainer = None
    try:
        trainer = prepare(order, rank)
        trainer.launcher = launcher
        trainer.train(resume_from_checkpoint=str(order.resume) if order.resume else None)
        finish(order, trainer)
    except Exception as error:
        tell(order.error, error, trainer)
        raise
    torch.distributed.destroy_process_group()


def prepare(order: Order, rank: int) -> Any:
    """The Trainer with its samples; its account goes on from the checkpoint that it resumes from."""
    job, account, rows = order.job, Account(rank), stored_rows(order.job.scores)
    if order.resume:
        account.load(order.resume, checkpoints.step_of(order.resume))
    if job.pruning:
        return _dynamic(order, rows, account)
    samples = static_samples(job, rows)

    def keep(micro_batches: MicroBatches, _: int) -> list[list[Example]]:
        return [[samples[number] for number in batch] for batch in micro_batches]

    return build(order, _plan(job, samples.sample_id_N, len(rows), rank), keep, account)


def _plan(job: Job, sample_id_N: Ints, candidates: int, rank: int) -> list[MicroBatches]:
    return schedule(sample_id_N, candidates, job.training, derive(job.seed, "data"), rank)


def static_samples(job: Job, rows: Rows) -> Samples:
    """What a static or a reference cell trains on."""
    giver = circle(rows.sample_id_N, derive(job.seed, "shuffled-responses")) if job.shuffled else None
    samples = Samples(rows, job.training.removal, giver)
    if job.selection:
        samples.select(job.selection)
    return samples


def _dynamic(order: Order, rows: Rows, account: Account) -> Any:
    from prunegrid.train.dynamic import Dynamic, Moment, truncated

    job = order.job
    plan = _plan(job, rows.sample_id_N, len(rows), account.rank)
    assert job.pruning, "a dynamic cell has a pruning"
    samples = Samples(rows, job.training.removal)
    passes = max(1, job.training.batch_tokens >> order.halvings)
    dynamic = Dynamic(samples, truncated(job.scores, rows), job.pruning, derive(job.seed, "pruning"), passes)
    dynamic.log = account.log
    each = steps_per_epoch(len(rows), job.training)

    def keep(micro_batches: MicroBatches, step: int) -> list[list[Example]]:
        _attach(dynamic, trainer)
        trainer.current = rows.sample_id_N[[row for batch in micro_batches for row in batch]].tolist()
        if step % each == 0:
            _probe(dynamic, trainer, account)
        return dynamic.keep(micro_batches, Moment(step // each, step, account.rank, step / len(plan)))

    trainer = build(order, plan, keep, account)
    trainer.dynamic = dynamic
    return trainer


def _attach(dynamic: Any, trainer: Any) -> None:
    """Show it the model, once DeepSpeed has it."""
    if dynamic.model is None:
        dynamic.attach(trainer.causal, trainer.ask, trainer.most)


def _probe(dynamic: Any, trainer: Any, account: Account) -> None:
    """Mean PPL and entropy of the fixed choice of samples under the present weights (the paper's Figure 8)."""
    _attach(dynamic, trainer)
    ppl, entropy, number = dynamic.probe(account.rank, trainer.args.world_size)
    own = torch.tensor([[ppl, entropy, number]], dtype=torch.float64, device=trainer.args.device)
    ppl, entropy, number = trainer.accelerator.gather(own).sum(0).tolist()
    found = {"step": trainer.state.global_step, "ppl": ppl / number, "entropy": entropy / number}
    account.probes.append(found)


def build(order: Order, plan: list[MicroBatches], keep: Any, account: Account) -> Any:
    """The Trainer, its model and DeepSpeed. The arguments come first: ZeRO-3 shards the model as it loads."""
    import deepspeed
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainingArguments, set_seed

    from prunegrid.head import run_inside
    from prunegrid.train.packing import NAME
    from prunegrid.train.trainer import PrunedTrainer

    job = order.job
    _import_muon_uncompiled()
    if job.device == "cpu":
        # An optional C++ op that takes over a minute to compile at first use; gloo serves instead.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(order.reports)
    seed = derive(job.seed, "training") % 2**31
    arguments = TrainingArguments(**trainer_arguments(job, len(plan), seed), output_dir=str(order.checkpoints))
    set_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(
        job.model,
        dtype=torch.bfloat16 if job.training.bf16 else torch.float32,
        attn_implementation=NAME if job.training.packing else "sdpa",
    )
    for module in (model, model.get_output_embeddings()):
        run_inside(module)
    if job.training.method == "lora":
        model = _with_lora(model, job.training)
    tokenizer = AutoTokenizer.from_pretrained(job.model)
    return PrunedTrainer(
        order=order,
        plan=plan,
        keep=keep,
        account=account,
        model=model,
        args=arguments,
        processing_class=tokenizer,
    )


def _import_muon_uncompiled() -> None:
    """DeepSpeed asks of each optimizer whether it is its Muon, whose import loads torch's compiler: seconds in vain."""
    from deepspeed.runtime import compiler

    compile_, compiler.compile = compiler.compile, lambda: lambda function: function
    try:
        import deepspeed.runtime.zero.muon.muon_optimizer  # noqa: F401
    finally:
        compiler.compile = compile_


def _with_lora(model: Any, training: Training) -> Any:
    from peft import LoraConfig, get_peft_model

    if training.gradient_checkpointing:
        model.enable_input_require_grads()
    return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **training.lora.model_dump()))


OURS = {
    "method", "lora", "mode", "removal", "ranks", "zero_stage", "offload_optimizer", "packing", "batch_tokens",
    "warmup_ratio", "num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps",
    "gradient_checkpointing", "use_liger_kernel",
}  # fmt: skip


def trainer_arguments(job: Job, steps: int, seed: int) -> dict[str, Any]:
    """One of the Trainer's batches is a whole step of a rank, so it accumulates nothing itself."""
    training = job.training
    return {
        **training.model_dump(exclude=OURS),
        "per_device_train_batch_size": training.per_device_train_batch_size * training.gradient_accumulation_steps,
        "gradient_accumulation_steps": 1,
        "max_steps": steps,
        "warmup_steps": training.warmup_ratio,
        "activation_checkpointing": training.gradient_checkpointing,
        "seed": seed,
        "use_cpu": job.device == "cpu",
        "deepspeed": deepspeed_config(training),
        "logging_steps": max(1, steps // 50),
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": job.runtime.save_steps,
        "report_to": job.runtime.report_to or "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
    }


def deepspeed_config(training: Training) -> dict[str, Any]:
    """ZeRO with torch's optimizers: no op to compile, the same ones on CPU and GPU."""
    return {
        "train_micro_batch_size_per_gpu": training.per_device_train_batch_size * training.gradient_accumulation_steps,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": training.max_grad_norm,
        "zero_optimization": {
            "stage": training.zero_stage,
            "stage3_gather_16bit_weights_on_model_save": training.zero_stage == 3,
            **({"offload_optimizer": {"device": "cpu"}} if training.offload_optimizer else {}),
        },
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "data_types": {"grad_accum_dtype": "fp32"},
        "bf16": {"enabled": training.bf16},
    }


def finish(order: Order, trainer: Any) -> None:
    """Save the model, and what `launch` puts beside it: the report and a dynamic cell's selection."""
    account = trainer.account
    seconds = account.seconds
    if order.job.pruning:
        _probe(trainer.dynamic, trainer, account)
    logs: list[Any] = [None] * trainer.args.world_size
    torch.distributed.all_gather_object(logs, (account.counts, account.log))
    trainer.save_model(str(order.out))
    if trainer.is_world_process_zero():
        totals = {name: sum(counts[name] for counts, _ in logs) for name in account.counts}
        if order.job.pruning:
            from prunegrid.train.dynamic import summarise

            log = pa.concat_tables([table for _, tables in logs for table in tables])
            log = log.sort_by([("step", "ascending"), ("rank", "ascending"), ("sample_id", "ascending")])
            write_parquet(order.out / DYNAMIC[0], log)
            candidates = _candidates(order.job, trainer.dynamic.samples.rows.sample_id_N)
            digests = order.identity["digests"]
            write_json(order.out / DYNAMIC[1], summarise(trainer.dynamic, candidates, order.job.seed, digests, log))
        write_json(order.out / "report.json", describe(order, totals, trainer) | {"loop_seconds": round(seconds, 2)})
    trainer.accelerator.wait_for_everyone()


def _candidates(job: Job, sample_id_N: Ints) -> Ints:
    """Rows of the candidates of all mini-batches of all ranks."""
    plans = [_plan(job, sample_id_N, len(sample_id_N), rank) for rank in range(job.training.ranks)]
    return np.array([row for plan in plans for step in plan for batch in step for row in batch])


def describe(order: Order, totals: dict[str, int], trainer: Any) -> dict[str, Any]:
    """`training.json`, less the whole job's seconds: tokens are totals over all epochs and ranks."""
    import deepspeed
    import transformers

    job, account = order.job, trainer.account
    lengths = read_parquet(job.scores / "samples.parquet", ["response_tokens"])["response_tokens"]
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
        "peak_memory_bytes": _peak_memory(job.device),
        "seed": job.seed,
        "device": job.device,
        "training": job.training.model_dump(mode="json"),
        "versions": {
            "prunegrid": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "deepspeed": deepspeed.__version__,
        },
    }


def _peak_memory(device: str) -> int:
    """Of rank 0: GPU memory allocated, or the process's resident memory."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except PrunegridError as error:
        sys.exit(str(error))
