"""Q-Tuning's token target of a mini-batch (`budget: batch`), by hand, and a plain reading of the authors' copy."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from prunegrid import pruners
from prunegrid.pruners import Draw, Scores, SelectionArrays
from support import handmade_scores
from support.errors import refused
from support.handmade_scores import spec

PPL = [1, 2, 3, 4, 5, 6, 7, 8]
ENTROPY = [8, 2, 3, 5, 4, 6, 7, 1]
TOKEN_PPL = [1, 4, 1, 2, 8, 1]
AUTHORS = {"reading": "authors-2025-09"}


def example(others: int = 6, prompt: int = 2) -> Scores:
    """The eight samples of docs/reference/pruners.md; 0, 3 (Q4) and 4, 7 (Q2) have six tokens, the others as many as
    told."""
    lengths = [6 if i in (0, 3, 4, 7) else others for i in range(8)]
    token_ppl = [ppl for length in lengths for ppl in (TOKEN_PPL * 9)[:length]]
    scores = handmade_scores.scores(
        lengths, samples={"ppl": PPL, "sequence_entropy": ENTROPY}, tokens={"nll": np.log(token_ppl)}
    )
    return replace(scores, prompt_tokens=np.full(8, prompt))


def qtuning(scores: Scores, sample_ratio: float, token_ratio: float, **options: Any) -> SelectionArrays:
    return pruners.select(scores, spec("qtuning", sample_ratio, token_ratio, **(AUTHORS | options)), Draw(0))


def positions(selection: SelectionArrays) -> dict[int, list[int]]:
    return {int(i): selection.kept_positions(row).tolist() for row, i in enumerate(selection.sample_id)}


WHOLE = [0, 1, 2, 3, 4, 5]


def test_what_is_over_the_target_goes_from_q2_alone() -> None:
    selection = qtuning(example(), 0.5, 0.7)
    # 64 tokens x 0.35 = 22.4: 22. The kept samples have 32, so 10 of the 12 tokens in Q2 go.
    assert positions(selection) == {0: WHOLE, 3: WHOLE, 4: [0, 1], 7: []}
    assert selection.details["token_budget"] == {
        "mini_batches": 1,
        "nothing_dropped": 0,
        "all_dropped": 0,
        "over_target": 0,
    }


def test_q2_is_emptied_where_it_cannot_meet_the_target() -> None:
    selection = qtuning(example(), 0.5, 0.5)
    assert positions(selection) == {0: WHOLE, 3: WHOLE, 4: [], 7: []}, "64 x 0.25 = 16: 16 of 32 would have to go"
    assert selection.details["token_budget"]["all_dropped"] == 1
    assert selection.details["token_budget"]["over_target"] == 1


def test_ends_that_are_kept_stay_in_an_emptied_sample() -> None:
    selection = qtuning(example(), 0.5, 0.5, end_token="keep")
    assert positions(selection) == {0: WHOLE, 3: WHOLE, 4: [5], 7: [5]}
    assert selection.details["token_budget"]["all_dropped"] == 1


def test_dropped_ends_go_from_whole_samples_too() -> None:
    selection = qtuning(example(), 0.5, 0.7, end_token="drop")
    assert positions(selection) == {0: WHOLE[:5], 3: WHOLE[:5], 4: [0, 1], 7: []}


def test_nothing_goes_where_the_kept_samples_are_short() -> None:
    selection = qtuning(example(others=30), 0.5, 0.5)
    assert set(map(len, positions(selection).values())) == {6}, "160 x 0.25 = 40, and the kept samples have 32"
    assert selection.details["token_budget"]["nothing_dropped"] == 1


def test_a_token_ratio_of_one_skips_the_token_step() -> None:
    scores = example(others=1)
    assert set(map(len, positions(qtuning(scores, 0.5, 1.0)).values())) == {6}, "44 x 0.5 = 22 < 32 all the same"
    assert sum(map(len, positions(qtuning(scores, 0.5, 0.99)).values())) == 14, "44 x 0.495 = 21.78: 22, so 10 go"


@pytest.mark.parametrize(("prompt", "dropped"), [(2, 11 - 6), (3, 12 - 6), (4, 13 - 6)])
def test_the_target_is_rounded_half_to_even(prompt: int, dropped: int) -> None:
    # Two samples, one kept as Q2: of 2 (prompt + 9) tokens a quarter is 5.5 (6), 6 or 6.5 (6).
    two = handmade_scores.scores(
        [9, 9], samples={"ppl": [1, 2], "sequence_entropy": [1, 1]}, tokens={"nll": np.arange(18) / 10}
    )
    selection = qtuning(replace(two, prompt_tokens=np.full(2, prompt)), 0.5, 0.5)
    assert {i: 9 - len(kept) for i, kept in positions(selection).items()} == {1: dropped}


def test_each_window_has_a_target_of_its_own() -> None:
    one, other = example(), example(others=30)
    both = Scores(
        sample_id=np.arange(16),
        response_tokens=np.concatenate([one.response_tokens, other.response_tokens]),
        truncated=np.zeros(16, bool),
        offsets=np.concatenate([one.offsets, one.offsets[-1] + other.offsets[1:]]),
        samples={name: np.tile(column, 2) for name, column in one.samples.items()},
        tokens={"nll": np.concatenate([one.tokens["nll"], other.tokens["nll"]])},
        prompt_tokens=np.full(16, 2),
    )
    first, second = positions(qtuning(one, 0.5, 0.7)), positions(qtuning(other, 0.5, 0.7))
    windows = qtuning(both, 0.5, 0.7, window=8)
    assert positions(windows) == first | {i + 8: kept for i, kept in second.items()}
    assert windows.details["token_budget"]["nothing_dropped"] == 1


def test_a_window_may_span_blocks() -> None:
    scores = example()
    choice = pruners.choose_samples(scores, spec("qtuning", 0.5, 0.7, **AUTHORS), Draw(0))
    blocks = [scores.take(choice.rows[:3]), scores.take(choice.rows[3:])]
    parts = pruners.select_tokens(choice, lambda: blocks)
    assert [len(part.kept_positions(row)) for part in parts for row in range(len(part))] == [6, 6, 2, 0]


def test_lengths_of_prompts_are_needed() -> None:
    scores = replace(example(), prompt_tokens=None)
    with refused("the scores", "prompt_tokens", fix="budget: sample"):
        qtuning(scores, 0.5, 0.5)


@st.composite
def mini_batches(draw: st.DrawFn) -> tuple[Scores, float, float]:
    """Up to 16 samples, on a coarse grid (ties, constant axes) or not; some responses of one token."""
    n = draw(st.integers(1, 16))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    lengths = rng.integers(1, draw(st.sampled_from([1, 3, 40])) + 1, n)
    levels = draw(st.sampled_from([1, 2, 5, 10**6]))
    columns = {name: rng.integers(1, levels + 1, n) / 7 for name in ("ppl", "sequence_entropy")}
    scores = handmade_scores.scores(lengths.tolist(), samples=columns, tokens={"nll": rng.gamma(1, 1, lengths.sum())})
    scores = replace(scores, prompt_tokens=rng.integers(1, draw(st.sampled_from([3, 20])), n))
    return scores, draw(st.sampled_from([0.0625, 0.125, 0.25, 0.5])), draw(st.sampled_from([0.5, 0.7, 1.0]))


@hypothesis.settings(max_examples=600, deadline=None, database=None, derandomize=True)
@hypothesis.given(mini_batches())
def test_agrees_with_a_plain_reading_of_the_copy(case: tuple[Scores, float, float]) -> None:
    agrees(*case)


@pytest.mark.slow
@hypothesis.settings(max_examples=2000, deadline=None, database=None, derandomize=False)
@hypothesis.given(mini_batches())
def test_agrees_with_a_plain_reading_of_the_copy_thousands_of_times(case: tuple[Scores, float, float]) -> None:
    """Other inputs in every run; hypothesis prints the smallest that fails."""
    agrees(*case)


def agrees(scores: Scores, sample_ratio: float, token_ratio: float) -> None:
    selection = qtuning(scores, sample_ratio, token_ratio)
    rules = dict(zip(selection.sample_id.tolist(), selection.treated_as.tolist(), strict=True))
    filled = set(selection.sample_id[selection.reason == "fill"].tolist())
    ppl, entropy = scores.samples["ppl"].tolist(), scores.samples["sequence_entropy"].tolist()
    expected = sample_step(ppl, entropy, sample_ratio)
    assert (rules, filled) == expected
    pruned = [i for i, rule in expected[0].items() if rule == 2]
    tokens = [scores.tokens["nll"][scores.offsets[i] : scores.offsets[i + 1]].tolist() for i in range(len(scores))]
    assert scores.prompt_tokens is not None
    masked = token_step(tokens, scores.prompt_tokens.tolist(), set(rules), pruned, sample_ratio, token_ratio)
    assert positions(selection) == {
        i: [j for j in range(len(tokens[i])) if (i, j) not in masked] for i in sorted(rules)
    }


def sample_step(ppl: list[float], entropy: list[float], ratio: float) -> tuple[dict[int, int], set[int]]:
    """Section 1 of the notes on the copy: {kept sample: 2 or 4, the rule for its tokens}, and those filled in."""
    n = len(ppl)
    low, high = 0.0, 0.49
    for _ in range(10):
        alpha = (low + high) / 2
        ppl_low, ppl_high = np.quantile(ppl, [alpha, 1 - alpha])
        entropy_low, entropy_high = np.quantile(entropy, [alpha, 1 - alpha])
        q2 = [i for i in range(n) if ppl[i] > ppl_high and entropy[i] <= entropy_low]
        q4 = [i for i in range(n) if ppl[i] <= ppl_low and entropy[i] > entropy_high]
        share = (len(q2) + len(q4)) / n
        if abs(share - ratio) <= 0.01:
            break
        if share < ratio:
            low = alpha
        else:
            high = alpha
    kept = dict.fromkeys(q2, 2) | dict.fromkeys(q4, 4)
    number = max(1, round(ratio * n))
    contrast = [p - e for p, e in zip(normalised(ppl), normalised(entropy), strict=True)]
    others = sorted((i for i in range(n) if i not in kept), key=lambda i: (-abs(contrast[i]), i))
    filled = others[: max(0, number - len(kept))]
    return kept | {i: 2 if contrast[i] >= 0 else 4 for i in filled}, set(filled)


def normalised(values: list[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else 0.0 for value in values]


def token_step(
    nll: list[list[float]], prompt: list[int], kept: set[int], pruned: list[int], r_sample: float, r_token: float
) -> set[tuple[int, int]]:
    """Section 2: the masked tokens as (sample, position)."""
    attended = [prompt[i] + len(nll[i]) for i in range(len(nll))]
    target = round(sum(attended) * Fraction(str(r_sample)) * Fraction(str(r_token)))
    gone = sum(attended[i] for i in range(len(nll)) if i not in kept)
    number = max(0, sum(attended) - target - gone) if r_token != 1 else 0
    score = {}
    for i in pruned:
        token_ppl = [1.0, *np.exp(nll[i]).tolist(), 0.0]
        for j in range(len(nll[i])):
            score[i, j] = 0.5 * token_ppl[j + 1] + 0.5 * (token_ppl[j] + token_ppl[j + 2])
    return set(sorted(score, key=lambda place: -score[place])[:number])
