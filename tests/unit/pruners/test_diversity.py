"""Selectors over vectors: by hand (docs/reference/selectors.md), against plain loops in float64, and where they
degenerate."""

import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from prunegrid import pruners
from prunegrid.core.errors import PrunegridError
from prunegrid.core.extras import missing_extra
from prunegrid.pruners import SAMPLE, Draw, Match, Ranking, Scores
from prunegrid.pruners.clusters import blocks_of, k_means
from support.docs import code_blocks
from support.errors import refused
from support.handmade_scores import scores, spec
from support.programs import imported_by

Array = NDArray[Any]
GREEDY = ["k-center", "herding", "facility-location", "diverse"]
ALL = [*GREEDY, "semdedup", "d4"]
DEGREES = [0, 10, 25, 90, 110, 170]
NLL = [1.0, 2.0, 0.5, 2.0, 3.0, 0.1]


def given(vectors: Any, nll: Any = None, sample_id: Any = None) -> Scores:
    values = np.asarray(vectors)
    losses = np.zeros(len(values)) if nll is None else nll
    return scores([2] * len(values), sample_id=sample_id, samples={"hidden_mean": values, "nll": losses})


def directions() -> Scores:
    angle = np.radians(DEGREES)
    return given(np.stack([np.cos(angle), np.sin(angle)], axis=1), NLL)


def clustered(n: int, seed: int = 0, groups: int = 5, width: int = 8) -> Scores:
    rng = np.random.default_rng(seed)
    centres = 3 * rng.normal(size=(groups, width))
    return given(centres[rng.integers(groups, size=n)] + rng.normal(size=(n, width)), rng.gamma(2.0, 1.0, n))


def key(method: str, samples: Scores, ratio: float, seed: int = 0, **options: Any) -> Array:
    pruner = SAMPLE[method]
    complete = pruner.options.complete(options, method)
    returned = pruner.call(samples, Draw(seed, sample_ratio=ratio), options=complete)
    return np.asarray(returned.key if isinstance(returned, Ranking) else returned)


def kept(method: str, samples: Scores, ratio: float, seed: int = 0, **options: Any) -> list[int]:
    return pruners.select(samples, spec(f"{method}+random", ratio, 1, **options), Draw(seed)).sample_id.tolist()


@pytest.mark.parametrize(
    ("method", "options", "expected"),
    [
        ("k-center", {}, [0, 3, 5]),
        ("herding", {}, [0, 3, 4]),
        ("facility-location", {}, [2, 4, 5]),
        ("semdedup", {"clusters": 1}, [0, 4, 5]),
        ("d4", {"clusters": 1}, [0, 4, 5]),
        ("d4", {"clusters": 1, "dedup_ratio": 0.84}, [0, 2, 5]),
        ("diverse", {}, [1, 4, 5]),
        ("diverse", {"score": "nll", "threshold": 1.0}, [1, 3, 4]),
        ("diverse", {"score": "loss", "score_options": {"loss": "lowest"}}, [2, 3, 5]),
    ],
)
def test_selectors_by_hand(method: str, options: dict[str, Any], expected: list[int]) -> None:
    assert kept(method, directions(), 0.5, **options) == expected


def test_picks_by_hand_in_order_of_picking() -> None:
    expected = {"k-center": [3, 0, 5], "herding": [3, 0, 4], "facility-location": [2, 4, 5], "diverse": [4, 1, 5]}
    for method, order in expected.items():
        assert np.argsort(-key(method, directions(), 0.5), kind="stable")[:3].tolist() == order


def unit(vectors: Array) -> Array:
    rows = vectors.astype(np.float64)
    return np.array([row / np.linalg.norm(row) if row.any() else row for row in rows])


def k_center_by_loops(vectors: Array, count: int) -> list[int]:
    x = unit(vectors)
    picked = [min(range(len(x)), key=lambda i: np.linalg.norm(x[i] - x.mean(axis=0)))]
    while len(picked) < count:
        picked.append(max(range(len(x)), key=lambda i: min(np.linalg.norm(x[i] - x[j]) for j in picked)))
    return picked


def herding_by_loops(vectors: Array, count: int) -> list[int]:
    x = unit(vectors)
    picked: list[int] = []
    while len(picked) < count:
        free = [i for i in range(len(x)) if i not in picked]
        picked.append(min(free, key=lambda i: np.linalg.norm(x.mean(axis=0) - x[[*picked, i]].mean(axis=0))))
    return picked


def covered(vectors: Array, picked: list[int]) -> float:
    x = unit(vectors)
    return float(np.maximum(x @ x[picked].T, 0).max(axis=1).sum())


def diverse_by_loops(vectors: Array, score: Array, count: int, threshold: float) -> list[int]:
    x, picked, skipped = unit(vectors), list[int](), list[int]()
    for i in np.argsort(-score, kind="stable").tolist():
        (skipped if any(x[i] @ x[j] > threshold for j in picked) else picked).append(i)
    return [*picked, *skipped][:count]


def semdedup_by_loops(vectors: Array, label: Array, count: int) -> set[int]:
    x, worst = unit(vectors), np.full(len(vectors), -1.0)
    for cluster in set(label.tolist()):
        rows = np.flatnonzero(label == cluster)
        centre = unit(x[rows].mean(axis=0, keepdims=True))[0]
        order = sorted(rows.tolist(), key=lambda i: float(x[i] @ centre))
        for place, i in enumerate(order):
            worst[i] = max((float(x[i] @ x[j]) for j in order[:place]), default=-1.0)
    return set(np.argsort(worst, kind="stable")[:count].tolist())


@pytest.mark.parametrize("seed", range(4))
def test_greedy_selectors_pick_what_plain_loops_pick(seed: int) -> None:
    samples = clustered(60, seed)
    vectors, nll = samples.samples["hidden_mean"], samples.samples["nll"]
    references = {
        "k-center": k_center_by_loops(vectors, 15),
        "herding": herding_by_loops(vectors, 15),
        "diverse": diverse_by_loops(vectors, nll, 15, 0.9),
    }
    for method, expected in references.items():
        assert np.argsort(-key(method, samples, 0.25), kind="stable")[:15].tolist() == expected, method
        assert kept(method, samples, 0.25) == sorted(expected)


@pytest.mark.parametrize("seed", range(4))
def test_facility_location_picks_what_covers_most(seed: int) -> None:
    """Two that are alike and far from others cover the same, so sums are compared and not picks."""
    samples = clustered(60, seed)
    vectors = samples.samples["hidden_mean"]
    picked = np.argsort(-key("facility-location", samples, 0.25), kind="stable")[:15].tolist()
    for place, pick in enumerate(picked):
        sums = [covered(vectors, [*picked[:place], row]) for row in range(60)]
        assert sums[pick] == pytest.approx(max(sums), abs=1e-5)


def separate(per_group: int = 12, groups: int = 4) -> tuple[Scores, Array]:
    """Groups along orthogonal axes, which any k-means finds, and the group of each sample."""
    rng = np.random.default_rng(7)
    label = np.arange(per_group * groups) % groups
    return given(10 * np.eye(groups)[label] + rng.normal(size=(len(label), groups))), label


def test_k_means_finds_groups_that_are_apart() -> None:
    samples, label = separate()
    found, cosine = k_means(samples.samples["hidden_mean"], 4, samples.sample_id, Draw(0))
    assert len({*zip(found.tolist(), label.tolist(), strict=True)}) == len(set(found.tolist())) == 4
    x = unit(samples.samples["hidden_mean"])
    for cluster in range(4):
        centre = unit(x[found == cluster].mean(axis=0, keepdims=True))[0]
        assert np.allclose(cosine[found == cluster], x[found == cluster] @ centre, atol=1e-3)


def test_semdedup_drops_what_plain_loops_drop() -> None:
    samples, label = separate()
    vectors = samples.samples["hidden_mean"]
    assert set(kept("semdedup", samples, 0.5, clusters=4)) == semdedup_by_loops(vectors, label, 24)
    assert set(kept("semdedup", samples, 0.25, clusters=1)) == semdedup_by_loops(vectors, np.zeros(48), 12)


def test_semdedup_drops_copies_first() -> None:
    samples = clustered(40)
    vectors = samples.samples["hidden_mean"]
    doubled = given(np.concatenate([vectors, 2 * vectors]))
    assert sorted(row % 40 for row in kept("semdedup", doubled, 0.5, clusters=1)) == list(range(40))


def test_d4_drops_copies_and_then_what_is_typical() -> None:
    samples, label = separate()
    vectors = samples.samples["hidden_mean"]
    left = sorted(semdedup_by_loops(vectors, label, 36))
    x = unit(vectors)
    centres = {
        group: unit(x[[i for i in left if label[i] == group]].mean(axis=0, keepdims=True))[0] for group in range(4)
    }
    expected = sorted(left, key=lambda i: float(x[i] @ centres[label[i]]))[:12]
    assert kept("d4", samples, 0.25, clusters=4) == sorted(expected)
    assert kept("d4", samples, 0.8, clusters=4) == kept("semdedup", samples, 0.8, clusters=4)


@pytest.mark.parametrize("method", ALL)
def test_order_of_rows_and_lengths_of_vectors_change_nothing(method: str) -> None:
    samples = clustered(200)
    vectors = samples.samples["hidden_mean"]
    rng = np.random.default_rng(1)
    scaled = given(vectors * 2.0 ** rng.integers(-1, 2, (200, 1)), samples.samples["nll"])
    for options in ({}, {"blocks": 3} if method in GREEDY else {"clusters": 3}):
        expected = kept(method, samples, 0.3, **options)
        assert kept(method, samples.take(rng.permutation(200)), 0.3, **options) == expected
        assert kept(method, scaled, 0.3, **options) == expected


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("ratio", [0.01, 0.1, 0.35, 0.7, 1.0])
def test_count_is_met_exactly(method: str, ratio: float) -> None:
    samples = clustered(100)
    for options in ({}, {"blocks": 4}) if method in GREEDY else ({}, {"clusters": 100}):
        assert len(kept(method, samples, ratio, **options)) == max(1, round(100 * ratio))


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("vectors", [np.zeros((9, 3)), np.ones((9, 3)), np.eye(9)[[0] * 8 + [1]]])
def test_degenerate_vectors_leave_the_smaller_ids_first(method: str, vectors: Array) -> None:
    for options in ({}, {"blocks": 3} if method in GREEDY else {"clusters": 3}):
        rows = kept(method, given(vectors), 0.34, **options)
        assert len(rows) == 3
        if not vectors.any() or vectors.all():
            assert rows == [0, 1, 2] or options


@pytest.mark.parametrize("method", ALL)
def test_one_sample_is_kept(method: str) -> None:
    assert kept(method, given([[1.0, 2.0]]), 0.25) == [0]


def test_k_center_takes_every_distinct_vector_before_a_copy() -> None:
    samples = given(np.eye(6)[[0, 0, 0, 1, 1, 2, 3, 4, 5]])
    distinct = {0, 3, 5, 6, 7, 8}
    assert set(kept("k-center", samples, 0.67)) == distinct
    assert kept("k-center", samples, 0.8) == sorted(distinct | {1})


def radius(vectors: Array, rows: list[int]) -> float:
    x = unit(vectors)
    return float(np.sqrt(np.maximum(2 - 2 * (x @ x[rows].T).max(axis=1), 0)).max())


def test_k_center_in_blocks_covers_about_as_well() -> None:
    samples = clustered(2000, groups=12)
    vectors = samples.samples["hidden_mean"]
    exact = radius(vectors, kept("k-center", samples, 0.1, blocks=1))
    assert radius(vectors, kept("k-center", samples, 0.1, blocks=8)) < 1.2 * exact
    assert radius(vectors, kept("random", samples, 0.1)) > 1.2 * exact


def test_k_center_gives_a_block_centres_by_its_extent_and_not_its_size() -> None:
    rng = np.random.default_rng(0)
    narrow = np.eye(6)[0] + 0.01 * rng.normal(size=(190, 6))
    wide = np.eye(6)[1] + 0.4 * rng.normal(size=(10, 6))
    samples = given(np.concatenate([narrow, wide]))
    assert sum(row >= 190 for row in kept("k-center", samples, 0.1, blocks=2)) == 10
    assert sum(row >= 190 for row in kept("herding", samples, 0.1, blocks=2)) == 1


def test_herding_in_blocks_stays_near_the_mean() -> None:
    samples = clustered(2000, groups=12)
    x = unit(samples.samples["hidden_mean"])

    def error(rows: list[int]) -> float:
        return float(np.linalg.norm(x[rows].mean(axis=0) - x.mean(axis=0)))

    assert error(kept("herding", samples, 0.1, blocks=8)) < 0.2 * error(kept("random", samples, 0.1))


def test_blocks_have_every_row_once_and_none_is_much_larger_than_the_average() -> None:
    samples = given(np.concatenate([np.eye(4)[[0] * 900], np.random.default_rng(0).normal(size=(100, 4))]))
    blocks = blocks_of(samples.samples["hidden_mean"], 500, samples.sample_id, Draw(0), 20)
    assert sorted(np.concatenate(blocks).tolist()) == list(range(1000))
    assert max(map(len, blocks)) <= 4 * 50
    assert len(blocks_of(samples.samples["hidden_mean"], 500, samples.sample_id, Draw(0), None)) == 1


def test_match_takes_the_next_by_rank_where_responses_are_too_short() -> None:
    samples = directions()
    long = scores([1, 9, 9, 9, 9, 9], samples={"hidden_mean": samples.samples["hidden_mean"]})
    matched = pruners.select(long, spec("k-center+random", 0.5, 1), Draw(0), Match(3, 27))
    assert matched.sample_id.tolist() == [2, 3, 5]  # 0 is too short; of those not picked 2 is farthest from the centres


def test_diverse_reports_what_it_skipped_and_what_it_kept_all_the_same() -> None:
    def details(ratio: float, **options: Any) -> Any:
        made = spec("diverse+random", ratio, 1, **options)
        return pruners.choose_samples(directions(), made, Draw(0)).details["diverse"]

    assert details(0.5) == {"skipped": 3, "kept_all_the_same": 0}
    assert details(0.34) == {"skipped": 0, "kept_all_the_same": 0}
    assert details(0.67) == {"skipped": 3, "kept_all_the_same": 1}
    assert kept("diverse", directions(), 0.67) == [1, 3, 4, 5]
    assert details(1.0, threshold=-1.0) == {"skipped": 5, "kept_all_the_same": 5}


def test_diverse_reads_what_its_score_reads() -> None:
    assert pruners.needs("diverse+random").samples == {"hidden_mean": "diverse", "nll": "diverse"}
    assert [*pruners.needs("diverse+random", {"score": "quality"}).samples] == ["hidden_mean", "quality"]
    assert [*pruners.needs("diverse+random", {"score": "longest"}).samples] == ["hidden_mean"]
    options = pruners.complete_options("diverse+random", {"score": "longest", "score_options": {"keep": "longest"}})
    assert SAMPLE["diverse"].title(options) == "Diverse (Longest kept)"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"score": "diverse"}, ["is diverse itself"]),
        ({"score": "longest", "score_options": {"kept": "longest"}}, ["no option 'kept'", "did you mean keep?"]),
        ({"score": "longest", "score_options": {"keep": "long"}}, ["'shortest' or 'longest'"]),
        ({"score": "quality", "score_options": {"keep": "long"}}, ["no option 'keep'"]),
        ({"threshold": 1.5}, ["less than or equal to 1"]),
        ({"blocks": 0}, ["greater than or equal to 1"]),
    ],
)
def test_diverse_refuses_scores_and_options_it_cannot_use(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(PrunegridError) as caught:
        pruners.check_method("diverse+random", options)
    assert all(word in str(caught.value) for word in words), caught.value


def test_vectors_that_are_missing_name_the_pruner() -> None:
    with refused("the scores", "no sample column hidden_mean, which k-center needs", fix="prunegrid extra hidden_mean"):
        pruners.select(scores([2, 2]), spec("k-center+random"), Draw(0))


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        kept("semdedup", clustered(20), 0.5)
    assert (error := missing_extra(caught.value)) and error.fix == 'run pip install "prunegrid[select]"'
    assert len(kept("k-center", clustered(20), 0.5)) == 10


def test_importing_pruners_imports_no_scikit_learn() -> None:
    assert not {"sklearn", "scipy"} & imported_by(pruners.__name__)


def test_the_example_of_docs_reads_vectors_in_20_lines() -> None:
    (code,) = [block for block in code_blocks("docs/tutorials/own-pruner.md", "python") if "hidden_mean" in block]
    assert len(code.strip().splitlines()) <= 20
    before = set(SAMPLE)
    try:
        exec(compile(code, "example", "exec"), {"__name__": "my_vectors"})
        samples = clustered(50)
        x = samples.samples["hidden_mean"].astype(np.float64)
        cosine = [float(row @ x.mean(axis=0) / np.linalg.norm(row)) for row in x]
        assert kept("unusual", samples, 0.2) == sorted(np.argsort(cosine, kind="stable")[:10].tolist())
        assert kept("unusual", samples, 0.2, part=7) == kept("unusual", samples, 0.2)
    finally:
        for name in set(SAMPLE) - before:
            del SAMPLE[name]
