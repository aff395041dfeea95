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
from lm_eval.models.huggingface import HFLM
from transformers import StoppingCriteria, StoppingCriteriaList

from prunegrid.errors import PrunegridError
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


class RowStop(StoppingCriteria):
    """A row is done when any stop string is in it.

    lm-eval's own ends a batch only when one and the same string is in every row: a batch that ends on
    different strings runs to max_gen_toks, and text behind a stop that is a special token is kept.
    """

    def __init__(self, tokenizer: Any, stops: list[str], start: int) -> None:
        self.tokenizer, self.stops, self.start = tokenizer, stops, start
        self.window = 2 + max(len(tokenizer.encode(stop, add_special_tokens=False)) for stop in stops)

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        tails = self.tokenizer.batch_decode(input_ids[:, self.start :][:, -self.window :])
        done = [any(stop in tail for stop in self.stops) for tail in tails]
        return torch.tensor(done, device=input_ids.device)


class LanguageModel(HFLM):
    """lm-eval's wrapper, generating greedily (`_check` refuses other settings) and stopping row by row."""

    def _model_generate(self, context: torch.Tensor, max_length: int, stop: list[str], **generation_kwargs: Any) -> Any:
        """Token ids, prompt included, [rows, max_length at most]."""
        return self.model.generate(
            input_ids=context,
            attention_mask=generation_kwargs["attention_mask"],
            max_length=max_length,
            stopping_criteria=StoppingCriteriaList([RowStop(self.tokenizer, stop, context.shape[1])]),
            pad_token_id=self.tokenizer.pad_token_id,
            do_sample=False,
        )


def wrap(model: Any, model_dir: Path, batch_size: int) -> LanguageModel:
    """The loaded model and the tokenizer of `model_dir` for lm-eval."""
    tokenizer = load_tokenizer(model_dir)
    if tokenizer.eos_token is None:
        raise PrunegridError(f"{model_dir}: the tokenizer has no eos_token; generation could not end")
    if model.generation_config.eos_token_id is None:
        model.generation_config.eos_token_id = tokenizer.eos_token_id
    return LanguageModel(
        pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=batch_size, softmax_dtype="float32"
    )


def run(lm: LanguageModel, name: str, task: dict[str, Any], docs: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Ask one benchmark: lm-eval's `metrics` and per-item `samples`; `n_truncated` items had a prompt cut."""
    _check(name, task.get("generation_kwargs", GREEDY), lm.max_length)
    config = {**task, "task": name, "custom_dataset": lambda **_: {task["test_split"]: Docs(docs)}}
    built = ConfigurableTask(config=config)
    built.set_fewshot_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    results = evaluate(lm, {"tasks": {name: built}}, log_samples=True)
    samples = results["samples"][name]
    return {"metrics": results["results"][name], "samples": samples, "n_truncated": _truncated(lm, samples)}


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


def _truncated(lm: LanguageModel, samples: list[dict[str, Any]]) -> int:
    """How many items have a prompt that lm-eval cuts on the left to fit the model's context."""
    tokens = functools.cache(lambda text: len(lm.tok_encode(text)))  # an item's options share their prompt
    cut = set()
    for sample in samples:
        for prompt, rest in sample["arguments"]:
            after = rest["max_gen_toks"] if isinstance(rest, dict) else tokens(rest) - 1
            if tokens(prompt) + after > lm.max_length:
                cut.add(sample["doc_id"])
    return len(cut)
