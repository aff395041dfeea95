"""The equal-budget control: as many samples and tokens as another selection kept, by hand and for random sizes."""

import json
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from prunegrid import pruners
from prunegrid.pruners import Draw, Match
from prunegrid.pruners.match import match_rows, match_token_counts
from prunegrid.selection.prune import prune
from support import handmade_scores
from support.errors import refused
from support.handmade_scores import spec


def test_tokens_are_shared_out_by_hand() -> None:
    """10 of 16 tokens: one each, and 7 by the spare 7, 4, 2, 0: 3.77, 2.15, 1.08, 0, the largest remainder up."""
    assert match_token_counts(np.array([8, 5, 3, 1]), 11).tolist() == [1 + 4, 1 + 2, 1 + 1, 1]


def test_all_tokens_or_one_of_each() -> None:
    assert match_token_counts(np.array([3, 2]), 5).tolist() == [3, 2]
    assert match_token_counts(np.array([3, 2]), 2).tolist() == [1, 1]


def test_rows_are_the_best_ranked_where_they_hold_enough() -> None:
    rows, told = match_rows(np.array([5.0, 4, 3, 2, 1]), np.array([2, 2, 9, 9, 9]), Match(2, 4))
    assert rows.tolist() == [0, 1]
    assert told["matched"] == {"samples": 2, "tokens": 4, "shortest_response": 2}


def test_short_responses_stand_back_where_they_hold_too_few() -> None:
    rows, told = match_rows(np.array([5.0, 4, 3, 2, 1]), np.array([2, 3, 9, 9, 5]), Match(2, 10))
    assert rows.tolist() == [1, 2]
    assert told["matched"]["shortest_response"] == 3


def test_the_longest_where_no_limit_will_do() -> None:
    """Of the three of 4 tokens the best-ranked two hold 8; only with the longest are there 9."""
    rows, _ = match_rows(np.array([1.0, 4, 3, 2]), np.array([5, 4, 4, 4]), Match(2, 9))
    assert rows.tolist() == [0, 1]


def test_what_no_samples_hold_is_refused() -> None:
    with refused("match", "2 samples", "100 tokens"):
        match_rows(np.array([3.0, 2, 1]), np.array([2, 3, 4]), Match(2, 100))


@hypothesis.settings(max_examples=200, deadline=None, database=None, derandomize=True)
@hypothesis.given(st.integers(2, 40), st.integers(0, 10**6), st.sampled_from([0.125, 0.25, 0.5, 1.0]))
def test_counts_are_qtunings_to_the_token(n: int, seed: int, ratio: float) -> None:
    scores = handmade_scores.random_scores(n, seed)
    ours = pruners.select(scores, spec("qtuning", ratio, 0.5), Draw(0))
    match = Match(len(ours), len(ours.positions))
    control = pruners.select(scores, spec("random+random", ratio, 0.5), Draw(0), match)
    assert len(control) == len(ours)
    assert len(control.positions) == len(ours.positions)
    assert all(len(control.kept_positions(row)) >= 1 for row in range(len(control)))


def test_files_are_matched(tmp_path: Path) -> None:
    scores = handmade_scores.write(tmp_path / "scores", handmade_scores.random_scores(200))
    ours = prune(scores, tmp_path / "q", spec("qtuning", 0.25), 0)
    summary = tmp_path / "q" / "selection.json"
    control = prune(scores, tmp_path / "c", spec("random+random", 0.25), 0, match=summary)
    assert (control.n_kept_samples, control.kept_tokens) == (ours.n_kept_samples, ours.kept_tokens)
    assert control.match == "qtuning"
    plain = prune(scores, tmp_path / "p", spec("random+random", 0.25), 0)
    assert plain.match is None
    assert plain.kept_tokens < control.kept_tokens


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"n_samples": 19}, "a selection of 19 samples, but the scores have 20"),
        ({}, "made for another data"),
        ({"kept_tokens": "many"}, "not a selection.json of prunegrid: kept_tokens"),
        (None, "not a selection.json of prunegrid"),
    ],
)
def test_another_data_sets_selection_is_refused(tmp_path: Path, changes: dict[str, Any] | None, finding: str) -> None:
    first, second = (
        handmade_scores.write(tmp_path / name, handmade_scores.random_scores(20), meta={"digests": {"data": name}})
        for name in ("a", "b")
    )
    summary = prune(first, tmp_path / "q", spec("qtuning"), 0)
    path = tmp_path / "q/selection.json"
    path.write_text(json.dumps([1] if changes is None else summary.model_dump() | changes))
    with refused(path, finding):
        prune(second, tmp_path / "o", spec("random+ppl"), 0, match=path)


def test_a_joint_pruner_cannot_match() -> None:
    with refused("qtuning", "joint pruner", fix="pair"):
        pruners.select(handmade_scores.random_scores(9), spec("qtuning"), Draw(0), Match(2, 9))
