"""Selectors of the field that rank by length, loss or probability (docs/reference/selectors.md), by hand and against
loops."""

from typing import Any

import numpy as np
import pytest

from prunegrid import pruners
from prunegrid.pruners import Draw, Match, Scores
from prunegrid.pruners.methods.length_matched import length_bins
from support import handmade_scores
from support.errors import refused
from support.handmade_scores import spec

LENGTHS = [4, 2, 6, 2, 3, 6]
NLL = [1.0, 2.0, 0.5, 2.0, 3.0, 0.1]
REFERENCE = [0.2, 2.5, 0.3, 0.5, 2.9, 0.1]
ERROR = [0.5, 0.7, 0.3, 0.8, 0.6, 0.1]
UPD = [0.4, 0.3, 0.5, 0.6, 0.1, 0.5]
COMPRESSION = [1.2, 0.9, 2.5, 0.9, 1.1, 1.6]


def kept(method: str, scores: Scores | None = None, ratio: float = 0.5, seed: int = 0, **options: Any) -> list[int]:
    columns = {
        "nll": NLL,
        "reference_loss": REFERENCE,
        "mean_error": ERROR,
        "upd": UPD,
        "compression_ratio": COMPRESSION,
    }
    scores = scores or handmade_scores.scores(LENGTHS, samples=columns)
    return pruners.select(scores, spec(f"{method}+random", ratio, 1, **options), Draw(seed)).sample_id.tolist()


def test_length_by_hand() -> None:
    """The median of 4 2 6 2 3 6 is 3.5: samples 0 and 4 are half a token away, then 1 and 3 one and a half."""
    assert kept("length") == [0, 2, 5]
    assert kept("length", length="shortest") == [1, 3, 4]
    assert kept("length", length="middle") == [0, 1, 4]


def test_length_keeps_what_longest_keeps_under_the_same_choice() -> None:
    scores = handmade_scores.random_scores(60)
    for choice in ("longest", "shortest"):
        assert kept("length", scores, 0.3, length=choice) == kept("longest", scores, 0.3, keep=choice)
    assert pruners.label("length") == "Length (longest)"
    assert pruners.label("longest") == "Longest removed"


def test_ppl_mid_by_hand() -> None:
    """Losses rank 5 2 0 1 3 4: the middle two are 0 and 1; of 2 and 3, as far from the middle, the smaller id."""
    assert kept("ppl-mid") == [0, 1, 2]
    assert kept("loss", loss="middle") == [0, 1, 3]


def test_compression_by_hand() -> None:
    assert kept("compression") == [1, 3, 4]
    assert kept("compression", ratio=0.2) == [1], "of two equal ratios the smaller id"
    assert kept("compression", compression="highest") == [0, 2, 5]
    assert pruners.label("compression") == "Compression (lowest)"


@pytest.mark.parametrize("n", [1, 2, 7, 50])
@pytest.mark.parametrize("ratio", [0.1, 0.5, 1])
def test_ppl_mid_keeps_neighbours_around_the_middle(n: int, ratio: float) -> None:
    scores = handmade_scores.random_scores(n).ordered()
    scores.samples["nll"] = np.random.default_rng(n).permutation(n).astype(np.float64)  # no ties: ranks are the losses
    losses = sorted(
        int(scores.samples["nll"][np.flatnonzero(scores.sample_id == i)[0]]) for i in kept("ppl-mid", scores, ratio)
    )
    assert losses == list(range(losses[0], losses[0] + len(losses)))
    assert abs(losses[0] - (n - 1 - losses[-1])) <= 1  # as many are left out below as above


def test_ppl_mid_sees_only_the_order_of_losses() -> None:
    scores = handmade_scores.random_scores(80)
    before = kept("ppl-mid", scores, 0.25)
    scores.samples["nll"] = np.exp(3 * scores.samples["nll"])
    assert kept("ppl-mid", scores, 0.25) == before


def lengths_in_bins(scores: Scores, ids: list[int], bins: int) -> list[int]:
    """How many of these samples are in each bin of lengths."""
    chosen = np.isin(scores.sample_id, ids)
    return np.bincount(length_bins(scores.response_tokens, bins)[chosen], minlength=bins).tolist()


def test_length_bins_by_hand() -> None:
    """Eight samples make two bins of at least four; equal lengths share the bin that their first one is in."""
    assert length_bins(np.array([1, 2, 3, 4, 5, 6, 7, 8]), 20).tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert length_bins(np.array([9, 1, 5, 5, 5, 5, 9, 9]), 20).tolist() == [1, 0, 0, 0, 0, 0, 1, 1]
    assert length_bins(np.array([3, 1, 2]), 20).tolist() == [0, 0, 0]


def test_length_matched_keeps_as_many_of_each_bin_as_the_other() -> None:
    scores = handmade_scores.random_scores(400)
    for pruner in ("loss", "entropy", "longest", "ifd"):
        for ratio in (0.02, 0.25, 0.7):
            drawn, other = kept("length-matched", scores, ratio, lengths_of=pruner), kept(pruner, scores, ratio)
            assert lengths_in_bins(scores, drawn, 20) == lengths_in_bins(scores, other, 20)


def test_length_matched_draws_within_a_bin() -> None:
    """One bin is Random; with the lengths of Random it is Random; each sample of a bin is drawn equally often."""
    scores = handmade_scores.random_scores(100)
    assert kept("length-matched", scores, bins=1) == kept("random", scores)
    assert kept("length-matched", scores, lengths_of="random") == kept("random", scores)
    two = handmade_scores.scores([1] * 4 + [2] * 4, samples={"nll": [5, 1, 1, 1, 9, 8, 1, 1]})
    times = np.zeros(8)
    for seed in range(600):
        times[kept("length-matched", two, 3 / 8, seed, lengths_of="loss")] += 1
    assert times.sum() == 600 * 3
    np.testing.assert_allclose(times, [150] * 4 + [300] * 4, atol=50)


def test_length_matched_takes_the_options_of_the_other_pruner() -> None:
    scores = handmade_scores.random_scores(400)
    drawn = kept("length-matched", scores, 0.25, lengths_of="loss", lengths_options={"loss": "lowest"})
    assert lengths_in_bins(scores, drawn, 20) == lengths_in_bins(scores, kept("loss", scores, 0.25, loss="lowest"), 20)
    options = {"lengths_of": "entropy", "lengths_options": {"entropy": "instruction"}}
    assert pruners.needs("length-matched+ppl", options).samples == {"instruction_entropy": "length-matched"}
    assert pruners.needs("length-matched+ppl", {"lengths_of": "longest"}).samples == {}


def test_length_matched_meets_the_counts_of_another_selection() -> None:
    scores = handmade_scores.random_scores(200)
    match = Match(samples=50, tokens=600)
    selection = pruners.select(scores, spec("length-matched+ppl", 0.9, 0.9, lengths_of="ifd"), Draw(0), match)
    assert (len(selection), len(selection.positions)) == (50, 600)
    other = pruners.select(scores, spec("ifd+ppl", 0.9, 0.9), Draw(0), match)
    assert lengths_in_bins(scores, selection.sample_id.tolist(), 20) == lengths_in_bins(
        scores, other.sample_id.tolist(), 20
    )


@pytest.mark.parametrize(
    ("where", "what", "options"),
    [
        ("length-matched: lengths_of", "this pruner itself", {"lengths_of": "length-matched"}),
        ("length-matched: lengths_of", "a joint pruner", {"lengths_of": "qtuning"}),
        ("lose", "is not a sample pruner", {"lengths_of": "lose"}),
        ("loss+random: loss", "'high'", {"lengths_of": "loss", "lengths_options": {"loss": "high"}}),
        ("loss+random", "has no option 'keep'", {"lengths_of": "loss", "lengths_options": {"keep": "longest"}}),
        ("length-matched+ppl: bins", "is 0", {"bins": 0}),
    ],
)
def test_length_matched_refuses_what_it_cannot_match(where: str, what: str, options: dict[str, Any]) -> None:
    with refused(where, what):
        pruners.check_method("length-matched+ppl", options)


def test_rho_loss_by_hand() -> None:
    """Excess losses .8 -.5 .2 1.5 .1 0: sample 4, which is hard for both models, loses its lead."""
    assert kept("rho-loss") == [0, 2, 3]
    assert kept("loss") == [1, 3, 4]


def test_rho_loss_does_not_see_what_both_losses_share() -> None:
    scores = handmade_scores.random_scores(60)
    before = kept("rho-loss", scores, 0.3)
    noise = np.random.default_rng(1).integers(0, 50, 60) / 8
    scores.samples["nll"] = np.round(scores.samples["nll"] * 64) / 64
    scores.samples["reference_loss"] = np.round(scores.samples["reference_loss"] * 64) / 64
    exact = kept("rho-loss", scores, 0.3)
    for name in ("nll", "reference_loss"):
        scores.samples[name] = scores.samples[name] + noise
    assert kept("rho-loss", scores, 0.3) == exact
    assert len(before) == len(exact) == 18


def test_el2n_and_upd_by_hand() -> None:
    assert kept("el2n") == [1, 3, 4]
    assert kept("upd") == [2, 3, 5]


def test_el2n_counts_an_impossible_token_once() -> None:
    """One token of 20 nats among nine sure ones, and ten of 1 nat: the loss prefers the first, the error the second."""
    nll = [20.0] + [0.0] * 9 + [1.0] * 10
    scores = handmade_scores.scores([10, 10], tokens={"nll": nll, "entropy": [0.0] * 20, "reference_nll": [0.0] * 20})
    scores.samples["nll"] = np.array([2.0, 1.0])
    handmade_scores.derive(scores)
    assert (kept("loss", scores), kept("el2n", scores)) == ([0], [1])


@pytest.mark.parametrize("pruner", ["length", "length-matched", "ppl-mid", "rho-loss", "el2n", "upd"])
def test_equal_values_keep_the_smallest_ids_or_a_draw(pruner: str) -> None:
    scores = handmade_scores.scores(
        [3] * 8, samples=dict.fromkeys(("nll", "reference_loss", "mean_error", "upd"), [1.0] * 8)
    )
    expected = {"length-matched": kept("random", scores), "ppl-mid": [2, 3, 4, 5]}
    assert kept(pruner, scores) == expected.get(pruner, [0, 1, 2, 3])
