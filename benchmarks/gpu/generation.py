"""Answers of the engines on the same prompts, greedy and of equal length; options against lm-eval's own wrapper."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from gpu import limits, package
from gpu.measure import Section, profile, rounded
from gpu.random_model import build, lengths, token_ids, tokenizer

OURS = ("ours", "ours_static")
COMPILED = ("ours_static", "static_cache")  # on a GPU
STOP = ["w1 w2 w3"]  # never generated, but looked for


class Prompts:
    """Prompts of WizardLM's lengths, as ids, as text, and padded on the left."""

    def __init__(self, section: Section, words: Any) -> None:
        self.count, self.new = (4, 8) if section.toy else (64, 128)
        length_N = lengths(section, 200)[: self.count, 0]
        flat = token_ids(section, int(length_N.sum())).tolist()
        ends = length_N.cumsum().tolist()
        self.ids = [flat[end - length : end] for end, length in zip(ends, length_N.tolist(), strict=True)]
        self.texts = [" ".join(f"w{i}" for i in ids) for ids in self.ids]
        self.width = int(length_N.max())
        self.context = float(length_N.mean()) + self.new / 2
        padded = words.pad({"input_ids": self.ids}, padding_side="left", return_tensors="pt")
        self.ids_BT, self.mask_BT = (padded[key].to(section.device) for key in ("input_ids", "attention_mask"))


def run(section: Section) -> None:
    section.pulse("before")
    words = tokenizer(section.shape.vocabulary)
    prompts, model = Prompts(section, words), with_plain_answers(build(section), section.shape.vocabulary)
    limit = limits.decoding(section.shape, prompts.count, prompts.context, section.card)
    weights = 2 * (section.shape.body + section.shape.head)
    shown = {"tokens_s": limit.ideal, "step_ms": 1e3 * limit.step, "weights_gb": weights / 1e9}
    section.put("limit", rounded(shown) | {"rows": prompts.count, "new": prompts.new, "longest": prompts.width})
    with section.attempt("profile"):
        lm = package.language_model(model, words, 65_536)
        section.put("profile_8_rows", profile(section, lambda: ask(lm, prompts.texts[:8], 8)))
    with section.attempt("options"):
        section.put("options_items_s", options(section, model, words))
    engines = transformers_engines(section, model, words, prompts)
    measure(section, prompts, engines)
    section.pulse("after")


def with_plain_answers(model: Any, vocabulary: int) -> Any:
    """Greedy, and hardly ever ended by a model of random weights: every answer has its full length."""
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig(eos_token_id=vocabulary - 1, pad_token_id=0)
    return model


Engine = Callable[[], list[list[int]]]


def transformers_engines(section: Section, model: Any, words: Any, prompts: Prompts) -> dict[str, Engine]:
    """`ours` is what an evaluation of so few steps calls, `ours_static` what one of thousands calls on a GPU; the
    others are transformers' own, called at their barest."""
    room = prompts.count * (prompts.width + prompts.new)
    lm = package.language_model(model, words, room)

    def ours() -> list[list[int]]:
        return [words.encode(text) for text in ask(lm, prompts.texts, prompts.new)]

    def generate(**cache: str) -> list[list[int]]:
        size = {"max_new_tokens": prompts.new, "do_sample": False, **cache}
        out = model.generate(input_ids=prompts.ids_BT, attention_mask=prompts.mask_BT, **size)
        answers: list[list[int]] = out[:, prompts.ids_BT.shape[1] :].tolist()
        return answers

    def continuous() -> list[list[int]]:
        from transformers import ContinuousBatchingConfig, GenerationConfig

        ids = {"eos_token_id": section.shape.vocabulary - 1, "pad_token_id": 0}
        settings = GenerationConfig(max_new_tokens=prompts.new, do_sample=False, **ids)
        cache = {"block_size": 64, "num_blocks": 16, "max_batch_tokens": 64} if section.toy else {}
        made = model.generate_batch(
            inputs=prompts.ids,
            generation_config=settings,
            continuous_batching_config=ContinuousBatchingConfig(**cache),
            warmup=section.cuda,
        )
        return [list(one.generated_tokens) for one in made.values()]

    return {
        "ours": ours,
        "dynamic_cache": generate,
        "continuous_batching": continuous,
        "ours_static": lambda: package.static_answers(model, words, prompts.ids, prompts.new, STOP, room),
        "static_cache": lambda: generate(cache_implementation="static"),
    }


def ask(lm: Any, texts: list[str], new: int) -> list[str]:
    from lm_eval.api.instance import Instance

    settings = {"until": STOP, "max_gen_toks": new, "do_sample": False}
    requests = [Instance("generate_until", {}, (text, settings), i) for i, text in enumerate(texts)]
    answers: list[str] = lm.generate_until(requests, disable_tqdm=True)
    return answers


def measure(section: Section, prompts: Prompts, engines: dict[str, Engine]) -> None:
    """Each engine twice, first to warm it up. They take turns; those that compile come last, each by itself."""
    answers: dict[str, list[list[int]]] = {}
    for number, name in turns([*engines], 1 if section.toy else 2):
        if section.seconds_left() < 10 or f"{name}_error" in section.results:
            continue
        with section.attempt(name):
            if name in COMPILED and not number:
                torch.compiler.reset()  # else the second to compile would have shapes that vary
            answers[name], measured = timed(section, prompts, engines[name])
            section.put(name, measured | {"warm": bool(number)})
            if name in OURS:
                section.put("best", best(section.results))
    plain = answers.get("dynamic_cache")
    same = {name: agreement(made, plain) for name, made in answers.items() if plain and name != "dynamic_cache"}
    section.put("tokens_as_dynamic_cache", same)


def turns(names: list[str], rounds: int) -> list[tuple[int, str]]:
    """The number of the round, and the engine."""
    by_rounds = [(number, name) for number in range(rounds) for name in names if name not in COMPILED]
    return by_rounds + [(number, name) for name in names if name in COMPILED for number in range(rounds)]


def timed(section: Section, prompts: Prompts, engine: Engine) -> tuple[list[list[int]], dict[str, Any]]:
    section.reset_peak()
    started = time.perf_counter()
    answers = engine()
    section.synchronize()
    taken = time.perf_counter() - started
    rate = {"tokens_s": sum(map(len, answers)) / taken, "answers_s": prompts.count / taken}
    rate["step_ms"] = 1e3 * taken / prompts.new
    return answers, rounded(rate) | {"peak_gb": section.peak_gb()}


def best(results: dict[str, Any]) -> dict[str, Any]:
    """The faster of our two caches, by name: an evaluation takes either."""
    name = max((name for name in OURS if name in results), key=lambda name: results[name]["tokens_s"])
    return {"engine": name} | {key: results[name][key] for key in ("tokens_s", "step_ms")}


def agreement(answers: list[list[int]], plain: list[list[int]]) -> float:
    """Share of equal tokens. After the first that differs an answer goes its own way."""
    pairs = [
        one == other
        for answer, expected in zip(answers, plain, strict=True)
        for one, other in zip(answer, expected, strict=False)
    ]
    return round(float(np.mean(pairs)), 4)


def options(section: Section, model: Any, words: Any) -> dict[str, float]:
    """Questions of four options a second, and the largest distance of their log-probabilities, in nats."""
    from lm_eval.models.huggingface import HFLM

    questions, requests = (4 if section.toy else 128), []
    for q in range(questions):
        asked = token_ids(section, 60, q).tolist()
        requests += [((f"q{q}", f"o{o}"), asked, token_ids(section, 8, 1000 * q + o).tolist()) for o in range(4)]
    sides = {
        "ours": package.language_model(model, words, 512 if section.toy else 65_536),
        "lm_eval": HFLM(pretrained=model, tokenizer=words, backend="causal", batch_size=64),
    }
    measured, answers = {}, {}
    for name, lm in sides.items():
        answers[name] = lm._loglikelihood_tokens(requests, disable_tqdm=True)
        taken = section.seconds(lambda lm=lm: lm._loglikelihood_tokens(requests, disable_tqdm=True), 2, 0)
        measured[name] = questions / taken
    pairs = zip(answers["ours"], answers["lm_eval"], strict=True)
    return rounded(measured | {"largest_distance": max(abs(one[0] - other[0]) for one, other in pairs)})
