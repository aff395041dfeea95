"""What the intervals and asterisks promise, kept in simulated tables: benchmarks/simulated makes their answers.

Limits are binomial: a rate may miss its bound by what chance gives once in 10,000 runs of the test. The quick form has
200 tables, the slow ones 300 or 500, the exhaustive ones 600 or 1,500. benchmarks/inference.py makes the whole
comparison; docs/explanation/trust.md quotes what it recorded.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from scipy import stats

import inference
from prunegrid.statistics.inference import ALPHA, item_effect, item_noise

pytestmark = pytest.mark.sweep
MANY = (pytest.mark.slow, pytest.mark.exhaustive)
CHANCE = 1e-4
AVERAGE = -1


@lru_cache(maxsize=2)
def measured(name: str, number: int) -> dict[str, dict[str, Any]]:
    return inference.measures(inference.settings()[name], number, seed=1)


def at_most(percent: float, number: int, rate: float = ALPHA) -> bool:
    return bool(percent / 100 * number <= stats.binom.isf(CHANCE, number, rate))


def at_least(percent: float, number: int, rate: float) -> bool:
    return bool(percent / 100 * number >= stats.binom.ppf(CHANCE, number, rate))


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("sandbox 3: 8 rows 10 points better", 200),
        pytest.param("sandbox 3: no effect", 500, marks=pytest.mark.slow),
        pytest.param("paper 3: one row 2 points better", 300, marks=pytest.mark.slow),
        pytest.param("sandbox 3: no effect", 1500, marks=MANY),
        pytest.param("sandbox 3: 8 rows 10 points better", 1500, marks=MANY),
        pytest.param("sandbox 5: one row 5 points better", 1500, marks=MANY),
        pytest.param("paper 3: one row 2 points better", 600, marks=MANY),
    ],
)
def test_promises_are_kept_and_effects_are_found(name: str, number: int) -> None:
    """Of 17 rows some true null is marked in at most 5 % of tables; intervals cover what they name."""
    found = measured(name, number)
    assert all(at_most(percent, number) for percent in found["ours"]["false_marks"])
    # rows share the baseline, so a column's tables count as few more than tables
    for kind in ("coverage", "item_coverage"):
        assert all(at_least(percent, number, 0.94) for percent in found["ours"][kind]), kind
        assert all(at_most(percent, number, 0.975) for percent in found["ours"][kind]), kind
    if marks := found["ours"]["found"]:
        assert marks[AVERAGE] >= 0.8 * found["oracle"]["found"][AVERAGE]
        assert marks[AVERAGE] > 1.5 * found["old"]["found"][AVERAGE]


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        pytest.param("sandbox", 500, marks=pytest.mark.slow),
        pytest.param("sandbox", 1500, marks=MANY),
        pytest.param("paper", 600, marks=MANY),
    ],
)
def test_one_row_with_threefold_run_noise_is_not_found_for_it(kind: str, number: int) -> None:
    found = measured(f"{kind} 3: no effect, one row with threefold noise", number)["ours"]
    assert all(at_most(percent, number, 0.055) for percent in found["false_marks"])
    assert all(at_least(percent, number, 0.92) for percent in found["loud"])


@pytest.mark.parametrize("number", [pytest.param(500, marks=pytest.mark.slow), pytest.param(1500, marks=MANY)])
def test_few_unequal_passages(number: int) -> None:
    """Columns of 12 to 30 clusters."""
    found = measured("few passages 3: no effect", number)["ours"]
    assert all(at_most(percent, number) for percent in found["false_marks"])
    assert all(at_least(percent, number, 0.93) for percent in [*found["coverage"], *found["item_coverage"]])


@pytest.mark.parametrize("clusters", [12, 60])
def test_coverage_of_clustered_items(clusters: int) -> None:
    """Passages of 1 to 9 questions, half of one model's strength is the passage's; without passages, too short."""
    rng, runs = np.random.default_rng(2), 2000
    cluster_I = np.repeat(np.arange(clusters), rng.permutation(np.arange(clusters) % 9 + 1))
    whole = single = 0
    for _ in range(runs):
        strength_I = rng.normal(size=clusters)[cluster_I] + rng.normal(size=cluster_I.size)
        diffs_SI = ((np.sqrt(0.5) * strength_I < 0).astype(float) - (rng.random(cluster_I.size) < 0.4))[None]
        whole += is_covered(diffs_SI, 10, cluster_I)
        single += is_covered(diffs_SI, 10)
    assert at_least(100 * whole / runs, runs, 0.93) and at_most(100 * whole / runs, runs, 0.975)
    assert at_most(100 * single / runs, runs, 0.9), "items that are taken for independent undercover"


@pytest.mark.parametrize("items", [50, 200])
@pytest.mark.parametrize(("won", "lost"), [(0.02, 0.0), (0.06, 0.02), (0.0, 0.0), (0.2, 0.15)])
def test_coverage_where_few_items_differ(items: int, won: float, lost: float) -> None:
    """Without one more item won and lost, 65 % of the first are covered with 50 items: often none differs."""
    rng, runs = np.random.default_rng(3), 2000
    chance_TI = rng.random((runs, items))
    diffs_TI = (chance_TI < won).astype(float) - ((chance_TI >= won) & (chance_TI < won + lost))
    covered = sum(is_covered(diffs_I[None], 100 * (won - lost)) for diffs_I in diffs_TI)
    assert at_least(100 * covered / runs, runs, 0.93)
    if won + lost > 0.3:
        assert at_most(100 * covered / runs, runs, 0.96), "nothing is added where many differ"


def is_covered(diffs_SI: Any, truth: float, cluster_I: Any = None) -> bool:
    effect = item_effect(diffs_SI, cluster_I)
    low, high = item_noise(effect).interval(effect.delta)
    return low - 1e-9 <= truth <= high + 1e-9
