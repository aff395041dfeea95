"""Functions of the figures by themselves: which figures, the front, intervals, the sample shown, lines, signs."""

from typing import Any

import numpy as np
import pytest

from prunegrid import pruners
from prunegrid.figures import example, names, noise, pareto, response, tokens
from prunegrid.figures.model_results import signed
from prunegrid.pruners import Draw
from prunegrid.results import collect
from support import handmade_scores
from support.figures_folder import byte_tokenizer, deltas_of
from support.handmade_scores import spec
from support.programs import imported_by
from support.results_folder import an_experiment


def test_figures_of_experiments_without_a_baseline() -> None:
    bare = {"eu-plane", "tokens", "pareto"}
    assert set(names.figures(an_experiment(variants=["random+ppl", "qtuning"]))) == bare
    assert set(names.figures(an_experiment(variants=["random+random"]))) == bare
    joint = an_experiment(variants=["random+random", "qtuning"])
    assert set(names.figures(joint)) == bare | {"bars-s0.125-t0.5"}
    assert "curves" in names.figures(an_experiment(training={"mode": "dynamic"}))


@pytest.mark.parametrize(
    "variants",
    [
        ["random+ppl", "qtuning"],
        ["random+random", "random+ppl"],
        [{"plain": {"method": "random+random", "removal": "drop"}}, "qtuning"],
        ["qtuning", {"equal": {"method": "random+random", "match": "qtuning"}}],
    ],
)
def test_there_are_deltas_to_draw_where_there_is_a_baseline(variants: list[Any]) -> None:
    experiment = an_experiment(variants=variants)
    assert names.has_baseline(experiment) == bool(collect.baselines(experiment))


def test_names_imports_no_heavy_library() -> None:
    assert not {"pandas", "matplotlib", "torch"} & imported_by(names.__name__)


NONE = {"low": np.nan, "item_low": np.nan, "significant": None}


@pytest.mark.parametrize(
    ("row", "interval", "tested"),
    [
        ({"n_seeds": 3, "low": 1.0, "item_low": 2.0, "significant": True}, "both", "differs"),
        ({"n_seeds": 3, "low": -1.0, "item_low": 2.0, "significant": False}, "both", "not significant"),
        ({"n_seeds": 2, "low": 1.0, "item_low": 2.0, "significant": None}, "both", "not tested"),
        ({"n_seeds": 1, "low": np.nan, "item_low": 2.0, "significant": None}, "items", "not tested"),
        ({"n_seeds": 1, **NONE}, "none", "not tested"),
        ({"n_seeds": 3, **NONE}, "none", "not tested"),
    ],
)
def test_which_interval_and_which_dot(row: dict[str, Any], interval: str, tested: str) -> None:
    line = next(deltas_of([row]).itertuples())
    assert (noise.interval(line), noise.tested(line)) == (interval, tested)


def test_the_front_is_what_nothing_cheaper_equals() -> None:
    cost, score = np.array([1.0, 2.0, 3.0, 2.0, 5.0]), np.array([5.0, 7.0, 6.0, 7.0, 9.0])
    assert pareto.front(cost, score, -np.inf) == [0, 1, 4]
    assert pareto.front(cost, score, 5.0) == [1, 4]
    assert pareto.front(cost, score, 9.0) == []


def test_which_sample_is_shown_where_no_response_is_long() -> None:
    given = handmade_scores.scores(
        [3, 5, 5, 9], sample_id=[2, 4, 6, 8], samples={"ppl": [1, 2, 3, 4], "entropy": [4, 3, 2, 1]}
    )
    chosen = pruners.choose_samples(given, spec("qtuning"), Draw(0))
    assert example.pick_sample(given, chosen)[0] == 2


def test_which_sample_is_shown_of_long_responses() -> None:
    plane = {"ppl": [9, 8, 7, 6, 1, 1, 1, 1], "entropy": [1, 1, 1, 1, 9, 9, 9, 9]}
    given = handmade_scores.scores([61, 70, 65, 11, 20, 20, 20, 20], samples=plane)
    chosen = pruners.choose_samples(given, spec("qtuning", 1.0, 0.5, final="loose"), Draw(0))
    assert example.pick_sample(given, chosen) == (2, 2)


def test_the_sample_shown_is_no_planted_noise_and_is_kept_by_many() -> None:
    """Sample 3 is noise: of the other Q2 samples that with most votes. If all is noise: of low PPL, with most votes."""
    plane = {"ppl": [9, 8, 7, 6, 1, 1, 1, 1], "entropy": [1, 1, 1, 1, 9, 9, 9, 9]}
    given = handmade_scores.scores([20] * 8, samples=plane)
    chosen = pruners.choose_samples(given, spec("qtuning", 1.0, 0.5, final="loose"), Draw(0))
    noise, votes = np.arange(8) == 3, np.array([9, 1, 4, 9, 1, 1, 9, 1])
    q2 = np.zeros(8, bool)
    q2[chosen.rows] = chosen.samples.treated_as == 2
    candidates = np.flatnonzero(q2 & ~noise)
    assert example.pick_sample(given, chosen, votes, noise)[0] == candidates[np.argmax(votes[candidates])]
    nothing_clean = example.pick_sample(given, chosen, votes, np.ones(8, bool))
    assert nothing_clean[0] == 3


def test_parts_of_a_character_are_shown_with_its_last() -> None:
    tokenizer = byte_tokenizer()
    ids = tokenizer.encode("a\u00e9 \u20ac").ids
    assert response.texts(tokenizer, ids) == [
        "a",
        "",
        "\u00e9",
        " ",
        "",
        "",
        "\u20ac",
    ]


def test_lines_break_between_tokens() -> None:
    width = tokens.WIDTH
    pieces = tokens.lay_out(["x" * (width - 1), "ab", "\n", "y" * (width + 5)])
    assert [(piece.line, piece.column) for piece in pieces] == [(0, 0), (1, 0), (1, 2), (2, 0)]
    assert [piece.column for piece in tokens.lay_out(["\u4f60", "\u597d", "e\u0301", "!"])] == [0, 2, 4, 5]
    assert pieces[2].text == "\u21b5" and len(pieces[3].text) == width
    assert tokens.visible("a\U0001f9ff$") == "a\u25a1\u25a1$"


@pytest.mark.parametrize(("points", "text"), [(0.04, "0.0"), (-0.04, "0.0"), (1.26, "+1.3"), (-12.0, "\u221212.0")])
def test_deltas_carry_their_sign(points: float, text: str) -> None:
    assert signed(points) == text
