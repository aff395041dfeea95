"""Token pruners that read no model (docs/selectors.md, "Token controls and baselines"), by hand."""

from typing import Any

import pytest

from prunegrid import pruners
from prunegrid.pruners import Draw
from support import handmade_scores
from support.handmade_scores import spec


def kept(pruner: str, lengths: list[int], ratio: float, truncated: bool = False, **options: Any) -> list[list[int]]:
    scores = handmade_scores.scores(lengths, truncated=[truncated] * len(lengths))
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
