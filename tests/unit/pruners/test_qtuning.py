"""Q-Tuning: the worked example of docs/reference/pruners.md, and a plain-Python reading of Algorithm 1 as reference."""

import math
from fractions import Fraction
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from prunegrid import pruners
from prunegrid.core import randomness
from prunegrid.pruners import Draw, Scores, SelectionArrays
from prunegrid.pruners.methods.qtuning import smoothed
from support import handmade_scores
from support.errors import refused
from support.handmade_scores import spec

PPL = [1, 2, 3, 4, 5, 6, 7, 8]
ENTROPY = [8, 2, 3, 5, 4, 6, 7, 1]
TOKEN_PPL = [1, 4, 1, 2, 8, 1]


def example() -> Scores:
    """Eight samples on the plane; each response has the six tokens of TOKEN_PPL."""
    return handmade_scores.scores(
        [6] * 8, samples={"ppl": PPL, "entropy": ENTROPY}, tokens={"nll": np.log(np.tile(TOKEN_PPL, 8))}
    )


def qtuning(scores: Scores, sample_ratio: float, token_ratio: float = 0.5, **options: Any) -> SelectionArrays:
    return pruners.select(scores, spec("qtuning", sample_ratio, token_ratio, **options), Draw(0))


def places(selection: SelectionArrays) -> dict[int, tuple[str, int, int]]:
    rows = zip(selection.sample_id, selection.reason, selection.quadrant, selection.treated_as, strict=True)
    return {int(i): (str(reason), int(quadrant), int(treated)) for i, reason, quadrant, treated in rows}


def test_three_steps_meet_the_target_with_corners() -> None:
    selection = qtuning(example(), 0.5, bisection_steps=3)
    assert places(selection) == {0: ("q4", 4, 4), 3: ("q4", 4, 4), 4: ("q2", 2, 2), 7: ("q2", 2, 2)}
    assert selection.details["corners"] == {"between": 0, "q1": 2, "q2": 2, "q3": 2, "q4": 2}


@pytest.mark.parametrize(("steps", "alpha", "limits"), [(1, 0.245, [2, 7]), (2, 0.3675, [3, 6]), (3, 0.42875, [4, 5])])
def test_thresholds_step_by_step(steps: int, alpha: float, limits: list[int]) -> None:
    (actual,) = qtuning(example(), 0.5, bisection_steps=steps).details["thresholds"]
    assert actual["alpha"] == pytest.approx(alpha)
    assert [actual["ppl_low"], actual["ppl_high"]] == limits
    assert [actual["entropy_low"], actual["entropy_high"]] == limits


@pytest.mark.parametrize("quantile", ["inverted_cdf", "linear"])
def test_values_that_float32_does_not_tell_apart_keep_their_places(quantile: str) -> None:
    near = 1 + np.array([PPL, ENTROPY]) * 1e-12
    given = handmade_scores.scores(
        [6] * 8, samples=dict(zip(("ppl", "entropy"), near, strict=True)), tokens={"nll": np.zeros(48)}
    )
    options = {"bisection_steps": 3, "quantile": quantile}
    assert places(qtuning(given, 0.5, **options)) == places(qtuning(example(), 0.5, **options))
    (actual,) = qtuning(given, 0.5, **options).details["thresholds"]
    assert 1 < actual["ppl_low"] < actual["ppl_high"] < 1 + 1e-11


def test_the_median_of_an_odd_number_is_in_q4() -> None:
    scores = handmade_scores.scores(
        [2] * 3, samples={"ppl": [1, 2, 3], "entropy": [1, 2, 3]}, tokens={"nll": [1.0] * 6}
    )
    assert places(qtuning(scores, 0.4)) == {1: ("q4", 4, 4)}


def test_two_steps_leave_two_to_fill() -> None:
    selection = qtuning(example(), 0.5, bisection_steps=2)
    assert places(selection) == {0: ("q4", 4, 4), 3: ("fill", 0, 4), 4: ("fill", 0, 2), 7: ("q2", 2, 2)}


def test_final_thresholds_may_be_those_of_either_end() -> None:
    by_corners = places(qtuning(example(), 0.5, bisection_steps=3))
    assert places(qtuning(example(), 0.5, bisection_steps=2, final="loose")) == by_corners
    tight = qtuning(example(), 0.5, bisection_steps=3, final="tight")
    assert places(tight) == places(qtuning(example(), 0.5, bisection_steps=2))
    assert tight.details["paths"] == {"q2": 1, "q4": 1, "filled": 2, "trimmed": 0}


@pytest.mark.parametrize(("rule", "treated"), [("contrast", (4, 2)), ("prune", (2, 2)), ("keep", (4, 4))])
def test_tokens_of_filled_samples(rule: str, treated: tuple[int, int]) -> None:
    kept = places(qtuning(example(), 0.5, bisection_steps=2, filled_tokens=rule))
    assert (kept[3], kept[4]) == (("fill", 0, treated[0]), ("fill", 0, treated[1]))


def test_surplus_is_trimmed_or_kept() -> None:
    assert list(qtuning(example(), 0.375, bisection_steps=3).sample_id) == [0, 3, 7]
    assert list(qtuning(example(), 0.375, bisection_steps=3, surplus="keep").sample_id) == [0, 3, 4, 7]


def test_tokens_of_q4_are_whole_and_of_q2_smoothed() -> None:
    selection = qtuning(example(), 0.25)
    assert places(selection) == {0: ("q4", 4, 4), 7: ("q2", 2, 2)}
    assert selection.kept_positions(0).tolist() == [0, 1, 2, 3, 4, 5]
    assert selection.kept_positions(1).tolist() == [0, 1, 5]
    assert qtuning(example(), 0.25, neighbor_lambda=0).kept_positions(1).tolist() == [0, 2, 5]


@pytest.mark.parametrize(("edges", "ends"), [("repeat", (3, 5)), ("zero", (2.5, 4.5)), ("prompt", (3, 4.5))])
def test_smoothing_adds_both_neighbours_without_a_half(edges: str, ends: tuple[float, float]) -> None:
    expected = [ends[0], 3, 3.5, 5.5, 5.5, ends[1]] * 8
    assert smoothed(example(), 0.5, edges) == pytest.approx(expected)


def test_one_token_is_its_own_neighbour() -> None:
    one = handmade_scores.scores([1], tokens={"nll": [math.log(3)]})
    assert smoothed(one, 0.5, "repeat") == pytest.approx([0.5 * 3 + 0.5 * (3 + 3)])
    assert smoothed(one, 0.5, "zero") == pytest.approx([0.5 * 3])


def test_a_huge_loss_does_not_overflow() -> None:
    scores = handmade_scores.scores([3], tokens={"nll": [1e4, 1e4, 0]})
    assert np.isfinite(smoothed(scores, 0.0, "repeat")).all()
    assert np.isfinite(smoothed(scores, 1.0, "repeat")).all()


def test_constant_axes_put_every_sample_in_q4() -> None:
    scores = handmade_scores.scores([2] * 4, samples={"ppl": [3] * 4, "entropy": [1] * 4}, tokens={"nll": [1.0] * 8})
    assert places(qtuning(scores, 0.5)) == {0: ("q4", 4, 4), 1: ("q4", 4, 4)}


def test_windows_count_one_by_one_and_the_last_is_short() -> None:
    selection = qtuning(handmade_scores.random_scores(21, seed=1), 0.25, window=8)
    assert len(selection) == 2 + 2 + 1
    assert [w["samples"] for w in selection.details["thresholds"]] == [8, 8, 5]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Scores, dict[str, Any]]:
    """Up to 18 samples on a coarse grid, so that ties and duplicates are common, and every option."""
    n = draw(st.integers(1, 18))
    grid = st.integers(1, draw(st.sampled_from([1, 2, 5, 40]))).map(float)
    lengths = draw(st.lists(st.integers(1, 5), min_size=n, max_size=n))
    total = sum(lengths)
    scores = handmade_scores.scores(
        lengths,
        sample_id=draw(st.permutations(range(0, 3 * n, 3))),
        truncated=draw(st.lists(st.booleans(), min_size=n, max_size=n)),
        samples={name: draw(st.lists(grid, min_size=n, max_size=n)) for name in ("ppl", "entropy")},
        tokens={"nll": np.log(draw(st.lists(grid, min_size=total, max_size=total)))},
    )
    ratio = st.sampled_from([0.01, 0.0625, 0.125, 0.25, 0.5, 0.7, 1.0])
    options = {
        "sample_ratio": ratio,
        "token_ratio": ratio,
        "window": st.sampled_from([None, 1, 3, 8, 13]),
        "surplus": st.sampled_from(["trim", "keep"]),
        "trim_order": st.sampled_from(["contrast", "random"]),
        "fill": st.sampled_from(["contrast", "random"]),
        "filled_tokens": st.sampled_from(["contrast", "prune", "keep"]),
        "neighbor_lambda": st.sampled_from([0.0, 0.3, 0.5, 1.0]),
        "edges": st.sampled_from(["repeat", "zero"]),
        "bisection_steps": st.integers(1, 11),
        "final": st.sampled_from(["last", "tight", "loose"]),
        "upper": st.sampled_from([0.25, 0.49, 0.5]),
    }
    return scores, draw(st.fixed_dictionaries(options))


@hypothesis.settings(max_examples=400, deadline=None, database=None, derandomize=True)
@hypothesis.given(cases())
def test_agrees_with_the_reference(case: tuple[Scores, dict[str, Any]]) -> None:
    agrees(*case)


@pytest.mark.slow
@hypothesis.settings(max_examples=1500, deadline=None, database=None, derandomize=False)
@hypothesis.given(cases())
def test_agrees_with_the_reference_on_others(case: tuple[Scores, dict[str, Any]]) -> None:
    """Other inputs in every run; hypothesis prints the smallest that fails."""
    agrees(*case)


def agrees(scores: Scores, options: dict[str, Any]) -> None:
    selection = qtuning(scores, **options)
    actual = {
        i: (*place, selection.kept_positions(row).tolist()) for row, (i, place) in enumerate(places(selection).items())
    }
    assert actual == reference(scores, **options)


@hypothesis.settings(max_examples=150, deadline=None, database=None, derandomize=True)
@hypothesis.given(cases())
def test_without_filling_only_corners_are_kept(case: tuple[Scores, dict[str, Any]]) -> None:
    scores, options = case
    filled = places(qtuning(scores, **options))
    corners = {i: place for i, place in filled.items() if place[0] != "fill"}
    if corners:
        assert places(qtuning(scores, **{**options, "fill": "none"})) == corners
    else:
        with refused("qtuning", "Q2 and Q4 are empty", fix="fill: contrast"):
            qtuning(scores, **{**options, "fill": "none"})


@hypothesis.settings(max_examples=150, deadline=None, database=None, derandomize=True)
@hypothesis.given(cases())
def test_every_sample_took_a_path(case: tuple[Scores, dict[str, Any]]) -> None:
    scores, options = case
    selection = qtuning(scores, **options)
    paths, corners = selection.details["paths"], selection.details["corners"]
    assert paths["q2"] + paths["q4"] + paths["filled"] == len(selection)
    assert paths["q2"] + paths["q4"] + paths["trimmed"] == corners["q2"] + corners["q4"]
    assert sum(corners.values()) == len(scores)
    assert not (options["surplus"] == "keep" and paths["trimmed"])


def test_thresholds_of_many_windows_are_summed_up() -> None:
    actual = qtuning(handmade_scores.random_scores(600), 0.25, window=8).details["thresholds"]
    assert actual["windows"] == 75
    assert len(actual["quartiles"]["alpha"]) == 5


def reference(
    scores: Scores,
    sample_ratio: float,
    token_ratio: float,
    *,
    window: int | None,
    neighbor_lambda: float,
    edges: str,
    **rules: Any,
) -> dict[int, tuple[str, int, int, list[int]]]:
    """Algorithm 1, sample by sample: {sample_id: (reason, quadrant, treated_as, kept positions)}."""
    rows = sorted(range(len(scores)), key=lambda row: scores.sample_id[row])
    luck = randomness.uniform(Draw(0).seed, "samples", scores.sample_id)
    width = window or len(rows)
    chosen = {}
    for start in range(0, len(rows), width):
        part = rows[start : start + width]
        columns = [[float(column[row]) for row in part] for column in (*scores.samples.values(), luck)]
        places = window_by_hand(*columns, Fraction(str(sample_ratio)), **rules)
        chosen.update({part[i]: place for i, place in places.items()})
    token_ppl = np.exp(scores.tokens["nll"])
    return {
        int(scores.sample_id[row]): (
            *place,
            positions(
                [float(x) for x in token_ppl[scores.offsets[row] : scores.offsets[row + 1]]],
                bool(scores.truncated[row]),
                Fraction(1) if place[2] == 4 else Fraction(str(token_ratio)),
                neighbor_lambda,
                edges,
            ),
        )
        for row, place in sorted(chosen.items(), key=lambda item: scores.sample_id[item[0]])
    }


def window_by_hand(
    ppl: list[float],
    entropy: list[float],
    luck: list[float],
    ratio: Fraction,
    *,
    bisection_steps: int,
    upper: float,
    final: str,
    surplus: str,
    trim_order: str,
    fill: str,
    filled_tokens: str,
) -> dict[int, tuple[str, int, int]]:
    """Places of the kept samples of one window."""
    n, low, high = len(ppl), Fraction(0), Fraction(str(upper))
    for _ in range(bisection_steps):
        alpha = (low + high) / 2
        q2, q4 = corners_at(ppl, entropy, alpha)
        low, high = (alpha, high) if Fraction(len(q2) + len(q4), n) < ratio else (low, alpha)
    q2, q4 = corners_at(ppl, entropy, {"last": alpha, "tight": low, "loose": high}[final])
    contrast = [a - b for a, b in zip(norm(ppl), norm(entropy), strict=True)]
    orders = {"contrast": lambda i: (-abs(contrast[i]), i), "random": lambda i: (-luck[i], i)}
    target = max(1, math.floor(ratio * n))
    corners = sorted([*q2, *q4], key=orders[trim_order])
    others = sorted(set(range(n)) - set(corners), key=orders[fill])
    filled = others[: max(0, target - len(corners))]
    if surplus == "trim":
        corners = corners[:target]
    rule = {"contrast": lambda i: 2 if contrast[i] > 0 else 4, "prune": lambda i: 2, "keep": lambda i: 4}
    places = {i: ("q2", 2, 2) if i in q2 else ("q4", 4, 4) for i in corners}
    return places | {i: ("fill", 0, rule[filled_tokens](i)) for i in filled}


def corners_at(ppl: list[float], entropy: list[float], alpha: Fraction) -> tuple[list[int], list[int]]:
    """Q2 and Q4; a sample in both is in Q4."""
    ppl_low, ppl_high = quantile(ppl, alpha), quantile(ppl, 1 - alpha)
    entropy_low, entropy_high = quantile(entropy, alpha), quantile(entropy, 1 - alpha)
    plane = list(enumerate(zip(ppl, entropy, strict=True)))
    q4 = [i for i, (p, e) in plane if p <= ppl_low and e >= entropy_high]
    q2 = [i for i, (p, e) in plane if p >= ppl_high and e <= entropy_low and i not in q4]
    return q2, q4


def quantile(values: list[float], g: Fraction) -> float:
    """The smallest value with at least a fraction g at or below it."""
    return min(v for v in values if Fraction(sum(w <= v for w in values), len(values)) >= g)


def norm(values: list[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(v - low) / (high - low) if high > low else 0.0 for v in values]


def positions(ppl: list[float], truncated: bool, ratio: Fraction, lam: float, edges: str) -> list[int]:
    last = len(ppl) - 1

    def ppl_at(i: int, own: float) -> float:
        return ppl[i] if 0 <= i <= last else (own if edges == "repeat" else 0.0)

    s = [(1 - lam) * p + lam * (ppl_at(i - 1, p) + ppl_at(i + 1, p)) for i, p in enumerate(ppl)]
    forced = [] if truncated else [last]
    ranked = forced + [i for i in sorted(range(len(s)), key=lambda i: (s[i], i)) if i not in forced]
    return sorted(ranked[: max(1, math.floor(ratio * len(ppl)))])


def test_options_are_recorded_as_in_version_0_1() -> None:
    written = {
        "window": 8,
        "surplus": "keep",
        "trim_order": "contrast",
        "fill": "contrast",
        "filled_tokens": "contrast",
        "neighbor_lambda": 0.5,
        "edges": "repeat",
        "bisection_steps": 10,
        "final": "last",
        "upper": 0.49,
    }
    for options in ({"window": 8, "surplus": "keep"}, {"surplus": "keep", "reading": "paper", "window": 8}, written):
        assert list(pruners.complete_options("qtuning", options).items()) == list(written.items()), (
            "in the order of 0.1, too"
        )


def test_unknown_reading_is_refused() -> None:
    with refused("qtuning: reading", "papre", fix="paper"):
        pruners.complete_options("qtuning", {"reading": "papre"})
