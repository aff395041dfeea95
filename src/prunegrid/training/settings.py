"""Translate a job's `training` section into the Trainer's arguments and DeepSpeed's configuration."""

from typing import Any

from prunegrid.experiment.training import Training
from prunegrid.training.job import Job
from prunegrid.training.memory_model import BUCKET_ELEMENTS

# Fields that transformers' TrainingArguments has under the same name and with the same meaning. An allow list: a field
# of ours must not reach the Trainer by accident, where its name may mean something else (its `gradient_checkpointing`
# would checkpoint once more). Every other field is read somewhere in this room (tests/unit/training/test_settings.py).
PASSED = (
    "optim",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "learning_rate",
    "lr_scheduler_type",
    "weight_decay",
    "max_grad_norm",
    "bf16",
)


def trainer_arguments(job: Job, steps: int, seed: int) -> dict[str, Any]:
    """The Trainer's arguments for a job of `steps` optimizer steps.

    One of the Trainer's batches is a whole step of a rank, so that it accumulates nothing itself.
    """
    training = job.training
    return {
        **{name: getattr(training, name) for name in PASSED},
        "per_device_train_batch_size": _step_samples(training),
        "gradient_accumulation_steps": 1,
        "max_steps": steps,
        "warmup_steps": training.warmup_ratio,  # the Trainer reads a number below 1 as a share of all steps
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
        "train_micro_batch_size_per_gpu": _step_samples(training),
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
        # Checking for overflow here costs several kernels a parameter, and a wait; the gradient's norm shows it, too.
        "bf16": {"enabled": training.bf16, "check_grad_overflow": False},
        "timers": {"throughput": {"enabled": False}},  # they wait for the device in every pass
    }


def bucket_sizes(model: Any) -> dict[str, int]:
    """DeepSpeed's buckets, in elements: no larger than what is trained, since it allocates them whole, even for one
    rank."""
    parameters = (parameter for parameter in model.parameters() if parameter.requires_grad)
    trained = sum(getattr(parameter, "ds_numel", parameter.numel()) for parameter in parameters)
    size = min(BUCKET_ELEMENTS, trained)
    return {"reduce_bucket_size": size, "allgather_bucket_size": size + size % 2}


def _step_samples(training: Training) -> int:
    return training.per_device_train_batch_size * training.gradient_accumulation_steps
