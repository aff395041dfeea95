"""One rank of a training job: `torchrun -m prunegrid.train.worker JOB.json` (written and started by `launch`)."""

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
from prunegrid.io import read_parquet, write_json
from prunegrid.train.batches import Example, example, schedule, steps_per_epoch
from prunegrid.train.launch import ERROR, Job


def main(spec: Path) -> None:
    job, out, rank = Job.model_validate_json(spec.read_text()), spec.parent, int(os.environ["RANK"])
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    candidates, sample_id_N, examples = read_examples(job)
    plan = schedule(sample_id_N, len(candidates), job.training, derive(job.seed, "data"), rank)
    trainer = build(job, out, examples, plan)
    trainer.train()
    trainer.save_model(str(out))
    if trainer.is_world_process_zero():
        report = describe(job, candidates, examples, trainer)
        write_json(out / "report.json", report)
    trainer.accelerator.wait_for_everyone()
    torch.distributed.destroy_process_group()


def read_examples(job: Job) -> tuple[pa.Table, np.ndarray, list[Example]]:
    """All candidates (ids), and of those kept the sample ids int64[N] and the examples, in the scores' order."""
    table = read_parquet(job.scores / "tokens.parquet", ["sample_id", "prompt_ids", "response_ids"])
    removal = job.training.removal
    chosen = _selection(job.selection) if job.selection else dict.fromkeys(table["sample_id"].to_pylist(), (None, 1.0))
    kept = table.filter(pa.compute.is_in(table["sample_id"], pa.array(chosen, pa.int64())))
    if len(kept) != len(chosen):
        raise PrunegridError(f"{job.selection}: of {len(chosen)} samples, {job.scores} holds {len(kept)}; prune again")
    examples = []
    for row in kept.to_pylist():
        positions, weight = chosen[row["sample_id"]]
        examples.append(example(row["prompt_ids"], row["response_ids"], positions, weight, removal))
    return table, kept["sample_id"].to_numpy(), examples


def _selection(path: Path) -> dict[int, tuple[list[int] | None, float]]:
    table = read_parquet(path, ["sample_id", "kept", "weight"])
    return {row["sample_id"]: (row["kept"], row["weight"]) for row in table.to_pylist()}


def build(job: Job, out: Path, examples: list[Example], plan: list[list[int]]) -> Any:
    """The Trainer, its model and DeepSpeed. The arguments come first: ZeRO-3 shards the model as it loads."""
    import deepspeed
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainingArguments, set_seed

    from prunegrid.train.trainer import PrunedTrainer

    if job.device == "cpu":
        # An optional C++ op that takes over a minute to compile at first use; gloo serves instead.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    seed = derive(job.seed, "training") % 2**31
    steps = len(plan) // job.training.gradient_accumulation_steps
    arguments = TrainingArguments(**trainer_arguments(job, steps, seed), output_dir=str(out / "trainer"))
    set_seed(seed)
    dtype = torch.bfloat16 if job.training.bf16 else torch.float32
    model = AutoModelForCausalLM.from_pretrained(job.model, dtype=dtype)
    if job.training.method == "lora":
        model = _with_lora(model, job.training)
    tokenizer = AutoTokenizer.from_pretrained(job.model)
    return PrunedTrainer(model=model, args=arguments, examples=examples, plan=plan, processing_class=tokenizer)


def _with_lora(model: Any, training: Training) -> Any:
    from peft import LoraConfig, get_peft_model

    if training.gradient_checkpointing:
        model.enable_input_require_grads()
    return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **training.lora.model_dump()))


def trainer_arguments(job: Job, steps: int, seed: int) -> dict[str, Any]:
    training = job.training
    ours = {"method", "lora", "removal", "ranks", "zero_stage", "warmup_ratio", "num_train_epochs"}
    return {
        **training.model_dump(exclude=ours),
        "max_steps": steps,
        "warmup_steps": int(training.warmup_ratio * steps),
        "optim": "adamw_torch",
        "seed": seed,
        "use_cpu": job.device == "cpu",
        "deepspeed": deepspeed_config(training),
        "logging_steps": max(1, steps // 50),
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
    }


def deepspeed_config(training: Training) -> dict[str, Any]:
    """ZeRO with torch's AdamW: no op to compile, the same optimizer on CPU and GPU."""
    return {
        "train_micro_batch_size_per_gpu": training.per_device_train_batch_size,
        "gradient_accumulation_steps": training.gradient_accumulation_steps,
        "gradient_clipping": training.max_grad_norm,
        "zero_optimization": {
            "stage": training.zero_stage,
            "stage3_gather_16bit_weights_on_model_save": training.zero_stage == 3,
        },
        "zero_allow_untested_optimizer": True,
        "bf16": {"enabled": training.bf16},
    }


def describe(job: Job, candidates: pa.Table, examples: list[Example], trainer: Any) -> dict[str, Any]:
    """`training.json`, less the whole job's seconds: tokens are totals over all epochs."""
    import deepspeed
    import transformers

    epochs = job.training.num_train_epochs
    response_tokens = pa.compute.sum(pa.compute.list_value_length(candidates["response_ids"])).as_py()
    curve = [
        {key: entry[key] for key in ("step", "loss", "grad_norm", "learning_rate") if key in entry}
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
    return {
        "steps": trainer.state.global_step,
        "steps_per_epoch": steps_per_epoch(len(candidates), job.training),
        "epochs": epochs,
        "candidate_samples": len(candidates),
        "kept_samples": len(examples),
        "candidate_tokens": response_tokens * epochs,
        "trained_tokens": sum(sum(label >= 0 for label in e.labels) for e in examples) * epochs,
        "forwarded_tokens": sum(len(e.ids) for e in examples) * epochs,
        "loss_curve": curve,
        "loop_seconds": round(trainer.state.log_history[-1]["train_runtime"], 2),
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
        Path(sys.argv[1]).with_name(ERROR).write_text(str(error))
        sys.exit(str(error))
