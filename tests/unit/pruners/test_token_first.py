"""Token-first: by hand, against plain loops, and from a folder in blocks as from memory."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunegrid import pruners
from prunegrid.core.files import read_parquet
from prunegrid.pruners import Draw, Scores
from prunegrid.pruners.largest_keys import KeyBlock, count_largest
from prunegrid.selection.prune import prune
from support import handmade_scores
from support.errors import refused
from support.handmade_scores import spec

BUDGETS = [(0.25, 0.7), (0.5, 0.5), (0.5, 0.01), (0.9, 1), (1, 0.1), (1, 1)]


def kept(scores: Scores, s: float, t: float, **options: Any) -> dict[int, list[int]]:
    selection = pruners.select(scores, spec("token-first", s, t, **options), Draw(0))
    return {int(i): selection.kept_positions(row).tolist() for row, i in enumerate(selection.sample_id)}


def test_by_hand() -> None:
    """Of 12 tokens 4 are kept, of one sample. Without the ends 9, 8 and 7 are best: two of sample 1, one of sample 0.

    Sample 1 keeps its end and these two, and of its three ones the first.
    """
    scores = handmade_scores.scores([6, 6], tokens={"entropy": [9, 1, 2, 3, 1, 5, 8, 7, 1, 1, 1, 6]})
    assert kept(scores, 0.5, 0.75, token_pruner="entropy") == {1: [0, 1, 2, 5]}


def test_the_larger_share_is_kept_if_it_holds_the_tokens() -> None:
    """Of 9, 8 and 7, the best, the long response has two of nine tokens, the short one 1 of 4, or of 3: one too few."""
    long, short = [9, 8, 1, 1, 1, 1, 1, 1, 1], [7, 0, 0, 0]
    scores = handmade_scores.scores([9, 4], tokens={"entropy": long + short})
    assert kept(scores, 0.5, 0.62, token_pruner="entropy") == {0: [0, 1, 2, 8]}
    assert kept(scores, 0.5, 0.62, token_pruner="entropy", sample_score="share") == {1: [0, 1, 2, 3]}
    scores = handmade_scores.scores([9, 3], tokens={"entropy": long + short[:3]})
    assert kept(scores, 0.5, 0.67, token_pruner="entropy", sample_score="share") == {0: [0, 1, 2, 8]}


def reference(scores: Scores, s: float, t: float, share: bool) -> dict[int, list[int]]:
    """The definition in plain loops, of entropies, where the best samples hold enough tokens."""
    rows = sorted(range(len(scores)), key=lambda row: scores.sample_id[row])
    offsets, entropy = scores.offsets, scores.tokens["entropy"]
    key = {(row, i): float(entropy[offsets[row] + i]) for row in rows for i in range(scores.response_tokens[row])}
    ends = {(row, int(scores.response_tokens[row]) - 1) for row in rows if not scores.truncated[row]}
    place = {row: number for number, row in enumerate(rows)}
    m = max(1, int(Fraction(str(s)) * len(rows)))
    budget = max(m, int(Fraction(str(s)) * Fraction(str(t)) * len(key)))
    ranked = sorted(key, key=lambda pair: (-key[pair], place[pair[0]], pair[1]))
    best = [pair for pair in ranked if pair not in ends][: budget - m]
    count = {row: sum(pair[0] == row for pair in best) for row in rows}
    length = {row: int(scores.response_tokens[row]) for row in rows}
    mean = {row: sum(key[row, i] for i in range(length[row])) / length[row] for row in rows}
    amount = {row: count[row] / length[row] if share else count[row] for row in rows}
    chosen = sorted(rows, key=lambda row: (-amount[row], -mean[row], place[row]))[:m]
    assert sum(length[row] for row in chosen) >= budget
    first = {next(pair for pair in ranked if pair[0] == row) for row in chosen if scores.truncated[row]}
    forced = {pair for pair in ends if pair[0] in chosen} | first
    others = [pair for pair in ranked if pair[0] in chosen and pair not in forced]
    final = forced | set(others[: budget - len(forced)])
    return {int(scores.sample_id[row]): sorted(i for r, i in final if r == row) for row in rows if row in chosen}


@pytest.mark.parametrize("sample_score", ["tokens", "share"])
@pytest.mark.parametrize(("s", "t"), BUDGETS[:3])
def test_equals_plain_loops(s: float, t: float, sample_score: str) -> None:
    for seed in range(8):
        scores = handmade_scores.random_scores(30, seed, longest=12)
        expected = reference(scores, s, t, sample_score == "share")
        assert kept(scores, s, t, token_pruner="entropy", sample_score=sample_score) == expected


@pytest.mark.parametrize("sample_score", ["tokens", "share"])
@pytest.mark.parametrize(("s", "t"), BUDGETS)
def test_both_counts_are_met(s: float, t: float, sample_score: str) -> None:
    scores = handmade_scores.random_scores(100)
    selection = kept(scores, s, t, sample_score=sample_score)
    m = int(Fraction(str(s)) * 100)
    assert len(selection) == m
    tokens = int(Fraction(str(s)) * Fraction(str(t)) * int(scores.offsets[-1]))
    assert sum(map(len, selection.values())) == max(m, tokens)


def test_kept_samples_keep_all_chosen_tokens() -> None:
    """With one key a sample the tokens that are dropped are never better than those that are kept, the forced apart."""
    scores = handmade_scores.random_scores(60)
    selection = kept(scores, 0.4, 0.4, token_pruner="entropy")
    lowest, highest = np.inf, -np.inf
    for row, number in enumerate(scores.sample_id.tolist()):
        if number in selection and not scores.truncated[row]:
            values = scores.tokens["entropy"][scores.offsets[row] : scores.offsets[row + 1] - 1]
            inside = np.isin(np.arange(len(values)), selection[number])
            lowest = min(lowest, *values[inside], np.inf)
            highest = max(highest, *values[~inside], -np.inf)
    assert highest <= lowest


@pytest.mark.parametrize("block_tokens", [1, 200, 2**22])
def test_a_folder_in_blocks_is_pruned_as_memory_is(
    block_tokens: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of the folder are not in order of `sample_id`."""
    monkeypatch.setattr("prunegrid.scoring.reader.BLOCK_TOKENS", block_tokens)
    scores = handmade_scores.random_scores(50)
    handmade_scores.write(tmp_path / "scores", scores)
    method = spec("token-first", 0.3, 0.6, token_pruner="entropy")
    prune(tmp_path / "scores", tmp_path / "out", method, 0)
    table = read_parquet(tmp_path / "out" / "selection.parquet")
    actual = dict(zip(table["sample_id"].to_pylist(), table["kept"].to_pylist(), strict=True))
    assert actual == kept(scores, 0.3, 0.6, token_pruner="entropy")


def test_the_largest_of_all_keys_are_counted_exactly() -> None:
    """In any blocks, with ties, infinities and negative zeros, against a sort."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        lengths = rng.integers(1, 6, rng.integers(1, 8))
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        key = np.round(rng.normal(size=offsets[-1]), rng.integers(0, 2))
        for value in (np.inf, -np.inf, -0.0):
            key[rng.random(len(key)) < 0.1] = value
        total = int(rng.integers(0, offsets[-1] + 3))
        ids = rng.permutation(len(lengths))
        blocks = [
            KeyBlock(np.array([row]), ids[[row]], key[offsets[row] : offsets[row + 1]], np.array([0, lengths[row]]))
            for row in rng.permutation(len(lengths)).tolist()
        ]
        ranked = [i for i in np.lexsort((np.repeat(ids, lengths), -key)) if key[i] > -np.inf]
        best = ranked[: max(total, int((key == np.inf).sum()))]
        expected = np.bincount(np.searchsorted(offsets, best, side="right") - 1, minlength=len(lengths))
        assert count_largest(lambda blocks=blocks: blocks, len(lengths), total).tolist() == expected.tolist()


def test_needs_are_those_of_the_token_pruner() -> None:
    assert pruners.needs("token-first", {"token_pruner": "rho1"}).tokens.keys() == {"nll", "reference_nll"}
    assert pruners.label("token-first") == "Token-First (PPL)"


@pytest.mark.parametrize(
    ("where", "what", "options"),
    [
        ("pppl", "is not a token pruner", {"token_pruner": "pppl"}),
        ("token-first: token_options", "rule of token counts", {"token_options": {"end_token": "drop"}}),
        ("random+fastv: fastv", "'x'", {"token_pruner": "fastv", "token_options": {"fastv": "x"}}),
    ],
)
def test_a_bad_token_pruner_is_refused(where: str, what: str, options: dict[str, Any]) -> None:
    with refused(where, what):
        pruners.check_method("token-first", options)


def test_a_value_that_is_not_finite_names_its_sample() -> None:
    scores = handmade_scores.scores([2, 3], sample_id=[7, 11], tokens={"nll": [0, 1, 2, np.nan, 4]})
    with refused("token column nll", "nan for sample_id 11 at position 1"):
        kept(scores, 0.5, 0.5)
