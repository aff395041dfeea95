"""Runs one benchmark with lm-eval: its model wrapper, its task objects, its evaluator.

`lm_eval.evaluator.evaluate` is called without `simple_evaluate` around it, which queries the hub for the model's
digest, runs `git` and collects the machine's environment (about a second, and none of it is used here).
Importing this module imports torch and lm-eval: set HF_HUB_OFFLINE first.
"""

import functools
import logging
import random
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lm_eval import utils
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate

from prunegrid.core.errors import PrunegridError
from prunegrid.evaluation.language_model import LanguageModel
from prunegrid.evaluation.records import item_texts
from prunegrid.models import load_tokenizer
from prunegrid.tasks.task import WHOLE_STRING, find_temperature

GREEDY = {"until": [], "do_sample": False, "max_gen_toks": 0}


class Docs(list[dict[str, Any]]):
    """A split as lm-eval reads it: documents and their `features`. A `datasets.Dataset` would slow the start."""

    @property
    def features(self) -> dict[str, None]:
        return dict.fromkeys(self[0])


class WholeStringChoice(ConfigurableTask):
    """A multiple-choice task that answers with the option whose whole string has the lowest mean NLL.

    The string is prompt, delimiter and option; the metadata `scored_by` says which mean (`WHOLE_STRING`). The first one
    wins a tie. The only metric is `acc`.
    """

    def construct_requests(self, doc: dict[str, Any], ctx: Any, **kwargs: Any) -> Any:
        requests = super().construct_requests(doc, ctx, **kwargs)
        for request in requests:
            request.request_type = self.config.metadata["scored_by"]
        return requests

    def process_results(self, doc: dict[str, Any], results: list[float]) -> dict[str, float]:
        scored: dict[str, float] = super().process_results(doc, [(-nll, False) for nll in results])
        return {"acc": scored["acc"]}


class SampledTask(ConfigurableTask):
    """A task that asks each item `repeats` times, each request with its own seed, and scores the mean of the answers.

    `drawn` has the values of each item's answers by metric, in the order of lm-eval's samples. A metric whose values
    are no numbers, since it is made of all items at once, has no mean: it is left out if answers are several.
    """

    def __init__(self, config: dict[str, Any], repeats: int, seed: int) -> None:
        super().__init__(config=config)
        self.repeats, self.seed = repeats, seed
        self.drawn: list[dict[str, list[float]]] = []

    def construct_requests(self, doc: dict[str, Any], ctx: Any, **kwargs: Any) -> Any:
        item = kwargs["metadata"][1]
        requests = []
        for sample in range(self.repeats):
            request = super().construct_requests(doc, ctx, **kwargs)
            request.idx = sample
            request.arguments[1]["seed"] = (self.seed, item, sample)
            requests.append(request)
        return requests

    def process_results(self, doc: dict[str, Any], results: list[str]) -> Any:
        score = super().process_results
        if self.repeats == 1:
            return score(doc, results)
        scores = [score(doc, [result]) for result in results]
        numbers = [
            metric for metric, value in scores[0].items() if isinstance(value, int | float | np.number | np.bool)
        ]
        self.drawn.append({metric: [float(each[metric]) for each in scores] for metric in numbers})
        return {metric: statistics.fmean(values) for metric, values in self.drawn[-1].items()}

    def spread(self, place: int, metric: str) -> dict[str, Any]:
        """The columns `records.SAMPLE_COLUMNS` of the sample at this place, if answers are several."""
        if self.repeats == 1:
            return {}
        values = self.drawn[place][metric]
        return {"n_samples": self.repeats, "value_variance": statistics.variance(values), "draws": values}


@functools.cache
def configure_lm_eval() -> None:
    """Change lm-eval in this process: fewer warnings, and each Jinja template compiled once."""
    # it warns about a model passed in, which is intended, and about truncation, which the record counts
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    # it compiles a task's templates for every item, which takes twice as long as a small model's answers
    utils.env.from_string = functools.cache(utils.env.from_string)


def wrap(model: Any, model_dir: Path, batch_tokens: int, share_prefixes: bool = False) -> LanguageModel:
    """The loaded model and the tokenizer of `model_dir` for lm-eval."""
    tokenizer = load_tokenizer(model_dir)
    if tokenizer.eos_token is None:
        problem = "the tokenizer has no eos_token, so generation could not end"
        raise PrunegridError(model_dir, problem, "set it in tokenizer_config.json")
    if model.generation_config.eos_token_id is None:
        model.generation_config.eos_token_id = tokenizer.eos_token_id
    return LanguageModel(model, tokenizer, batch_tokens, share_prefixes)


def run(
    lm: Any, name: str, task: dict[str, Any], docs: list[dict[str, Any]], seed: int, repeats: int = 1
) -> dict[str, Any]:
    """Evaluate a `LanguageModel` or `VllmModel` on one benchmark: lm-eval's `metrics` and per-item `samples`.

    With `repeats` an item's value is the mean over so many answers (`SampledTask`).

    Samples have the item's texts as well (`records.TEXTS`). `n_truncated` is the number of items of which a prompt was
    truncated; `sampled`, whether answers are drawn.
    """
    configure_lm_eval()
    generation = task.get("generation_kwargs", GREEDY)
    check_length(name, generation, lm.max_length)
    config = {**task, "task": name, "custom_dataset": lambda **_: {task["test_split"]: Docs(docs)}}
    task_object = _task(config, seed, repeats)
    task_object.set_fewshot_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    lm.truncated.clear()
    try:
        results = evaluate(lm, {"tasks": {name: task_object}}, log_samples=True)
    except PrunegridError as error:
        raise PrunegridError(f"{name}: {error.where}", error.what, error.fix) from None
    samples = [sample | item_texts(task_object, sample["doc"], sample["target"]) for sample in results["samples"][name]]
    if isinstance(task_object, SampledTask):
        metric = task["metadata"]["table_metric"]
        samples = [sample | task_object.spread(place, metric) for place, sample in enumerate(samples)]
    truncated = {sample["doc_id"] for sample in samples for args in sample["arguments"] if lm.is_truncated(*args)}
    return {
        "metrics": results["results"][name],
        "samples": samples,
        "n_truncated": len(truncated),
        "sampled": isinstance(task_object, SampledTask),
    }


def _task(config: dict[str, Any], seed: int, repeats: int) -> ConfigurableTask:
    generation = config.get("generation_kwargs", GREEDY)
    if find_temperature(generation):
        return SampledTask(config, repeats, generation.get("seed", seed))
    if config["metadata"].get("scored_by") in WHOLE_STRING:
        return WholeStringChoice(config=config)
    return ConfigurableTask(config=config)


def check_length(name: str, generation: dict[str, Any], max_length: int) -> None:
    """Refuse a context too short for a prompt and an answer."""
    if (length := generation["max_gen_toks"]) >= max_length:
        problem = f"{length} leaves no room for a prompt in the model's context of {max_length} tokens"
        fix = "lower it, or take a model with a longer context"
        raise PrunegridError(f"{name}: generation_kwargs.max_gen_toks", problem, fix)
