"""Overlaps by hand, against sets and enumeration, and Spearman's correlation against SciPy's."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import prunegrid as pg
from prunegrid.core.files import read_json, read_parquet, write_json, write_parquet
from prunegrid.pruners import Scores
from prunegrid.selection import overlap, sample_keys
from prunegrid.selection.kept_answers import read_selections
from prunegrid.selection.overlap import count_overlaps, jaccard
from support import handmade_scores
from support.errors import refused

DIGESTS = {"data": "d", "tokenizer": "t", "template": "p"}


def scored(folder: Path, given: Scores, **digests: str) -> Path:
    return handmade_scores.write(folder, given, meta={"digests": DIGESTS | digests})


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    return scored(tmp_path / "scores", handmade_scores.random_scores(60))


def pruned(scores: Path, out: Path, pair: str, samples: float, tokens: float, seed: int = 0) -> Path:
    return pg.prune(scores, pair, samples=samples, tokens=tokens, seed=seed, out=out).folder


def kept(folder: Path) -> dict[int, set[int]]:
    table = read_parquet(folder / "selection.parquet", ["sample_id", "kept"]).to_pydict()
    return {number: {*positions} for number, positions in zip(table["sample_id"], table["kept"], strict=True)}


def chance_of_sets(size: int, first: int, second: int, always: int = 0) -> float:
    """The mean number of common elements over all pairs of sets that have the elements below `always`."""
    rest = range(always, size)
    sets = [[{*range(always), *part} for part in combinations(rest, n - always)] for n in (first, second)]
    return float(np.mean([len(one & other) for one in sets[0] for other in sets[1]]))


def test_overlap_by_hand_with_chance(tmp_path: Path) -> None:
    given = handmade_scores.scores([4, 4, 4, 4], samples={"nll": [4, 3, 2, 1]}, tokens={"nll": range(16)})
    folder = scored(tmp_path / "scores", given)
    first = pruned(folder, tmp_path / "a", "loss+ppl", 0.5, 0.5)  # samples 0 and 1, positions 0 and 3 (the end)
    second = pruned(folder, tmp_path / "b", "length+ppl", 0.75, 0.75)  # samples 0, 1 and 2, positions 0, 1 and 3
    index = overlap.overlap(first, second)
    assert index.samples == 2 / 3 and index.common_samples == 2
    assert index.tokens == 4 / 6
    assert index.samples_chance == pytest.approx(1.5 / (5 - 1.5))  # 2 x 3 / 4 samples in common
    assert index.tokens_chance == pytest.approx(2 * (1 + 1 * 2 / 3) / (10 - 2 * (1 + 2 / 3)))  # both keep the end


@pytest.mark.parametrize(
    ("size", "first", "second", "always"), [(5, 2, 3, 0), (6, 3, 4, 1), (4, 4, 2, 1), (1, 1, 1, 1)]
)
def test_chance_is_the_mean_over_all_sets(size: int, first: int, second: int, always: int) -> None:
    counts, present = np.array([[first], [second]], float), np.ones((2, 1))
    answers = overlap.Answers(np.array([7]), np.array([size]), np.array([not always]))
    chance = overlap._chance_tokens(counts, present, np.array([7]), answers, np.array([True, True]))
    assert chance[0, 1] == pytest.approx(chance_of_sets(size, first, second, always))


def test_chance_without_a_kept_end_has_no_common_token_for_certain() -> None:
    answers = overlap.Answers(np.array([7]), np.array([4]), np.array([False]))
    counts, present = np.array([[2.0], [2.0]]), np.ones((2, 1))
    chance = overlap._chance_tokens(counts, present, np.array([7]), answers, np.array([True, False]))
    assert chance[0, 1] == pytest.approx(1) and chance[0, 0] == pytest.approx(1 + 1 / 3)


@pytest.mark.parametrize("block", [8, 100, 2**23])
def test_counts_are_those_of_sets_whatever_the_block(
    scores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(overlap, "BLOCK", block)
    pairs = [("random+ppl", 0.3, 0.5), ("random+random", 0.5, 0.2), ("qtuning", 0.25, 0.5), ("entropy+fastv", 1.0, 0.7)]
    folders = [pruned(scores, tmp_path / str(i), *pair) for i, pair in enumerate(pairs)]
    counts = count_overlaps(read_selections(folders))
    for (i, first), (j, second) in combinations(enumerate(map(kept, folders)), 2):
        common = first.keys() & second.keys()
        union = sum(len(first[number] | second[number]) for number in common)
        index = counts.overlap(i, j)
        assert index == counts.overlap(j, i)
        assert index.samples == len(common) / len(first.keys() | second.keys())
        assert index.tokens == sum(len(first[number] & second[number]) for number in common) / union


def test_samples_of_two_tokenizers_are_compared_but_not_their_tokens(scores: Path, tmp_path: Path) -> None:
    ids = handmade_scores.random_scores(60).sample_id
    shorter = handmade_scores.scores([2] * 60, sample_id=ids, tokens={"nll": range(120)})
    other = scored(tmp_path / "other", shorter, tokenizer="u", template="q")
    folders = [pruned(path, tmp_path / path.name / "p", "random+ppl", 0.5, 0.5) for path in (scores, other)]
    index = count_overlaps(read_selections(folders)).overlap(0, 1)
    assert index.samples == 1 and index.tokens is None and index.tokens_chance is None
    with refused(folders[1], "tokenizer u instead of t"):
        overlap.overlap(*folders)


def test_scores_that_are_gone_leave_the_chance_of_tokens_open(scores: Path, tmp_path: Path) -> None:
    first, second = (pruned(scores, tmp_path / pair, pair, 0.5, 0.5) for pair in ("random+ppl", "random+random"))
    scores.rename(tmp_path / "elsewhere")
    index = overlap.overlap(first, second)
    assert index.samples == 1 and index.samples_chance == pytest.approx(1 / 3)
    assert index.tokens is not None and index.tokens_chance is None
    assert np.isnan(sample_keys.spearman(read_selections([first, second]))[0]).all()


def test_selection_out_of_order_is_refused(scores: Path, tmp_path: Path) -> None:
    folder = pruned(scores, tmp_path / "p", "random+ppl", 0.5, 0.5)
    table = read_parquet(folder / "selection.parquet")
    write_parquet(folder / "selection.parquet", table[::-1])
    with refused(folder / "selection.parquet", "not in order", fix="prune again"):
        overlap.overlap(folder, folder)


def test_spearman_is_scipys_with_ties_and_none_for_joint_pruners(scores: Path, tmp_path: Path) -> None:
    methods = ["loss+ppl", "entropy+random", "random+ppl", "qtuning", "loss+random"]
    folders = [pruned(scores, tmp_path / str(i), method, 0.5, 0.5) for i, method in enumerate(methods)]
    correlation, reasons = sample_keys.spearman(read_selections(folders))
    columns = read_parquet(scores / "samples.parquet").to_pandas()
    expected = stats.spearmanr(columns["nll"], columns["entropy"]).statistic
    assert (
        reasons == {} and correlation[0, 1] == pytest.approx(expected) and correlation[1, 0] == pytest.approx(expected)
    )
    assert correlation[0, 4] == pytest.approx(1) and abs(correlation[0, 2]) < 0.5
    assert np.isnan(correlation[3]).all() and np.isnan(correlation[:, 3]).all()


def test_spearman_names_the_column_that_is_gone(scores: Path, tmp_path: Path) -> None:
    folder = pruned(scores, tmp_path / "p", "loss+ppl", 0.5, 0.5)
    summary = read_json(folder / "selection.json")
    write_json(folder / "selection.json", summary | {"method": "ifd+ppl", "variant": "x", "options": {}})
    (scores / "samples.parquet").unlink()
    given = handmade_scores.random_scores(60)
    del given.samples["ifd"]
    scored(scores, given)
    correlation, reasons = sample_keys.spearman(read_selections([folder, folder]))
    assert np.isnan(correlation).all() and "ifd" in reasons["x"]


def test_jaccard_of_nothing_is_unknown() -> None:
    assert jaccard(0, 0, 0) is None and jaccard(float("nan"), 2, 3) is None and jaccard(1, 2, 3) == 0.25
