"""The keys of benchmarks, and of how models are evaluated on them."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from prunegrid.core.errors import PrunegridError
from prunegrid.experiment.dataset import DataRef
from prunegrid.experiment.decoding import Decoding, Generation
from prunegrid.experiment.examples import Examples
from prunegrid.experiment.names import AVERAGE, IMPORTED, TRANSFORMERS, Engine
from prunegrid.experiment.section import InputPath, Name, Section, added
from prunegrid.tasks.catalog import find_task, known_tasks
from prunegrid.tasks.stock import PREFIX, SETTINGS, StockTask
from prunegrid.tasks.task import Task, find_temperature
from prunegrid.tasks.template import template_task

PATTERN = ("model", "cell", "budget", "variant", "seed", "benchmark")  # what names a file of imported scores


class Benchmark(Section):
    """One column of the table: a task by its name, or one that this section describes (`kind`)."""

    task: str | None = added(None, description="task of the protocol, of evaluation.tasks, or lm-eval's own")
    data: DataRef = added(None, description="the task's items; by default those that the task names")
    limit: int | None = Field(None, ge=1, description="use only the first N items")
    gen_kwargs: Generation = added(Generation(), description="replaces these keys of the task's generation_kwargs")
    repeats: int = added(1, ge=1, description="answers sampled for each item; the item's value is their mean")
    examples: Examples | InputPath | None = added(
        None, description="few-shot examples for generated answers: rows of a data set, or a text file"
    )
    num_fewshot: int | None = added(
        None, ge=0, description="for tasks of lm-eval: number of few-shot examples; by default the task's own"
    )
    system_prompt: str | None = added(None, description="for tasks of lm-eval: system prompt")
    chat_template: bool = added(
        False, description="for tasks of lm-eval: format prompts with the model's chat template"
    )
    kind: Literal["choice", "generate", "imported"] | None = added(
        None, description="instead of task: multiple choice, generated answers, or scores imported from files"
    )
    scores: str | None = added(
        None, description="with kind: imported: file of a cell's scores, with {model} and {cell}"
    )
    filter: str | None = added(None, description="with kind: imported: lm-eval's filter, if the files have several")
    prompt: str | None = added(None, description="with kind: the prompt, as Jinja of an item's fields")
    choices: str | list[str] | None = added(
        None, description="with kind: choice: the options, as Jinja that gives a list"
    )
    labels: str | list[str] | None = added(
        None, description="with kind: choice: labels of the options, if answers name them"
    )
    answer: str | None = added(None, description="with kind: the right answer, as Jinja: a text, or an option's index")
    metric: str | None = added(
        None, description="with kind: choice: acc, acc_norm; with generate: exact_match, number, f1, ..."
    )
    extract: str | None = added(
        None, description="with kind: generate: the part of the answer to score: a name, or a regex"
    )
    stop: list[str] | None = added(
        None, description="with kind: generate: texts that end an answer; by default a blank line"
    )
    max_tokens: int | None = added(
        None, ge=1, description="with kind: generate: maximum tokens of an answer; 256 by default"
    )
    cluster: list[str] = added(
        [], description="fields whose equal values mark dependent items, such as a shared passage"
    )
    items: int | None = added(None, ge=1, description="number of items, for estimates before the file exists")
    tokens: dict[Literal["prompt", "options", "answer"], int] = added(
        {}, description="tokens of a typical item, for estimates"
    )

    @property
    def example_rows(self) -> Examples | None:
        """The examples, if they are rows."""
        return self.examples if isinstance(self.examples, Examples) else None

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
            raise ValueError(f"scores has {error}, an unknown placeholder; use {known}") from None
        if not file:
            raise ValueError("scores is missing; give the file of each cell, such as judge/{model}/{cell}.jsonl")
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

    protocol: Literal["harness", "paper"] = Field(
        "harness", description="tasks after lm-eval (harness), or after the paper"
    )
    tasks: list[str] = added([], description="external tasks: folders of lm-eval YAML, or module:function")
    batch_tokens: int = Field(
        8192, ge=8, description="tokens of a forward pass, padding and the longest answer included"
    )
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="precision; on a GPU by default bfloat16")
    engine: Engine = added(TRANSFORMERS, description="library that generates and scores answers; vllm is an extra")
    share_prefixes: bool = added(
        False, description="compute a prefix shared by several prompts only once; transformers only"
    )
    decoding: Decoding = added(Decoding(), description="how answers are sampled, unless gen_kwargs says otherwise")
    items: Literal["full", "slim", "scores"] = added(
        "full", description="texts in item files: all; slim: the model's answers only; scores: none"
    )
    benchmarks: dict[Name, Benchmark] = Field(min_length=1, description="columns of the table")

    @model_validator(mode="after")
    def check_tasks(self) -> Self:
        """Benchmarks whose task names its own data set get it."""
        tasks = known_tasks(self.protocol)
        if self.share_prefixes and self.engine != TRANSFORMERS:
            raise ValueError(f"share_prefixes is for engine {TRANSFORMERS}; remove it")
        if not self.asked:
            raise ValueError("all benchmarks are imported; add one that models are evaluated on")
        for name, benchmark in self.benchmarks.items():
            if name == AVERAGE:
                raise ValueError(f"benchmarks.{name} is the name of the average's column; choose another")
            if benchmark.kind == IMPORTED:
                continue
            data, is_stock = None, False
            asked = (benchmark.gen_kwargs, self.decoding) != (Generation(), Decoding()) or benchmark.examples
            changed = asked or benchmark.settings
            if changed or not (benchmark.kind or benchmark.task in tasks):
                task = _checked(partial(self.find_task, name), f"benchmarks.{name}: ")
                data, is_stock = task.data, isinstance(task, StockTask)
                if (drawn := _decoded(benchmark, task, self.decoding)) != benchmark:
                    benchmark = self.benchmarks[name] = drawn
                    task = _checked(partial(self.find_task, name), f"benchmarks.{name}: ")
                _check_seed(name, benchmark, task)
                _check_examples(name, benchmark, task)
            _check_stock(name, benchmark, is_stock)
            _check_repeats(name, benchmark)
            if benchmark.data is None and not is_stock:
                if data is None:
                    raise ValueError(f"benchmarks.{name}.data is missing; add it")
                self.benchmarks[name] = benchmark.model_copy(update={"data": DataRef.model_validate(data)})
        self._check_decoding()
        return self

    def _check_decoding(self) -> None:
        if self.decoding != Decoding() and not any(map(_is_drawn, self.asked.values())):
            raise ValueError("no benchmark uses decoding: all answers are options, or greedy; remove it")

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


def _decoded(benchmark: Benchmark, task: Task, decoding: Decoding) -> Benchmark:
    """The benchmark with what `decoding` says of it; lm-eval's own tasks and options are as they are."""
    kwargs = task.config.get("generation_kwargs")
    if decoding == Decoding() or kwargs is None or isinstance(task, StockTask):
        return benchmark
    generation = decoding.under(benchmark.gen_kwargs, find_temperature(kwargs))
    return benchmark.model_copy(update={"gen_kwargs": generation})


def _is_drawn(benchmark: Benchmark) -> bool:
    return bool(benchmark.gen_kwargs.temperature) or benchmark.gen_kwargs.seed is not None


def _check_seed(name: str, benchmark: Benchmark, task: Task) -> None:
    kwargs = task.config.get("generation_kwargs", {"do_sample": False})
    if benchmark.gen_kwargs.seed is not None and not isinstance(task, StockTask) and not find_temperature(kwargs):
        raise ValueError(f"benchmarks.{name}.gen_kwargs.seed has no effect on greedy answers; remove it")


def _check_examples(name: str, benchmark: Benchmark, task: Task) -> None:
    place = f"benchmarks.{name}.examples"
    if benchmark.examples is None:
        return
    if isinstance(task, StockTask):
        raise ValueError(f"{place}: lm-eval's own tasks draw their examples; give num_fewshot instead")
    if "generation_kwargs" not in task.config:
        raise ValueError(f"{place}: answers of {task.name} are options, not generated; remove it")
    if shots := task.config.get("num_fewshot"):
        raise ValueError(f"{place}: {task.name} has {shots} examples of its own; take another task, or remove it")


def _check_repeats(name: str, benchmark: Benchmark) -> None:
    if benchmark.repeats > 1 and not benchmark.gen_kwargs.temperature:
        raise ValueError(
            f"benchmarks.{name}.repeats is {benchmark.repeats}, but greedy answers to an item are all the same; "
            "give gen_kwargs: {temperature: ...}, or leave repeats out"
        )


def _check_stock(name: str, benchmark: Benchmark, is_stock: bool) -> None:
    """Refuse keys that are for lm-eval's own tasks only, or for others only."""
    if benchmark.settings and not is_stock:
        key, task = next(iter(benchmark.settings)), f"{PREFIX}{benchmark.task}"
        raise ValueError(f"benchmarks.{name}.{key} is for lm-eval's own tasks; give task: {task}, or remove {key}")
    if is_stock and _is_drawn(benchmark):
        key = "temperature" if benchmark.gen_kwargs.temperature else "seed"
        raise ValueError(f"benchmarks.{name}.gen_kwargs: lm-eval's own tasks are decoded greedily; remove {key}")


def _checked(find: Callable[[], Any], place: str = "") -> Any:
    """What `find` returns; its `PrunegridError` as a validator's error."""
    try:
        return find()
    except PrunegridError as error:
        raise ValueError(f"{place}{error.where}: {error.what}; {error.fix}") from None
