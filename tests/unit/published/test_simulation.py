"""Simulated mini-batches: what is drawn has the shares that were asked, and what is kept is near to what is known."""

import numpy as np
import pytest

from prunegrid.experiment.variant import Budget
from prunegrid.pruners import AUTHORS, PAPER, Draw, Scores, select
from prunegrid.published.simulation import World, shares, simulate
from support import handmade_scores

# Of another simulation of the authors' copy, at correlation 0.7 and 23 % prompts: kept samples in a quadrant, filled in
# like Q2; tokens kept of Q2, of all kept samples; mini-batches emptied, undropped; all tokens kept.
KNOWN = {
    (0.125, 0.5): (0.39, 0.18, 0.35, 0.76, 0.11, 0.67, 0.103),
    (0.125, 0.7): (0.39, 0.19, 0.53, 0.82, 0.05, 0.73, 0.107),
    (0.25, 0.5): (0.73, 0.08, 0.15, 0.61, 0.58, 0.18, 0.175),
    (0.25, 0.7): (0.74, 0.08, 0.37, 0.71, 0.31, 0.29, 0.197),
    (0.5, 0.5): (0.52, 0.15, 0.08, 0.61, 0.76, 0.06, 0.353),
    (0.5, 0.7): (0.52, 0.15, 0.32, 0.72, 0.40, 0.12, 0.389),
}


@pytest.fixture(scope="module")
def scores() -> Scores:
    return simulate(World(mini_batches=1000, seed=1))


def test_samples_correlate_and_prompts_have_their_share(scores: Scores) -> None:
    nll, entropy = np.log(scores.samples["ppl"]), scores.samples["entropy"]
    assert np.corrcoef(nll, entropy)[0, 1] == pytest.approx(0.7, abs=0.02)
    assert scores.prompt_tokens is not None
    prompts = scores.prompt_tokens.sum() / (scores.prompt_tokens.sum() + scores.response_tokens.sum())
    assert prompts == pytest.approx(0.23, abs=0.01)
    means = np.add.reduceat(scores.token("nll"), scores.offsets[:-1]) / scores.response_tokens
    assert means == pytest.approx(nll), "a response's PPL is that of its tokens"


@pytest.mark.parametrize(("ratios", "known"), KNOWN.items())
def test_the_copys_shares_are_near_to_another_simulations(
    scores: Scores, ratios: tuple[float, float], known: tuple[float, ...]
) -> None:
    kept = shares(scores, Budget(sample_ratio=ratios[0], token_ratio=ratios[1]), AUTHORS, 8)
    simulated = (kept.quadrants, kept.filled_q2, kept.tokens_of_q2, kept.tokens_of_kept, kept.emptied, kept.undropped)
    assert simulated == pytest.approx(known[:-1], abs=0.06)
    assert kept.all_tokens == pytest.approx(known[-1], abs=0.006)
    assert kept.quadrants + kept.filled_q2 + kept.filled_q4 == pytest.approx(1)


def test_shares_are_counted_from_the_selection() -> None:
    given = handmade_scores.random_scores(40, seed=2)
    given = Scores(
        **{name: getattr(given, name) for name in ("response_tokens", "truncated", "offsets", "tokens")},
        sample_id=np.arange(40),
        samples=given.samples | {"sequence_entropy": given.samples["entropy"]},
        prompt_tokens=np.full(40, 5),
    )
    budget = Budget(sample_ratio=0.5, token_ratio=0.5)
    for reading in (PAPER, AUTHORS):
        kept = shares(given, budget, reading, 4)
        options = {"reading": reading, "window": 4}
        selection = select(given, handmade_scores.spec("qtuning", 0.5, 0.5, **options), Draw(0))
        places = {int(i): selection.kept_positions(row) for row, i in enumerate(selection.sample_id)}
        like_q2 = {int(i) for i, rule in zip(selection.sample_id, selection.treated_as, strict=True) if rule == 2}
        tokens, lengths = sum(map(len, places.values())), given.response_tokens
        assert kept.samples == len(places) / 40
        assert kept.response_tokens == tokens / lengths.sum()
        assert kept.all_tokens == (tokens + 5 * len(places)) / (lengths.sum() + 5 * 40)
        assert kept.tokens_of_kept == tokens / sum(lengths[i] for i in places)
        batches = [[i for i in places if i // 4 == batch] for batch in range(10)]
        pruned = [[len(places[i]) for i in batch if i in like_q2] for batch in batches]
        assert kept.emptied == np.mean([not any(counts) for counts in pruned if counts])
        assert kept.undropped == np.mean([all(len(places[i]) == lengths[i] for i in batch) for batch in batches])
        assert kept.untrained == np.mean([not any(len(places[i]) for i in batch) for batch in batches])
