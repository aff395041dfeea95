"""Counts of samples are met, counts of tokens are not exceeded."""

import pytest

from prunegrid.core.ratios import read_amount
from prunegrid.pruners import Draw, MethodSpec, select
from prunegrid.selection.budget import budget_spec
from prunegrid.selection.memory import ScoresInMemory
from support import handmade_scores
from support.errors import refused

SCORES = handmade_scores.random_scores(61)
METHODS = ["random+ppl", "longest+random", "qtuning", "entropy+token-cleaning"]


def budget(method: str, samples: object, tokens: object) -> tuple[int, int]:
    """The kept samples and tokens."""
    amounts = read_amount(samples, "samples"), read_amount(tokens, "tokens")  # type: ignore[arg-type]
    spec = budget_spec(ScoresInMemory(SCORES), MethodSpec(method=method), *amounts, Draw(0))
    selection = select(SCORES, spec, Draw(0))
    return len(selection), len(selection.positions)


@pytest.mark.parametrize("method", METHODS)
def test_count_of_samples_is_met(method: str) -> None:
    assert [budget(method, count, 0.5)[0] for count in (2, 7, 30, 60, 61)] == [2, 7, 30, 60, 61]


@pytest.mark.parametrize("method", METHODS)
def test_count_of_tokens_is_the_most_that_is_kept(method: str) -> None:
    everything = budget(method, 0.5, 1)[1]
    for count in (everything - 40, everything - 1, everything):
        reached = budget(method, 0.5, count)[1]
        assert count - 30 < reached <= count, "within one step of all samples"
    assert budget(method, 0.5, everything)[1] == everything


def test_more_than_there_are_is_refused() -> None:
    with refused("samples", 62, 61, fix="61"):
        budget("random+ppl", 62, 0.5)
    tokens = int(SCORES.response_tokens.sum())
    with refused("tokens", tokens + 1, tokens, fix=str(tokens)):
        budget("random+ppl", 0.5, tokens + 1)


def test_fewer_tokens_than_one_a_sample_are_refused() -> None:
    with refused("tokens", "is 3", "at least 20 tokens of 20 samples", fix="give at least 20"):
        budget("random+ppl", 20, 3)
