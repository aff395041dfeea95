"""Token pruners that read no model (docs/reference/selectors.md, "Token controls and baselines"), by hand."""

from typing import Any

import pytest

from prunegrid import pruners
from prunegrid.pruners import Draw
from support import handmade_scores
from support.handmade_scores import spec

# The responses a b a c d e and a b f: a three times, b twice, the others once.
FREQUENCY = [3, 2, 3, 1, 1, 1, 3, 2, 1]


def kept(pruner: str, lengths: list[int], ratio: float, truncated: bool = False, **options: Any) -> list[list[int]]:
    tokens = {"token_frequency": FREQUENCY[: sum(lengths)]}
    scores = handmade_scores.scores(lengths, truncated=[truncated] * len(lengths), tokens=tokens)
    selection = pruners.select(scores, spec(f"random+{pruner}", 1, ratio, **options), Draw(0))
    return [selection.kept_positions(row).tolist() for row in range(len(lengths))]


def test_position_by_hand() -> None:
    """Three of six and one of three; the end is one of them, except where the response was cut off."""
    assert kept("position", [6, 3], 0.5) == [[0, 1, 5], [2]]
    assert kept("position", [6, 3], 0.5, position="last") == [[3, 4, 5], [2]]
    assert kept("position", [6, 3], 0.5, truncated=True) == [[0, 1, 2], [0]]
    assert kept("position", [6, 3], 0.5, truncated=True, position="last") == [[3, 4, 5], [2]]


@pytest.mark.parametrize("position", ["first", "last"])
def test_position_keeps_all_at_ratio_one(position: str) -> None:
    assert kept("position", [1, 4], 1, position=position) == [[0], [0, 1, 2, 3]]


def test_frequency_by_hand() -> None:
    """The end (e, f) is kept; of the others the rarest are c and d, the commonest the two a."""
    assert kept("frequency", [6, 3], 0.5) == [[3, 4, 5], [2]]
    assert kept("frequency", [6, 3], 0.7) == [[1, 3, 4, 5], [1, 2]]
    assert kept("frequency", [6, 3], 0.5, frequency="commonest") == [[0, 2, 5], [2]]
    assert kept("frequency", [6, 3], 0.5, truncated=True) == [[3, 4, 5], [2]]
