"""The keys of scoring and training, and of how jobs run."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator

from prunegrid.experiment.section import Section, added
from prunegrid.pruners.columns import DERIVED_EXTRAS, EXTRAS, PASS_EXTRAS

USUAL_DTYPE = {"cpu": "float32", "cuda": "bfloat16"}  # on a GPU, float32 takes nine times as long and twice the memory


Mode = Literal["static", "dynamic"]
Removal = Literal["mask", "drop"]


class Scoring(Section):
    """The pass over the training set that computes the scores of every sample and token."""

    max_length: int = Field(2048, ge=8, description="cut-off of prompt + response, in tokens")
    batch_tokens: int = Field(4096, ge=8, description="tokens of a forward pass, padding included")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="precision; on a GPU by default bfloat16")
    shards: int = Field(1, ge=1, description="number of jobs; does not affect results")
    extra: list[str] = added([], description="optional scores to compute in this pass instead of one pass each")

    @field_validator("extra")
    @classmethod
    def check_extra(cls, names: list[str]) -> list[str]:
        for number, name in enumerate(names):
            if name in DERIVED_EXTRAS:
                raise ValueError(f"{name} is derived from {DERIVED_EXTRAS[name]} of all samples; name that one instead")
            if name in EXTRAS and name not in PASS_EXTRAS:
                raise ValueError(f"{name} is made from the finished scores, without a model; leave it out")
            if name not in PASS_EXTRAS:
                raise ValueError(f"{name!r} is not an optional score; choose from {', '.join(sorted(PASS_EXTRAS))}")
            if name in names[:number]:
                raise ValueError(f"{name} is named twice; leave one out")
        return names


class Pruning(Section):
    """How static selections are made."""

    shards: int = Field(1, ge=1, description="number of parts of the token table, pruned by one job each")


class Lora(Section):
    """LoRA, under peft's names."""

    r: int = Field(8, ge=1, description="rank")
    lora_alpha: int = Field(16, description="the update is scaled by lora_alpha / r")
    lora_dropout: float = Field(0.0, description="dropout before the update")
    target_modules: str | list[str] = Field("all-linear", description="modules to adapt")


class Training(Section):
    """Fine-tuning, under the Trainer's and DeepSpeed's names. Batch sizes count candidate samples, before pruning."""

    method: Literal["lora", "full"] = Field("lora", description="train an adapter, or all weights")
    lora: Lora = Field(Lora(), description="settings of method: lora")
    mode: Mode = Field("static", description="prune once before training, or every mini-batch in training (dynamic)")
    removal: Removal = Field("mask", description="pruned tokens stay as context (mask), or leave the input (drop)")
    optim: Literal["adamw_torch", "adamw_torch_fused", "sgd", "adagrad", "rmsprop"] = Field(
        "adamw_torch", description="optimizer"
    )
    adam_beta1: float = Field(0.9, ge=0, lt=1, description="decay rate of the first moment")
    adam_beta2: float = Field(0.999, ge=0, lt=1, description="decay rate of the second moment")
    adam_epsilon: float = Field(1e-8, gt=0, description="added to the denominator")
    learning_rate: float = Field(1e-4, ge=0, description="peak learning rate")
    lr_scheduler_type: Literal["cosine", "linear", "constant", "constant_with_warmup", "inverse_sqrt"] = Field(
        "cosine", description="learning-rate schedule"
    )
    warmup_ratio: float = Field(0.1, ge=0, lt=1, description="fraction of the steps used for warm-up")
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay")
    max_grad_norm: float = Field(1.0, ge=0, description="gradient norm to clip at")
    num_train_epochs: int = Field(3, ge=1, description="passes over the training set")
    max_steps: int | None = Field(None, ge=1, description="optimizer steps, instead of num_train_epochs")
    per_device_train_batch_size: int = Field(
        8, ge=1, description="samples of a rank in a micro-batch; in dynamic mode the mini-batch that is pruned"
    )
    gradient_accumulation_steps: int = Field(4, ge=1, description="micro-batches of an optimizer step")
    packing: bool = Field(
        True, description="pack samples into one sequence, isolated from each other, instead of padding"
    )
    batch_tokens: int = Field(4096, ge=8, description="with packing: maximum tokens of a rank's forward pass")
    ranks: int = Field(1, ge=1, description="processes, one GPU each if there are GPUs")
    zero_stage: Literal[0, 1, 2, 3] = Field(2, description="stage of DeepSpeed ZeRO")
    offload_optimizer: bool = Field(False, description="keep optimizer states in the host's memory (GPUs only)")
    bf16: bool = Field(False, description="train in bfloat16; on by default on a GPU")
    gradient_checkpointing: bool | Literal["auto"] = Field(
        False, description="recompute activations; auto: only if they would not fit the GPU"
    )
    use_liger_kernel: bool = Field(False, description="Liger's fused kernels (GPUs only)")
    deterministic: bool = added(False, description="use deterministic kernels only")
    rescore_every: Annotated[int, Field(ge=1)] | Literal["epoch"] = added(
        1, description="dynamic mode: score the candidates of this many steps, or of an epoch, at once"
    )
    loss_divisor: Literal["trained_tokens", "kept_tokens"] = added(
        "trained_tokens", description="divide the loss by the trained tokens, or by all kept tokens including prompts"
    )
    loss_average: Literal["global_batch", "micro_batch"] = added(
        "global_batch", description="average over a step's tokens, or give the mean of each micro-batch equal weight"
    )
    accumulation: Literal["mean", "sum"] = added(
        "mean", description="average a rank's micro-batches, or sum their gradients, which are clipped as a sum"
    )
    steps: Literal["full", "kept"] = added("full", description="length of an epoch: all data, or only what is kept")
    prune_samples: Literal["batch", "epoch"] = added(
        "batch", description="dynamic mode: choose samples of each mini-batch, or of all data at an epoch's start"
    )
    prune_twice: bool = added(False, description="apply the sample ratio to each mini-batch a second time, at random")
    scheduler_steps: Literal["taken", "full"] = added(
        "taken", description="length of the learning-rate schedule: the steps taken, or those of all data"
    )


LAYOUT = ("ranks", "zero_stage", "offload_optimizer", "bf16", "gradient_checkpointing", "use_liger_kernel")
SHARED = frozenset(["mode", "removal", "method", "lora", *LAYOUT])
"""Keys that a variant's `training` may not have: `mode` and `removal` stand beside it, others are the experiment's."""


class Runtime(Section):
    """How jobs run. A change does not affect results and reruns no cell, unless deleted weights are needed again."""

    nodes: int = Field(1, ge=1, description="machines of a Slurm allocation that share the ranks of one training")
    save_steps: int = Field(100, ge=1, description="optimizer steps between checkpoints")
    report_to: list[Literal["tensorboard", "wandb", "mlflow", "trackio", "comet_ml", "swanlab"]] = Field(
        ["tensorboard"], description="the Trainer's loggers"
    )
    retention: Literal["all", "adapters", "scores"] = Field(
        "all", description="trained models to keep after evaluation: all, LoRA adapters, or none (scores)"
    )
    cells_per_gpu: int = added(1, ge=1, description="number of single-rank jobs that may share a GPU")
    gpu_memory_gb: float | None = added(
        None, gt=0, description="memory of a GPU, in 10^9 bytes; by default the card's own, or 80 in estimates"
    )

    @classmethod
    def from_config(cls, values: dict[str, Any]) -> Self:
        """The section of an experiment's config, which Snakemake gives to scripts as plain values."""
        return cls.model_validate(values.get("runtime") or {})

    def sharers(self, ranks: int) -> int:
        """How many jobs of so many ranks share a GPU; a job of several ranks shares none of its GPUs."""
        return self.cells_per_gpu if ranks == 1 else 1
