"""lm-eval's side of an evaluation: its model wrapper, its task objects and one run of one benchmark.

`lm_eval.evaluator.evaluate` is called without `simple_evaluate` around it, which asks the hub for the model's
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
from prunegrid.models import load_tokenizer

# It warns of what is done on purpose here (a model passed in); truncation is counted instead.
logging.getLogger("lm_eval").setLevel(logging.ERROR)

# It compiles a task's Jinja templates anew for every item, which takes a small model's answers' time twice over.
utils.env.from_string = functools.cache(utils.env.from_string)


GREEDY = {"until": [], "do_sample": False, "max_gen_toks": 0}


class Docs(list[dict[str, Any]]):
    """A split as lm-eval reads it: documents and `features` (a `datasets.Dataset` would cost start-up)."""

    @property
    def features(self) -> dict[str, None]:
        return dict.fromkeys(self[0])


class WholeStringChoice(ConfigurableTask):
    """A multiple-choice task whose answer is the option with the lowest NLL per token of the whole string.

    The string is the prompt, the delimiter and the option; of equals the first is taken. The one metric is `acc`.
    """

    def construct_requests(self, doc: dict[str, Any], ctx: Any, **kwargs: Any) -> Any:
        requests = super().construct_requests(doc, ctx, **kwargs)
        for request in requests:
            request.request_type = "nll_per_token"
        return requests

    def process_results(self, doc: dict[str, Any], results: list[float]) -> dict[str, float]:
        scored: dict[str, float] = super().process_results(doc, [(-nll, False) for nll in results])
        return {"acc": scored["acc"]}


def wrap(model: Any, model_dir: Path, batch_tokens: int) -> LanguageModel:
    """The loaded model and the tokenizer of `model_dir` for lm-eval."""
    tokenizer = load_tokenizer(model_dir)
    if tokenizer.eos_token is None:
        raise PrunegridError(f"{model_dir}: the tokenizer has no eos_token; generation could not end")
    if model.generation_config.eos_token_id is None:
        model.generation_config.eos_token_id = tokenizer.eos_token_id
    return LanguageModel(model, tokenizer, batch_tokens)


def run(lm: Any, name: str, task: dict[str, Any], docs: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Ask a `LanguageModel` or `VllmModel` one benchmark: lm-eval's `metrics` and per-item `samples`.

    `n_truncated` items had a prompt cut.
    """
    _check(name, task.get("generation_kwargs", GREEDY), lm.max_length)
    config = {**task, "task": name, "custom_dataset": lambda **_: {task["test_split"]: Docs(docs)}}
    whole = task["metadata"].get("scored_by") == "nll_per_token"
    built = (WholeStringChoice if whole else ConfigurableTask)(config=config)
    built.set_fewshot_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    lm.truncated.clear()
    try:
        results = evaluate(lm, {"tasks": {name: built}}, log_samples=True)
    except PrunegridError as error:
        raise PrunegridError(f"{name}: {error}") from None
    samples = results["samples"][name]
    cut = {sample["doc_id"] for sample in samples for request in sample["arguments"] if lm.is_truncated(*request)}
    return {"metrics": results["results"][name], "samples": samples, "n_truncated": len(cut)}


def _check(name: str, generation: dict[str, Any], max_length: int) -> None:
    """Refuse a task that would not be answered as its YAML says, or a context too short to answer in."""
    if generation.keys() != GREEDY.keys() or generation["do_sample"]:
        raise PrunegridError(
            f"{name}: generation_kwargs are {generation}; answers are decoded greedily, so give until, "
            "max_gen_toks and do_sample: false, no more"
        )
    if generation["max_gen_toks"] >= max_length:
        raise PrunegridError(
            f"{name}: the task generates {generation['max_gen_toks']} tokens, which leaves no room for a "
            f"prompt in the model's context of {max_length}"
        )
