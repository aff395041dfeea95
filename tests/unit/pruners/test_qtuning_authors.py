"""Q-Tuning as the authors' working copy of September 2025 does it: each option by hand, as in
docs/explanation/working-copy.md."""

from typing import Any

import numpy as np
import pytest

from prunegrid import pruners
from prunegrid.pruners import Draw, Scores, SelectionArrays
from prunegrid.pruners.methods.qtuning import smoothed
from support import handmade_scores
from support.handmade_scores import spec

PPL = [1, 2, 3, 4, 5, 6, 7, 8]
ENTROPY = [8, 2, 3, 5, 4, 6, 7, 1]
AUTHORS = "authors-2025-09"


def example(**columns: Any) -> Scores:
    """The eight samples of docs/reference/pruners.md, with two tokens each."""
    samples = {"ppl": PPL, "entropy": ENTROPY} | columns
    return handmade_scores.scores([2] * 8, samples=samples, tokens={"nll": [1.0] * 16})


def qtuning(scores: Scores, sample_ratio: float, token_ratio: float = 0.5, **options: Any) -> SelectionArrays:
    return pruners.select(scores, spec("qtuning", sample_ratio, token_ratio, **options), Draw(0))


def kept(selection: SelectionArrays) -> dict[int, str]:
    return dict(zip(selection.sample_id.tolist(), selection.reason.tolist(), strict=True))


def alpha(selection: SelectionArrays) -> float:
    (thresholds,) = selection.details["thresholds"]
    return float(thresholds["alpha"])


@pytest.mark.parametrize(
    ("steps", "low", "high", "corners"),
    [(1, 2.715, 6.285, {0, 7}), (2, 3.5725, 5.4275, {0, 7}), (3, 4.00125, 4.99875, {0, 3, 4, 7})],
)
def test_linear_quantiles_lie_between_samples(steps: int, low: float, high: float, corners: set[int]) -> None:
    selection = qtuning(example(), 0.5, bisection_steps=steps, quantile="linear")
    (actual,) = selection.details["thresholds"]
    assert [actual[f"{axis}_{end}"] for axis in ("ppl", "entropy") for end in ("low", "high")] == pytest.approx(
        [low, high] * 2
    )
    assert {i for i, reason in kept(selection).items() if reason != "fill"} == corners


def test_a_linear_quantile_of_one_sample_is_that_sample() -> None:
    one = handmade_scores.scores([2], samples={"ppl": [3], "entropy": [5]}, tokens={"nll": [1.0] * 2})
    assert kept(qtuning(one, 0.5, quantile="linear")) == {0: "q4"}, "on both limits, which belong to the corners"
    assert kept(qtuning(one, 0.5, quantile="linear", high_side="strict")) == {0: "fill"}, "above none"


def test_a_strict_high_side_leaves_out_the_sample_on_the_limit() -> None:
    assert kept(qtuning(example(), 0.5, bisection_steps=3)) == {0: "q4", 3: "q4", 4: "q2", 7: "q2"}
    strict = qtuning(example(), 0.5, bisection_steps=3, high_side="strict")
    assert kept(strict) == {0: "q4", 3: "fill", 4: "fill", 7: "q2"}, "PPL of 4 and entropy of 3 are the limit, 5"
    assert strict.details["corners"] == {"between": 2, "q1": 2, "q2": 1, "q3": 2, "q4": 1}


@pytest.mark.parametrize(
    ("ratio", "tolerance", "expected"),
    [(0.5, 0.01, 0.42875), (0.5, 0.25, 0.245), (0.5, 0.24, 0.42875), (0.375, 0.125, 0.245), (0.25, 0.0, 0.245)],
)
def test_the_search_stops_where_the_kept_share_is_near(ratio: float, tolerance: float, expected: float) -> None:
    assert alpha(qtuning(example(), ratio, tolerance=tolerance)) == pytest.approx(expected)


def test_each_window_stops_by_itself() -> None:
    twice = handmade_scores.scores(
        [2] * 16,
        samples={"ppl": PPL + [1] * 7 + [2], "entropy": ENTROPY + [1] * 8},
        tokens={"nll": [1.0] * 32},
    )
    first, second = qtuning(twice, 0.5, window=8, tolerance=0.01).details["thresholds"]
    assert first["alpha"] == pytest.approx(0.42875)
    assert second["alpha"] == pytest.approx(0.49 / 1024), "seven of eight at every step: it tightens to the end"


@pytest.mark.parametrize(("ratio", "floor", "rounded"), [(0.35, 2, 3), (0.1875, 1, 2), (0.3125, 2, 2), (0.0625, 1, 1)])
def test_the_count_of_samples_is_rounded_half_to_even(ratio: float, floor: int, rounded: int) -> None:
    diagonal = example(ppl=range(1, 9), entropy=range(1, 9))  # nothing in Q2 or Q4
    assert len(qtuning(diagonal, ratio, high_side="strict")) == floor
    assert len(qtuning(diagonal, ratio, high_side="strict", sample_count="round")) == rounded


@pytest.mark.parametrize(("tie", "treated"), [("keep", 4), ("prune", 2)])
def test_a_filled_sample_on_the_diagonal_is_whole_or_pruned(tie: str, treated: int) -> None:
    selection = qtuning(example(), 0.625, bisection_steps=3, filled_tie=tie)
    assert kept(selection)[1] == "fill", "1, 2, 5 and 6 have a contrast of 0: the first of them"
    assert selection.treated_as[list(selection.sample_id).index(1)] == treated


def test_entropy_over_the_sequence_is_another_column() -> None:
    assert pruners.needs("qtuning", {"entropy_over": "sequence"}).samples == {
        "ppl": "qtuning",
        "sequence_entropy": "qtuning",
    }
    scores = example(entropy=[1] * 8, sequence_entropy=ENTROPY)
    actual = kept(qtuning(scores, 0.5, bisection_steps=3, entropy_over="sequence"))
    assert actual == {0: "q4", 3: "q4", 4: "q2", 7: "q2"}


def test_edges_of_the_prompt_are_one_before_and_nothing_behind() -> None:
    tokens = handmade_scores.scores([3, 1], tokens={"nll": np.log([3, 4, 2, 3])})
    # First: (3 + (1 + 4)) / 2; middle: (4 + (3 + 2)) / 2; last: (2 + (4 + 0)) / 2; a single one: (3 + (1 + 0)) / 2.
    assert smoothed(tokens, 0.5, "prompt") == pytest.approx([4, 4.5, 3, 2])


@pytest.mark.parametrize(
    ("score", "kept_positions"), [("smoothed", [0, 1, 5]), ("reversed", [3, 4, 5]), ("excess", [0, 3, 5])]
)
def test_tokens_of_q2_by_another_score(score: str, kept_positions: list[int]) -> None:
    """Smoothed PPLs 3, 3, 3.5, 5.5, 5.5, 5; excess losses log 1, 4, 1, 1/2, 2, 1/2; the end is kept."""
    tokens = {
        "nll": np.log(np.tile([1, 4, 1, 2, 8, 1], 8)),
        "reference_nll": np.log(np.tile([1, 1, 1, 4, 4, 2], 8)),
    }
    scores = handmade_scores.scores([6] * 8, samples={"ppl": PPL, "entropy": ENTROPY}, tokens=tokens)
    selection = qtuning(scores, 0.25, token_score=score)
    assert selection.sample_id[1] == 7
    assert selection.kept_positions(1).tolist() == kept_positions


def test_random_tokens_of_q2_read_no_token_scores() -> None:
    assert not pruners.needs("qtuning", {"token_score": "random"}).tokens
    scores = handmade_scores.scores([6] * 8, samples={"ppl": PPL, "entropy": ENTROPY})
    selection = qtuning(scores, 0.25, token_score="random")
    luck = Draw(0).tokens(scores)[42:47]
    assert selection.kept_positions(1).tolist() == sorted([5, *np.argsort(-luck)[:2].tolist()])


def test_the_reading_is_a_bundle_of_options_and_each_can_be_set_beside_it() -> None:
    complete = pruners.complete_options("qtuning", {"reading": AUTHORS, "quantile": "inverted_cdf"})
    assert complete["tolerance"] == 0.01
    assert complete["high_side"] == "strict"
    assert "quantile" not in complete, "at its default"
    assert complete["window"] is None
