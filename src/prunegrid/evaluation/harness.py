"""Runs one benchmark with lm-eval: its model wrapper, its task objects, its evaluator.

`lm_eval.evaluator.evaluate` is called without `simple_evaluate` around it, which queries the hub for the model's
digest, runs `git` and collects the machine's environment (about a second, and none of it is used here).
Importing this module imports torch and lm-eval: set HF_HUB_OFFLINE first.
"""

import functools
import logging
import random
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

GREEDY = {"until": [], "do_sample": False, "max_gen_toks": 0}


class Docs(list[dict[str, Any]]):
    """A split as lm-eval reads it: documents and their `features`. A `datasets.Dataset` would slow the start."""

    @property
    def features(self) -> dict[str, None]:
        return dict.fromkeys(self[0])


class WholeStringChoice(ConfigurableTask):
    """A multiple-choice task that answers with the option whose whole string has the lowest NLL per token.

    The string is prompt, delimiter and option; the first one wins a tie. The only metric is `acc`.
    """

    def construct_requests(self, doc: dict[str, Any], ctx: Any, **kwargs: Any) -> Any:
        requests = super().construct_requests(doc, ctx, **kwargs)
        for request in requests:
            request.request_type = "nll_per_token"
        return requests

    def process_results(self, doc: dict[str, Any], results: list[float]) -> dict[str, float]:
        scored: dict[str, float] = super().process_results(doc, [(-nll, False) for nll in results])
        return {"acc": scored["acc"]}


@functools.cache
def configure_lm_eval() -> None:
    """Change lm-eval in this process: fewer warnings, and each Jinja template compiled once."""
    # it warns about a model passed in, which is intended, and about truncation, which the record counts
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    # it compiles a task's templates for every item, which takes twice as long as a small model's answers
    utils.env.from_string = functools.cache(utils.env.from_string)


def wrap(model: Any, model_dir: Path, batch_tokens: int) -> LanguageModel:
    """The loaded model and the tokenizer of `model_dir` for lm-eval."""
    tokenizer = load_tokenizer(model_dir)
    if tokenizer.eos_token is None:
        problem = "the tokenizer has no eos_token, so generation could not end"
        raise PrunegridError(model_dir, problem, "set it in tokenizer_config.json")
    if model.generation_config.eos_token_id is None:
        model.generation_config.eos_token_id = tokenizer.eos_token_id
    return LanguageModel(model, tokenizer, batch_tokens)


def run(lm: Any, name: str, task: dict[str, Any], docs: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Evaluate a `LanguageModel` or `VllmModel` on one benchmark: lm-eval's `metrics` and per-item `samples`.

    Samples have the item's texts as well (`records.TEXTS`). `n_truncated` is the number of items of which a prompt was
    truncated.
    """
    configure_lm_eval()
    check_generation(name, task.get("generation_kwargs", GREEDY), lm.max_length)
    config = {**task, "task": name, "custom_dataset": lambda **_: {task["test_split"]: Docs(docs)}}
    whole_strings = task["metadata"].get("scored_by") == "nll_per_token"
    task_object = (WholeStringChoice if whole_strings else ConfigurableTask)(config=config)
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
    truncated = {sample["doc_id"] for sample in samples for args in sample["arguments"] if lm.is_truncated(*args)}
    return {"metrics": results["results"][name], "samples": samples, "n_truncated": len(truncated)}


def check_generation(name: str, generation: dict[str, Any], max_length: int) -> None:
    """Refuse generation settings that would not be followed, and a context too short for a prompt and an answer."""
    if generation.keys() != GREEDY.keys() or generation["do_sample"]:
        fix = "give exactly until, max_gen_toks and do_sample: false"
        raise PrunegridError(f"{name}: generation_kwargs", f"{generation} ask for more than greedy decoding", fix)
    if (length := generation["max_gen_toks"]) >= max_length:
        problem = f"{length} leaves no room for a prompt in the model's context of {max_length} tokens"
        fix = "lower it, or take a model with a longer context"
        raise PrunegridError(f"{name}: generation_kwargs.max_gen_toks", problem, fix)
