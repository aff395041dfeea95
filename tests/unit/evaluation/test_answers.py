"""Answers against lm-eval's own wrapper, and of both caches."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402
from transformers import StaticCache  # noqa: E402

from prunegrid.evaluation import generation  # noqa: E402
from prunegrid.evaluation.generation import choose, generate  # noqa: E402
from prunegrid.evaluation.language_model import LanguageModel  # noqa: E402
from support.errors import refused  # noqa: E402
from support.tiny_models import KINDS, QUESTIONS, tiny, tokenizer  # noqa: E402

pytestmark = pytest.mark.sweep


@pytest.mark.parametrize("budget", [1, 700, 8192])
@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_answers_equal_those_of_stock(kind: str, bos: bool, budget: int) -> None:
    """Greedy texts, in the requests' order, a prompt that is cut included; two settings side by side."""
    model, words = tiny(kind), tokenizer(bos)
    prompts = [prompt + option for prompt, texts in QUESTIONS for option in texts]
    settings = [{"until": stops, "do_sample": False, "max_gen_toks": n} for stops, n in ((["&", "9"], 20), (["q"], 9))]
    requests = [
        Instance("generate_until", {}, (prompt, dict(settings[place % 2])), 0) for place, prompt in enumerate(prompts)
    ]
    stock = HFLM(pretrained=model, tokenizer=words, backend="causal", batch_size=1, max_length=256)
    ours = LanguageModel(model, words, budget)
    ours._max_length = 256
    answers = ours.generate_until(requests)
    assert answers == stock.generate_until(requests, disable_tqdm=True)
    assert len(set(answers)) > 3


def test_a_model_that_prepares_its_steps_itself() -> None:
    """Phi-3's answers run over the 64 tokens at which it computes its cache anew."""
    model, words = tiny("phi3"), tokenizer(False)
    setting = {"until": [], "do_sample": False, "max_gen_toks": 60}
    prompts = [(prompt + option)[:60] for prompt, texts in QUESTIONS for option in texts]
    requests = [Instance("generate_until", {}, (prompt, dict(setting)), 0) for prompt in prompts]
    stock = HFLM(pretrained=model, tokenizer=words, backend="causal", batch_size=1, max_length=256)
    answers = LanguageModel(model, words, 1).generate_until(requests)
    assert answers == stock.generate_until(requests, disable_tqdm=True)
    assert len(set(answers)) > 3


PROMPTS = ["Cats", "Fish", "Question", "live in", "2 + 3"]
ENDS = ["&", "9", "q", "k", "e"]


def encoded(words: Any) -> list[list[int]]:
    return [words.encode(prompt + option)[-40:] for prompt, texts in QUESTIONS for option in texts]


@pytest.mark.parametrize("budget", [1, 130, 8192])
@pytest.mark.parametrize("kind", ["llama", "mistral", "gemma2", "gpt2", "bloom", "phi3"])
def test_both_caches_give_the_same_answers(kind: str, budget: int) -> None:
    """The budget of 130 makes batches of two rows, the last of which is filled up; all share one cache."""
    model, words = tiny(kind), tokenizer(False)
    prompts = encoded(words)

    def answers(implementation: str) -> list[list[int]]:
        sizes = {"max_new_tokens": 20, "batch_tokens": budget}
        return generate(model, words, prompts, stops=ENDS[:2], implementation=implementation, **sizes).tokens

    dynamic = answers("dynamic")
    assert answers("static") == dynamic
    assert len(set(map(tuple, dynamic))) > 3 and max(map(len, dynamic)) == 20


def test_answers_end_with_their_stop() -> None:
    """Each row's tokens end where it did, although the batch goes on to the last row's end."""
    model, words = tiny("llama"), tokenizer(False)
    prompts = [words.encode(prompt) for prompt in PROMPTS]
    tokens = generate(model, words, prompts, max_new_tokens=24, stops=ENDS).tokens
    assert len({len(answer) for answer in tokens}) > 2
    for answer in tokens:
        text = words.decode(answer)
        assert any(end in text for end in ENDS) or answer[-1] == 0 or len(answer) == 24
        assert not any(end in words.decode(answer[:-1]) for end in ENDS)


@pytest.mark.parametrize("implementation", ["dynamic", "static"])
def test_unfinished_rows_of_all_batches_are_regrouped(implementation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most answers have a stop within a few tokens, a few take 20 and more; prompts have 2 to 37 tokens."""
    model, words = tiny("llama"), tokenizer(False)
    prompts = [words.encode(f"{prompt} {n} " * 9)[: 2 + 5 * n] for prompt in PROMPTS for n in range(8)]
    read: list[int] = []
    model.register_forward_pre_hook(lambda _, args, kwargs: read.append(kwargs["input_ids"].numel()), with_kwargs=True)

    def run(rows: int) -> tuple[list[list[int]], int, int]:
        read.clear()
        sizes = {"max_new_tokens": 48, "batch_tokens": rows * 85, "implementation": implementation}
        tokens = generate(model, words, prompts, stops=[*ENDS, "a", "t", "i"], **sizes).tokens
        return tokens, len(read), sum(read)

    tokens, steps, tokens_read = run(8)
    assert tokens == run(1)[0]
    lengths = sorted(map(len, tokens))
    assert lengths[20] < 8 and lengths[-1] > 20
    monkeypatch.setattr(generation.RowStop, "_gives_up", lambda *_: False)
    carried, all_steps, all_read = run(8)
    assert carried == tokens
    assert steps < all_steps
    assert implementation == "static" or tokens_read < 1.1 * all_read


def test_a_stop_across_a_regrouping_is_seen() -> None:
    run = generation._Run(tiny("llama"), tokenizer(False), [[5]], 9, ["Cats drink"], lambda tokens: None)
    ids = run.tokenizer.encode("Cats drink")
    assert len(ids) > 1
    prompt_BT = torch.tensor([[7, *ids[:-1], ids[-1]]])
    for answered, seen in ((len(ids) - 1, True), (0, False)):
        stop = generation.RowStop(run, start=len(ids), answered=[answered], regroup=False)
        assert stop(prompt_BT, None).tolist() == [seen]


def test_a_static_cache_is_for_a_gpu_and_many_steps() -> None:
    lengths = np.full(1000, 128)
    model = SimpleNamespace(device=torch.device("cuda"), _can_compile_fullgraph=True)
    assert choose(model, lengths, 128, 8192) == "static", "16 batches of 128 steps"
    assert choose(model, lengths[:900], 128, 8192) == "dynamic", "15"
    assert choose(tiny("llama"), lengths, 128, 8192) == "dynamic", "on a CPU"
    model._can_compile_fullgraph = tiny("gpt_neo")._can_compile_fullgraph
    assert choose(model, lengths, 128, 8192) == "dynamic"


def test_a_failing_static_cache_falls_back_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be compiled here: the model refuses a cache of fixed size."""
    model, words = tiny("llama"), tokenizer(False)
    calls: list[str] = []
    forward = model.forward

    def refuses(*args: Any, past_key_values: Any = None, **others: Any) -> Any:
        calls.append(type(past_key_values).__name__)
        if isinstance(past_key_values, StaticCache):
            raise RuntimeError("Failed to find C compiler")
        return forward(*args, past_key_values=past_key_values, **others)

    setting = {"until": ["&"], "do_sample": False, "max_gen_toks": 9}
    requests = [Instance("generate_until", {}, (prompt, dict(setting)), 0) for prompt in PROMPTS]
    expected = LanguageModel(model, words, 8192).generate_until(requests)
    monkeypatch.setattr(model, "forward", refuses)
    monkeypatch.setattr(generation, "choose", lambda *_: "static")
    lm = LanguageModel(model, words, 8192)
    calls.clear()
    assert lm.generate_until(requests) == lm.generate_until(requests) == expected
    assert lm.fallback == "using a dynamic cache, because the static one failed: Failed to find C compiler"
    assert capsys.readouterr().out.count(lm.fallback) == 1
    assert calls.count("StaticCache") == 1
    with pytest.raises(RuntimeError, match="C compiler"):
        generate(model, words, [[5]], max_new_tokens=2, implementation="static")


def test_an_unknown_implementation_is_refused() -> None:
    with refused("implementation", "paged", fix="dynamic, static"):
        generate(tiny("llama"), tokenizer(False), [[5]], max_new_tokens=2, implementation="paged")
