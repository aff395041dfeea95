"""One rank of a training job: `python -m prunegrid.training.worker ORDER.json` (written and started by `launch`)."""

import os
import sys
from pathlib import Path
from typing import Any

import torch

from prunegrid.core.errors import PrunegridError
from prunegrid.core.randomness import derive_seed
from prunegrid.core.step import delay_garbage_collection
from prunegrid.experiment.sections import Training
from prunegrid.models import load_tokenizer
from prunegrid.models.architecture import check_positions, meta_model, training_attention
from prunegrid.models.remote_code import may_run_code
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.sequences import Sequences
from prunegrid.training import checkpoints, liger
from prunegrid.training.counters import Account
from prunegrid.training.failures import leave_with_the_others, tell
from prunegrid.training.job import Job, Order
from prunegrid.training.report import attach, finish, plan_of, probe
from prunegrid.training.samples import Samples, circle
from prunegrid.training.schedule import Example, MicroBatches, steps_per_epoch


def main(path: Path) -> None:
    delay_garbage_collection()
    order, rank = Order.model_validate_json(path.read_text()), int(os.environ["RANK"])
    checkpoints.share(order.checkpoints)
    launcher = os.open(path, os.O_RDONLY)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if order.job.training.deterministic:
        use_deterministic_kernels()
    if order.job.training.ranks > 1:
        leave_with_the_others(order.error)
    trainer = None
    try:
        order = with_attention(order, rank)
        trainer = prepare(order, rank)
        trainer.launcher = launcher
        _unpickle_no_code()
        trainer.train(resume_from_checkpoint=str(order.resume) if order.resume else None)
        finish(order, trainer)
    except Exception as error:
        tell(order.error, error, trainer)
        raise
    torch.distributed.destroy_process_group()


def use_deterministic_kernels() -> None:
    """The same numbers in every run; an operation that has no such kernel is an error (`faults.CAUSES`)."""
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    # Writes every new buffer once more, and decides no number.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def prepare(order: Order, rank: int) -> Any:
    """The Trainer with its samples; its account goes on from the checkpoint that it resumes from."""
    job, account, rows = order.job, Account(rank), ScoresFolder(order.job.scores).sequences()
    if order.resume:
        account.load(order.resume, checkpoints.step_of(order.resume))
    if job.pruning:
        return _dynamic(order, rows, account)
    samples = static_samples(job, rows)

    def keep(micro_batches: MicroBatches, _: int) -> list[list[Example]]:
        return [[samples[number] for number in batch] for batch in micro_batches]

    return build(order, plan_of(job, samples.sample_id_N, len(rows), rank), keep, account)


def with_attention(order: Order, rank: int) -> Order:
    """The order with the attention to train with; a model that cannot be packed is trained padded."""
    job = order.job
    if job.training.removal == "drop":
        check_positions(meta_model(job.model))
    attention = training_attention(job.model, job.training.packing)
    if attention.packed != job.training.packing and rank == 0:
        print(f"trained padded with {attention.implementation} attention: {attention.padded_because}", flush=True)
    training = job.training.model_copy(update={"packing": attention.packed})
    return order.model_copy(update={"job": job.model_copy(update={"training": training}), "attention": attention})


def static_samples(job: Job, rows: Sequences) -> Samples:
    """What a static or a reference cell trains on."""
    giver = circle(rows.sample_id_N, derive_seed(job.seed, "shuffled-responses")) if job.shuffled else None
    samples = Samples(rows, job.training.removal, giver)
    if job.selection:
        samples.select(job.selection)
    return samples


def _dynamic(order: Order, rows: Sequences, account: Account) -> Any:
    from prunegrid.training.dynamic import Dynamic, Moment
    from prunegrid.training.rescoring import Rescoring

    job = order.job
    plan = plan_of(job, rows.sample_id_N, len(rows), account.rank)
    assert job.pruning, "a dynamic cell has a pruning"
    samples = Samples(rows, job.training.removal)
    passes = max(1, job.training.batch_tokens >> order.halvings)
    dynamic = Dynamic(samples, job.pruning, derive_seed(job.seed, "pruning"), passes)
    dynamic.log, dynamic.candidates.counts = account.log, account.counts
    each = steps_per_epoch(len(rows), job.training)
    rescoring = Rescoring(plan, each, job.training.rescore_every, dynamic.candidates.score, account)

    def keep(micro_batches: MicroBatches, step: int) -> list[list[Example]]:
        attach(dynamic, trainer)
        trainer.current = rows.sample_id_N[[row for batch in micro_batches for row in batch]].tolist()
        if step % each == 0:
            probe(dynamic, trainer)
        moment = Moment(step // each, step, account.rank, step / len(plan))
        return dynamic.keep(micro_batches, moment, rescoring.scores(step))

    trainer = build(order, plan, keep, account)
    trainer.dynamic = dynamic
    return trainer


def build(order: Order, plan: list[MicroBatches], keep: Any, account: Account) -> Any:
    """The Trainer, its model and DeepSpeed. The arguments come first: ZeRO-3 shards the model as it loads."""
    import deepspeed
    from transformers import AutoModelForCausalLM, TrainingArguments, set_seed

    from prunegrid.models.head import patch_forward
    from prunegrid.training.trainer import PrunedTrainer

    job = order.job
    assert order.attention, "`with_attention` comes first"
    _import_muon_uncompiled()
    if job.device == "cpu":
        # An optional C++ op that takes over a minute to compile at first use; gloo serves instead.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(order.reports)
    seed = derive_seed(job.seed, "training") % 2**31
    arguments = TrainingArguments(**trainer_arguments(job, len(plan), seed), output_dir=str(order.checkpoints))
    set_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(
        job.model,
        dtype=torch.bfloat16 if job.training.bf16 else torch.float32,
        attn_implementation=order.attention.implementation,
        use_safetensors=True,
        trust_remote_code=may_run_code(job.model),
        **placement(job),
    )
    fallbacks = liger.apply(model, arguments.device) if job.training.use_liger_kernel else {}
    for what in fallbacks.values():
        print(what, flush=True)
    for module in (model, model.get_output_embeddings()):
        patch_forward(module)
    if order.checkpoints_layers:
        checkpoint_layers(model)
    if job.training.method == "lora":
        model = _with_lora(model, job.training)
    arguments.hf_deepspeed_config.config["zero_optimization"] |= buckets(model)
    tokenizer = load_tokenizer(job.model)
    return PrunedTrainer(
        order=order,
        plan=plan,
        keep=keep,
        account=account,
        fallbacks=fallbacks,
        model=model,
        args=arguments,
        processing_class=tokenizer,
    )


def placement(job: Job) -> dict[str, Any]:
    """Weights are read straight onto a rank's GPU; ZeRO-3 divides them as it reads them."""
    on_gpu = job.device == "cuda" and job.training.zero_stage < 3
    return {"device_map": {"": f"cuda:{os.environ['LOCAL_RANK']}"}} if on_gpu else {}


def checkpoint_layers(model: Any) -> None:
    """Compute activations anew in the backward pass. transformers 5.23 renamed the method."""
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def buckets(model: Any) -> dict[str, int]:
    """DeepSpeed's buckets in elements: no larger than what is trained. It allocates them whole, one rank's too."""
    shapes = (getattr(one, "ds_numel", one.numel()) for one in model.parameters() if one.requires_grad)
    size = min(BUCKET, sum(shapes))
    return {"reduce_bucket_size": size, "allgather_bucket_size": size + size % 2}


def _unpickle_no_code() -> None:
    """A checkpoint's pickles may hold tensors and plain values only: DeepSpeed would run whatever they ask for."""
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    torch.serialization.add_safe_globals([LossScaler, ZeroStageEnum, fragment_address])


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

    return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **training.lora.model_dump()))


BUCKET = 500_000_000  # DeepSpeed's own default
OURS = {
    "method", "lora", "mode", "removal", "ranks", "zero_stage", "offload_optimizer", "packing", "batch_tokens",
    "warmup_ratio", "num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps",
    "gradient_checkpointing", "use_liger_kernel", "deterministic", "rescore_every",
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
        # That an overflow is checked here would cost several kernels a parameter, and a wait; the norm tells as well.
        "bf16": {"enabled": training.bf16, "check_grad_overflow": False},
        "timers": {"throughput": {"enabled": False}},  # it waits for the device at every pass
    }


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except PrunegridError as error:
        sys.exit(str(error))
