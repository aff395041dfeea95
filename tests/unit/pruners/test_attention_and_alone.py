"""Selectors that read attention to the prompt, or the loss of the response alone (docs/reference/selectors.md)."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from prunegrid import pruners
from prunegrid.pruners import Draw, Scores
from prunegrid.scoring.extra_texts import selective_ifd
from support import handmade_scores
from support.errors import refused
from support.handmade_scores import spec

NLL = [1.0, 0.5, 3.0, 2.0, 0.1, 0.4]
TOKENS = {
    "nll": NLL,
    "nll_alone": [1.5, 0.5, 1.0, 5.0, 0.2, 0.4],
    "base_nll": [3.0, 0.5, 4.0, 2.5, 1.1, 0.4],
    "prompt_attention": [0.1, 0.5, 0.3, 0.9, 0.2, 0.4],
}


def kept(method: str, scores: Scores | None = None, ratio: float = 0.5, **options: Any) -> list[list[int]]:
    scores = scores or handmade_scores.scores([6], tokens=TOKENS)
    selection = pruners.select(scores, spec(f"random+{method}", 1, ratio, **options), Draw(0))
    return [selection.kept_positions(row).tolist() for row in range(len(selection))]


def test_prompt_attention_by_hand() -> None:
    """The end (forced), 3 (.9) and 1 (.5)."""
    assert kept("prompt-attention") == [[1, 3, 5]]


def test_sstoken_by_hand() -> None:
    """Losses fell by 2, 0, 1, .5, 1, 0: minmax 1, 0, .5, .25, .5, 0. Half of it and half the attention: .55, .25, .4,
    .575, .35, so that 0 and 3 stay with the end."""
    assert kept("sstoken") == [[0, 3, 5]]
    assert kept("sstoken", gamma=1) == [[0, 2, 5]]  # 2 and 4 tie: the earlier one
    assert kept("sstoken", gamma=0) == kept("prompt-attention")


def test_informative_tokens_by_hand() -> None:
    """Differences -.5, 0, 2, -3, -.1, 0: the largest are those of 3 and 2."""
    assert kept("s-ifd") == [[2, 3, 5]]


def test_s_ifd_of_samples_by_hand() -> None:
    """Of six differences the median size is .3: those of sizes .5, 2 and 3 are informative."""
    difference = np.array([-0.5, 0, 2, -3, -0.1, 0])
    expected = np.exp([-0.5, (2 - 3) / 2, 0])
    np.testing.assert_allclose(selective_ifd(difference, np.array([0, 2, 4, 6])), expected)
    scores = handmade_scores.scores([2] * 4, samples={"s_ifd": [0.2, 1.4, 0.9, 0.5], "ifd": [0.9, 0.8, 1.1, 1.0]})
    for ratio, expected_ids in ((0.25, [1]), (0.5, [0, 1]), (0.75, [0, 1, 3])):  # 3 and 2 last, the least bad first
        selection = pruners.select(scores, spec("s-ifd+random", ratio, 1), Draw(0))
        assert selection.sample_id.tolist() == expected_ids


def reference_sstoken(scores: Scores, gamma: float, ratio: str) -> list[list[int]]:
    """One response at a time, one token at a time."""
    positions = []
    for row in range(len(scores)):
        start, end = scores.offsets[row : row + 2].tolist()
        gone = [float(scores.tokens["base_nll"][i]) - float(scores.tokens["nll"][i]) for i in range(start, end)]
        span = max(gone) - min(gone)
        keys = []
        for i, difference in enumerate(gone):
            learned = (difference - min(gone)) / span if span else 0.0
            keys.append(gamma * learned + (1 - gamma) * float(scores.tokens["prompt_attention"][start + i]))
        last = None if scores.truncated[row] else end - start - 1
        order = sorted(range(len(keys)), key=lambda i: (i != last, -keys[i], i))
        number = max(1, int(Fraction(ratio) * len(keys)))
        positions.append(sorted(order[:number]))
    return positions


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("ratio", ["0.3", "0.7"])
def test_sstoken_equals_a_plain_loop(gamma: float, ratio: str) -> None:
    scores = handmade_scores.random_scores(80, seed=3).ordered()
    assert kept("sstoken", scores, float(ratio), gamma=gamma) == reference_sstoken(scores, gamma, ratio)


def test_selective_ifd_equals_a_plain_loop() -> None:
    scores = handmade_scores.random_scores(60, seed=4)
    difference = scores.token("nll") - scores.token("nll_alone")
    ordered = sorted(abs(value) for value in difference.tolist())
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    expected = []
    for row in range(len(scores)):
        values = difference[scores.offsets[row] : scores.offsets[row + 1]].tolist()
        informative = [value for value in values if abs(value) > middle]
        expected.append(np.exp(sum(informative) / len(informative)) if informative else 1.0)
    np.testing.assert_allclose(selective_ifd(difference, scores.offsets), expected, rtol=1e-12)


@pytest.mark.parametrize("method", ["prompt-attention", "sstoken", "s-ifd"])
def test_the_order_of_rows_changes_nothing(method: str) -> None:
    scores = handmade_scores.random_scores(50, seed=5)
    order = np.random.default_rng(0).permutation(50)
    assert kept(method, scores, 0.4) == kept(method, scores.take(order), 0.4)


def test_sstoken_sees_only_how_losses_fell_within_a_response() -> None:
    """A constant that is added to the losses of one model changes nothing, nor does a factor of both."""
    scores = handmade_scores.random_scores(50, seed=6)
    before = kept("sstoken", scores, 0.4)
    scores.tokens["base_nll"] = 4 * scores.tokens["base_nll"] + 0.5
    scores.tokens["nll"] = 4 * scores.tokens["nll"]
    assert kept("sstoken", scores, 0.4) == before


@pytest.mark.parametrize("method", ["prompt-attention", "sstoken", "s-ifd"])
def test_equal_tokens_tie_by_position(method: str) -> None:
    tokens = {name: [0.5] * 6 for name in TOKENS}
    assert kept(method, handmade_scores.scores([6], tokens=tokens)) == [[0, 1, 5]]
    assert kept(method, handmade_scores.scores([1], tokens={name: [0.5] for name in TOKENS})) == [[0]]
    assert kept(method, ratio=1) == [[0, 1, 2, 3, 4, 5]]


def test_a_response_without_informative_tokens_has_1() -> None:
    assert selective_ifd(np.array([0.0, 0.0, 3.0, -1.0]), np.array([0, 2, 4])).tolist()[0] == 1.0
    assert selective_ifd(np.zeros(4), np.array([0, 1, 4])).tolist() == [1.0, 1.0]


def test_sstoken_without_training_is_refused() -> None:
    tokens = {name: column for name, column in TOKENS.items() if name != "base_nll"}
    with refused("the scores", "base_nll", "sstoken", fix="mode: dynamic"):
        kept("sstoken", handmade_scores.scores([6], tokens=tokens))


def test_labels() -> None:
    assert pruners.label("prompt-attention") == "Prompt attention"
    assert pruners.label("sstoken") == "ssToken"
    assert pruners.label("s-ifd") == "S-IFD"
