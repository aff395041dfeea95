"""Prompts that share prefixes: their answers, what is shared, and where it is not."""

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from transformers import DynamicCache  # noqa: E402

from prunegrid.evaluation import generation  # noqa: E402
from prunegrid.evaluation.evaluate import evaluate  # noqa: E402
from prunegrid.evaluation.generation import generate  # noqa: E402
from prunegrid.evaluation.prompt_prefixes import shared_prefixes, sharing_obstacle  # noqa: E402
from support.tiny_models import KINDS, tiny, tokenizer  # noqa: E402
from support.toy_tasks import toy_benchmark  # noqa: E402

PASSAGES = [list(range(5, 45)), [7, 9] * 25]
PROMPTS = [[*PASSAGES[n % 2], *range(6 + n, 8 + 3 * n)] for n in range(8)] + [[11, 12, 13], PASSAGES[0], PASSAGES[0]]
SHARING = ("llama", "gpt2")


@pytest.mark.parametrize("budget", [1, 300, 8192])
@pytest.mark.parametrize("kind", KINDS)
def test_answers_equal_those_of_whole_prompts(kind: str, budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two passages, a prompt without one, and two equal ones; batches are given up and prompts read again."""
    model, words = tiny(kind), tokenizer(False)
    read = []
    forward = generation.prefix_cache

    def counted(model: Any, ids_PT: Any, mask_PT: Any, owner_B: list[int]) -> DynamicCache:
        read.append((len(ids_PT), len(owner_B)))
        return forward(model, ids_PT, mask_PT, owner_B)

    monkeypatch.setattr(generation, "prefix_cache", counted)
    stops = ["&", "9", "q", "k", "e"]
    for chosen in ([], stops):
        settings = {"max_new_tokens": 20, "stops": chosen, "batch_tokens": budget}
        whole = generate(model, words, PROMPTS, **settings)
        shared = generate(model, words, PROMPTS, share_prefixes=True, **settings)
        assert shared.tokens == whole.tokens
        assert (shared.fallback is None) == (kind in SHARING)
    if kind in SHARING and budget > 1:
        assert min(len(read), *(rows - prefixes for prefixes, rows in read)) > 0


def test_a_family_shares_its_prefix_and_a_prompt_alone_is_divided() -> None:
    a, b = list(range(100, 140)), list(range(200, 240))
    prompts = [[*a, 1, 2], [*b, 3, 4], [*a, 5, 6, 7]]
    shared = shared_prefixes(prompts, [41, 41, 42])
    assert shared is not None
    assert shared.prefixes == [a, [*b, 3, 4][:39]]
    assert (shared.owner_B, shared.length_B) == ([0, 1, 0], [40, 39, 40])


def test_prefixes_are_not_shared_if_that_saves_nothing() -> None:
    assert shared_prefixes([[1, 2, 3], [1, 2, 4]], [2, 2]) is None
    short = [[*range(40), *range(n, 400 + n)] for n in (0, 900)]  # rests of 400 tokens
    long = [[*range(100, 500), n] for n in (0, 1)]  # a prefix of 400
    assert shared_prefixes(short + long, [439, 439, 400, 400]) is None


def test_an_answer_is_never_part_of_a_prefix() -> None:
    prompt = list(range(40))
    shared = shared_prefixes([[*prompt, 50, 51]] * 2, [39, 39])
    assert shared is not None
    assert shared.length_B == [39, 39]


def test_a_window_shorter_than_the_rows_is_an_obstacle() -> None:
    model = tiny("llama")
    assert sharing_obstacle(model, 60) is None
    model.config.sliding_window = 100
    assert sharing_obstacle(model, 60) == "its attention has a window of 100 tokens"


def test_a_cache_that_cannot_be_copied_is_a_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any) -> None:
        raise NotImplementedError("no rows to select")

    model, words = tiny("llama"), tokenizer(False)
    expected = generate(model, words, PROMPTS, max_new_tokens=5)
    monkeypatch.setattr(DynamicCache, "batch_select_indices", refuses)
    answers = generate(model, words, PROMPTS, max_new_tokens=5, share_prefixes=True)
    assert answers.tokens == expected.tokens
    assert answers.fallback == "prefixes of prompts are not shared: no rows to select"


def test_a_model_whose_states_differ_is_a_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prunegrid.evaluation.prompt_prefixes._deviation", lambda *_: 0.01)
    assert sharing_obstacle(tiny("llama"), 60) == "states differ in a trial"


def test_sharing_is_part_of_a_record(
    toy_model: Path, data: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for share, line in ((False, "evaluated"), (True, "has a different share_prefixes"), (True, "triviaqa: cached")):
        settings = {"benchmarks": {"triviaqa": toy_benchmark("triviaqa", 2)}, "digests": {"model": "m"}}
        evaluate(toy_model, tmp_path, data=data, share_prefixes=share, **settings)  # type: ignore[arg-type]
        assert line in capsys.readouterr().out
        record = json.loads((tmp_path / "triviaqa.json").read_text())
        assert record.get("share_prefixes") == (share or None)
