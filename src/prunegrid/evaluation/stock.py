"""lm-eval's own tasks and groups, built by lm-eval on splits that are given to it, and run as its command runs them.

Importing this module imports torch and lm-eval. What is changed in lm-eval's tasks: where data sets come from, that a
zero-shot task reads no examples, and that settings of generation are complete.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lm_eval import tasks as lm_eval_tasks
from lm_eval.api.group import Group
from lm_eval.api.metrics import mean
from lm_eval.api.task import ConfigurableTask
from lm_eval.config.group import AggMetricConfig
from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.tasks import TaskManager
from lm_eval.tasks._factory import TaskFactory

from prunegrid.core.errors import PrunegridError, first_line
from prunegrid.tasks.stock import StockTask

ROOT = Path(lm_eval_tasks.__file__).parent
GREEDY_KEYS = {"until", "max_gen_toks", "do_sample", "temperature", "top_p", "top_k", "min_p", "num_beams"}
"""Settings of generation that may stand in a task: with `do_sample: false` those of sampling have no effect."""

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask as TaskMixin
else:
    TaskMixin = object

OpenSplits = Callable[[str | None, str | None, dict[str, Any]], Mapping[str, Any]]
"""A data set's splits by name, from its hub id, its config and further options of `load_dataset`."""


class LocalTask(TaskMixin):
    """Mixed into a class of lm-eval's tasks: its data come from `open_splits`; `chosen` items only are run."""

    open_splits: Any
    items: Any
    shots: int
    chosen: frozenset[int] | None = None
    _instances: Any

    def download(self, *_: Any, **__: Any) -> None:
        config: Any = self.config
        if callable(config.custom_dataset):
            raise _refusal(config.task, "builds its items with custom code (custom_dataset)")
        options = {key: value for key, value in (config.dataset_kwargs or {}).items() if key != "trust_remote_code"}
        self.dataset = self.open_splits(self.DATASET_PATH, self.DATASET_NAME, options)
        if self.items is not None:
            self.dataset[config.test_split or config.validation_split] = self.items

    def fewshot_docs(self) -> Any:
        return super().fewshot_docs() if self.shots else None

    def aggregation(self) -> dict[str, Any]:
        """lm-eval's; what is not a mean over items is not computed: its bootstrap takes minutes."""
        functions = super().aggregation()
        return {metric: function if function is mean else _no_mean for metric, function in functions.items()}

    def construct_requests(self, doc: Any, ctx: Any, **kwargs: Any) -> Any:
        requests = super().construct_requests(doc, ctx, **kwargs)
        for request in requests if isinstance(requests, list) else [requests]:
            if request.request_type == "generate_until":
                context, generation = request.arguments
                request.arguments = (context, greedy(self.config.task, generation))
        return requests

    def build_all_requests(self, **kwargs: Any) -> None:
        """Those of all items, so that each gets the examples it has in a run of all; then only the chosen remain."""
        super().build_all_requests(**kwargs)
        self._instances = [each for each in self._instances if self._is_chosen(each.doc_id)]
        self.doc_iterator = self._chosen_docs

    def _chosen_docs(self, **kwargs: Any) -> Iterable[tuple[int, Any]]:
        docs = super().doc_iterator(**kwargs)
        return ((doc_id, doc) for doc_id, doc in docs if self._is_chosen(doc_id))

    def _is_chosen(self, doc_id: int) -> bool:
        return self.chosen is None or doc_id in self.chosen


class LocalFactory(TaskFactory):
    """lm-eval's factory of tasks, with `LocalTask` in each; `files` holds the YAML files that it has read."""

    def __init__(self, open_splits: OpenSplits, settings: Mapping[str, Any], items: Any) -> None:
        super().__init__()
        self.shared, self.settings = {"open_splits": staticmethod(open_splits), "items": items}, settings
        self.files: set[Path] = set()

    def build(self, entry: Any, **kwargs: Any) -> Any:
        self.files |= {entry.yaml_path} if entry.yaml_path else set()
        return super().build(entry, **kwargs)

    def _build_task(self, entry: Any, overrides: dict[str, Any] | None) -> Any:
        self.files.add(entry.yaml_path)
        config = self._load_full_config(entry, overrides)
        for key in ("tag", "group", "task_list"):
            config.pop(key, None)
        config["num_fewshot"] = self._shots(config)
        if callable(config.get("process_docs")):
            config["process_docs"] = _once(config["process_docs"])
        base = config.get("class", ConfigurableTask)
        attributes = {**self.shared, "shots": config["num_fewshot"]}
        task = type(base.__name__, (LocalTask, base), attributes)(config=config)
        task.set_config("num_fewshot", config["num_fewshot"])
        task.set_config("task", config["task"])
        if task.OUTPUT_TYPE == "generate_until" and "gen_kwargs" in self.settings:
            task.set_config("generation_kwargs", dict(self.settings["gen_kwargs"]), update=True)
        return task

    def _shots(self, config: dict[str, Any]) -> int:
        """The number of examples; lm-eval never changes one that a task sets to 0."""
        wanted, own = self.settings.get("num_fewshot"), config.get("num_fewshot")
        if wanted and own == 0:
            problem = f"is zero-shot by its own configuration, so num_fewshot: {wanted} has no effect"
            raise PrunegridError(f"lm-eval's {config['task']}", problem, "remove num_fewshot, or take another task")
        return int(own or 0) if wanted is None else int(wanted)


@dataclass(frozen=True)
class LoadedTask:
    """What a name of lm-eval's stands for: `tasks` by name in lm-eval's order; the `group`, if it is one."""

    name: str
    tasks: dict[str, Any]
    group: Any
    folders: list[str]

    @property
    def version(self) -> Any:
        return self.group.version if self.group else next(iter(self.tasks.values())).VERSION

    @property
    def sizes(self) -> dict[str, int]:
        """The number of items of each task."""
        return {name: len(task.eval_docs) for name, task in self.tasks.items()}


@cache
def _all_tasks() -> TaskManager:
    """The index of all of lm-eval's tasks, which takes six seconds."""
    return TaskManager()


def _tasks_of(folders: list[Path]) -> TaskManager:
    return TaskManager(include_path=folders, include_defaults=False)


def load(
    task: StockTask, open_splits: OpenSplits, folders: Iterable[str] | None = None, items: Any = None
) -> LoadedTask:
    """The task, its splits read by `open_splits`; with `items`, a data set, these in place of the split that is asked.

    `folders` are those of lm-eval's that define it; by default all are searched, which takes seconds.

    Raises a `PrunegridError` for what cannot be a column: no text, code that is run, sampling, no such split.
    """
    _seed()
    manager = copy(_all_tasks()) if folders is None else _tasks_of([ROOT / folder for folder in folders])
    manager._factory = factory = LocalFactory(open_splits, task.settings, items)
    try:
        contents = manager.load([task.name])
    except PrunegridError:
        raise
    except Exception as error:  # of lm-eval, of `datasets`, of a task's own code
        problem = f"cannot be built ({type(error).__name__}: {first_line(error)})"
        fix = "see its README in lm-eval: it may need a package"
        raise PrunegridError(f"lm-eval's {task.name}", problem, fix) from error
    for each in contents["tasks"].values():
        _check(each)
        each.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)
    if "gen_kwargs" in task.settings and all(
        each.OUTPUT_TYPE != "generate_until" for each in contents["tasks"].values()
    ):
        raise PrunegridError(f"gen_kwargs of {task.name}", "its answers are options, not generated", "remove them")
    used = sorted({file.relative_to(ROOT).parts[0] for file in factory.files})
    return LoadedTask(task.name, contents["tasks"], contents["groups"].get(task.name), used)


def table_metric(loaded: LoadedTask, wanted: str | None) -> tuple[str, str]:
    """(metric, filter) of the table: `wanted` (`metric` or `metric,filter`), else lm-eval's first."""
    tasks = list(loaded.tasks.values())
    metrics = _common(list(map(_means, tasks)))
    filters = _common([[each.name for each in task._filters] for task in tasks])
    metric, _, filter_name = (wanted or _first_metric(loaded)).partition(",")
    filter_name = filter_name or next(iter(filters), "none")
    if metric not in metrics or filter_name not in filters:
        known = ", ".join(f"{name},{each}" if filters != ["none"] else name for name in metrics for each in filters)
        named = f"{metric},{filter_name}" if filters != ["none"] else metric
        problem = f"{named} is not a mean over items (higher is better) that lm-eval computes for all of them"
        fix = f"set metric to one of {known}" if known else "it has no such metric: take another task"
        raise PrunegridError(f"lm-eval's {loaded.name}", problem, fix)
    return metric, filter_name


def check_weights(loaded: LoadedTask, metric: str, limit: int | None) -> None:
    """Refuse a group whose score in lm-eval is the mean of its tasks' scores, unless these have as many items each."""
    configs = loaded.group.aggregate_metric_list if loaded.group else None
    sizes = {min(size, limit or size) for size in loaded.sizes.values()}
    if len(sizes) > 1 and any(each.metric == metric and not each.weight_by_size for each in configs or ()):
        problem = f"lm-eval's score is the mean over tasks of {min(sizes)} to {max(sizes)} items, not a mean over items"
        fix = f"set limit to {min(sizes)} or less, which is per task, or make each task a benchmark"
        raise PrunegridError(f"lm-eval's {loaded.name}", problem, fix)


def group_metrics(name: str, tasks: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of the one task, or means over the items of all tasks, as lm-eval's groups compute them."""
    metrics = _common(list(map(_means, tasks.values())))
    if len(tasks) == 1:
        means = dict(results[next(iter(tasks))])
    else:
        group = Group(name, aggregate_metric_list=[AggMetricConfig(metric) for metric in metrics])
        for each in tasks.values():
            group.add(each)
        means = dict(group.aggregate(results))
    return {key: value for key, value in means.items() if key.partition(",")[0].removesuffix("_stderr") in metrics}


def greedy(name: str, generation: Mapping[str, Any]) -> dict[str, Any]:
    """`generation_kwargs` as lm-eval reads them: exactly until, do_sample: false, max_gen_toks. An error for others."""
    settings = normalize_gen_kwargs(dict(generation))
    if settings["do_sample"] or settings.keys() - GREEDY_KEYS or settings.get("num_beams", 1) != 1:
        fix = "set gen_kwargs: {temperature: 0}, or take another task"
        raise PrunegridError(f"lm-eval's {name}", f"its generation_kwargs {dict(generation)} are not greedy", fix)
    return {key: settings[key] for key in ("until", "do_sample", "max_gen_toks")}


def _check(task: Any) -> None:
    """Refuse what cannot be a column."""
    if not isinstance(task, LocalTask):
        raise _refusal(task.task_name, "is defined within a group")
    if getattr(task, "MULTIMODAL", False):
        raise _refusal(task.task_name, "has images or sound")
    if getattr(task, "UNSAFE_CODE", False):
        raise _refusal(task.task_name, "runs code that models write")
    if task.OUTPUT_TYPE == "loglikelihood_rolling":
        raise _refusal(task.task_name, "measures perplexity, which is not a mean over items")
    if task.OUTPUT_TYPE == "generate_until":
        greedy(task.task_name, task.config.generation_kwargs)


def _refusal(name: str, what: str) -> PrunegridError:
    return PrunegridError(f"lm-eval's {name}", what, "take another task: this one cannot be a column")


def _first_metric(loaded: LoadedTask) -> str:
    configs = loaded.group.aggregate_metric_list if loaded.group else None
    if configs:
        return ",".join([configs[0].metric, *(configs[0].filter_list or [])[:1]])
    return next(iter(next(iter(loaded.tasks.values())).aggregation()), "")


def _means(task: Any) -> list[str]:
    """The metrics that are means over items, the higher the better."""
    higher = task.higher_is_better()
    return [metric for metric, function in task.aggregation().items() if function is mean and higher.get(metric, True)]


def _common(names: list[list[str]]) -> list[str]:
    """The names that are in all lists, in the first one's order."""
    return [name for name in names[0] if all(name in each for each in names)]


def _no_mean(values: Any) -> float:
    return float("nan")


def _once(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`function`, called once for each split. lm-eval calls `process_docs` again for requests and for scores; that it
    shuffles options alike is due to the cache of `datasets`, which splits in memory have not."""
    done: dict[int, Any] = {}

    def process_docs(split: Any) -> Any:
        if id(split) not in done:
            done[id(split)] = split, function(split)  # the split is kept, so that its id stays its own
        return done[id(split)][1]

    return process_docs


def _seed() -> None:
    """The seeds of lm-eval's command."""
    random.seed(DEFAULT_RANDOM_SEED)
    np.random.seed(DEFAULT_OTHER_SEED)
    torch.manual_seed(DEFAULT_OTHER_SEED)
