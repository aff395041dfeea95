"""Answers against lm-eval's own wrapper."""

import pytest

torch = pytest.importorskip("torch")

from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402

from prunegrid.evaluation.generation import drops_rows  # noqa: E402
from prunegrid.evaluation.language_model import LanguageModel  # noqa: E402
from tiny_lms import KINDS, QUESTIONS, tiny, tokenizer  # noqa: E402


@pytest.mark.parametrize("budget", [1, 700, 8192])
@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_answers_equal_those_of_stock(kind: str, bos: bool, budget: int) -> None:
    """Greedy texts, in the requests' order, a prompt that is cut included; two settings side by side."""
    model, words = tiny(kind), tokenizer(bos)
    prompts = [prompt + option for prompt, texts in QUESTIONS for option in texts]
    settings = [{"until": stops, "do_sample": False, "max_gen_toks": n} for stops, n in ((["&", "9"], 20), (["q"], 9))]
    asked = [
        Instance("generate_until", {}, (prompt, dict(settings[place % 2])), 0) for place, prompt in enumerate(prompts)
    ]
    stock = HFLM(pretrained=model, tokenizer=words, backend="causal", batch_size=1, max_length=256)
    ours = LanguageModel(model, words, budget)
    ours._max_length = 256
    found = ours.generate_until(asked)
    assert found == stock.generate_until(asked, disable_tqdm=True)
    assert len(set(found)) > 3


def test_a_model_that_prepares_its_steps_itself() -> None:
    """Phi-3's answers run over the 64 tokens at which it computes its cache anew."""
    model, words = tiny("phi3"), tokenizer(False)
    setting = {"until": [], "do_sample": False, "max_gen_toks": 60}
    prompts = [(prompt + option)[:60] for prompt, texts in QUESTIONS for option in texts]
    asked = [Instance("generate_until", {}, (prompt, dict(setting)), 0) for prompt in prompts]
    stock = HFLM(pretrained=model, tokenizer=words, backend="causal", batch_size=1, max_length=256)
    found = LanguageModel(model, words, 1).generate_until(asked)
    assert found == stock.generate_until(asked, disable_tqdm=True)
    assert len(set(found)) > 3


def test_ended_rows_are_dropped() -> None:
    """The tokens that each step reads: all rows' prompts, then one a row that has not ended."""

    assert [kind for kind in [*KINDS, "phi3"] if not drops_rows(tiny(kind))] == ["bloom", "phi3"]
    lm = LanguageModel(tiny("llama"), tokenizer(False), 8192)
    prompts = ["Cats", "Fish", "Question", "live in", "2 + 3"]
    setting = {"until": ["&", "9", "q", "k", "e"], "do_sample": False, "max_gen_toks": 24}
    rows: list[int] = []
    lm.model.register_forward_pre_hook(lambda _, args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True)
    answers = lm.generate_until([Instance("generate_until", {}, (prompt, dict(setting)), 0) for prompt in prompts])
    assert rows[0] == 5 and rows == sorted(rows, reverse=True) and len(set(rows)) > 2
    assert len(set(map(len, answers))) > 2
