"""Other draws of the same items: by hand, and by drawing again and again from known models."""

import json
from math import isnan, sqrt

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prunegrid.api.compare import compare
from prunegrid.core.ragged import Floats
from prunegrid.statistics.draws import deviations, draw_se, fixed
from prunegrid.statistics.inference import Noise, average_effect, item_effect
from prunegrid.statistics.power import with_repeats


def test_draws_by_hand() -> None:
    """Two items, two answers: of A 1, 0 and 1, 1; of B 0, 0 and 1, 0. Differences 1, 0 and 0, 1: variance 1/2 each."""
    a_KI, b_KI = np.array([[1.0, 1], [0, 1]]), np.array([[0.0, 1], [0, 0]])
    expected = 100 * sqrt((0.5 / 2 + 0.5 / 2) / 4)
    assert draw_se([deviations(a_KI)], [deviations(b_KI)]) == pytest.approx(expected)


def test_models_that_answer_alike_have_no_noise_of_draws() -> None:
    """The same random numbers give equal models equal answers; against a greedy one all of it stays."""
    own = deviations(np.random.default_rng(0).integers(0, 2, (4, 50)).astype(float))
    assert draw_se([own], [own]) == 0
    alone = draw_se([own], [fixed(50)])
    assert alone == pytest.approx(100 * sqrt((own**2).sum() / 3 / 4) / 50)
    assert draw_se([own, own], [fixed(50)] * 2) == pytest.approx(alone)


def test_greedy_answers_have_none_and_unknown_ones_are_nan() -> None:
    own = deviations(np.eye(2))
    assert draw_se([fixed(2)], [fixed(2)]) == 0
    assert isnan(draw_se([own], [None]))
    assert isnan(draw_se([own], [deviations(np.eye(3)[:, :2])]))


def test_averages_and_repeats_share_out_the_variance() -> None:
    diffs = np.random.default_rng(1).normal(0, 0.3, (1, 40))
    effects = [item_effect(diffs, draw_se=3.0), item_effect(diffs, draw_se=4.0)]
    assert average_effect(effects).draw_se == pytest.approx(2.5)
    assert isnan(average_effect([effects[0], item_effect(diffs)]).draw_se)
    assert with_repeats(Noise(5.0, 39), 3.0, 2).item_se ** 2 == pytest.approx(25 - 9 / 2)
    assert with_repeats(Noise(5.0, 39), 3.0, 1).item_se == 5


def _answers(rng: np.random.Generator, chance_I: Floats, repeats: int) -> Floats:
    return (rng.random((repeats, len(chance_I))) < chance_I).astype(float)


@pytest.mark.parametrize("repeats", [2, 8])
def test_draw_se_is_the_spread_of_differences_when_the_same_items_are_asked_anew(repeats: int) -> None:
    rng = np.random.default_rng(repeats)
    a_I, b_I = rng.beta(1, 1, 80), rng.beta(1, 2, 80)
    deltas, squares = [], []
    for _ in range(1500):
        a_KI, b_KI = _answers(rng, a_I, repeats), _answers(rng, b_I, repeats)
        deltas.append(100 * (a_KI.mean() - b_KI.mean()))
        squares.append(draw_se([deviations(a_KI)], [deviations(b_KI)]) ** 2)
    assert np.mean(squares) == pytest.approx(np.var(deltas), rel=0.1)


def test_stats_say_what_more_answers_would_find(tmp_path) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(3)
    for name, chance in (("a", 0.4), ("b", 0.6)):
        drawn = [(rng.random(4) < chance).astype(float).tolist() for _ in range(60)]
        values = {"doc_id": list(range(60)), "doc_hash": [str(i) for i in range(60)], "filter": ["none"] * 60}
        values |= {"value": [float(np.mean(each)) for each in drawn], "draws": drawn, "n_samples": [4] * 60}
        pq.write_table(pa.table(values), tmp_path / f"{name}.parquet")
    result = compare(tmp_path / "a.parquet", tmp_path / "b.parquet")
    row = result[0]
    # all items are alike, so all noise is that of draws
    assert row.draw_se == pytest.approx(row.item_se, rel=0.25)
    assert row.detectable_answers == pytest.approx(row.detectable / sqrt(2), rel=0.15)
    assert "twice the answers" in str(result) and isnan(row.detectable_runs)
    json.dumps(result.to_pandas().to_dict("records"))
