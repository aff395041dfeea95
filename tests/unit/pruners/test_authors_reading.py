"""The pairs as the authors' working copy of September 2025 has them: by hand, and together."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from prunegrid import pruners
from prunegrid.core import randomness
from prunegrid.core.ratios import read_amount
from prunegrid.pruners import Draw, Match, MethodSpec, Scores, SelectionArrays
from prunegrid.pruners.arrays import Turns
from prunegrid.pruners.method import AUTHORS
from prunegrid.selection.budget import budget_spec
from prunegrid.selection.memory import ScoresInMemory
from prunegrid.selection.prune import prune
from prunegrid.selection.sentences import selection_sentences
from support import handmade_scores
from support.errors import refused
from support.handmade_scores import spec

SAMPLES = ("random", "longest", "infobatch", "entropy")
TOKENS = ("random", "ppl", "fastv", "sparsevlm")
PAIRS = [f"{sample}+{token}" for sample in SAMPLES for token in TOKENS]
READ = {"reading": AUTHORS}
RULES = {"end_token": "drop", "candidates": "sequence", "pool": "batch", "token_count": "round"}

# The samples and the response of docs/explanation/working-copy.md; the prompt has four candidates.
COLUMNS = {
    "instruction_characters": [50, 20, 10, 40, 30, 60],
    "instruction_entropy": [2.0, 1.5, 3.0, 1.0, 2.5, 0.5],
    "epoch_loss": [1.0, 2.0, 0.5, 2.0, 3.0, 0.1],
}
RESPONSE = {
    "nll": np.log([1, 4, 1, 2, 8, 1]),
    "reference_nll": np.log([1, 1, 1, 4, 4, 2]),
    "fastv_rank": [1, 3, 6, 8, 4, 2],  # the prompt has 0, 2, 5 and 7; the end, no candidate, is behind two
    "sparsevlm_kept": [0, 1, 0, 0, 1, 1],
}


def kept_samples(pruner: str, ratio: float = 0.5, epoch: int = 0) -> tuple[list[int], list[float]]:
    scores = handmade_scores.scores([4, 2, 6, 2, 3, 6], samples=COLUMNS)
    options = {"reading": AUTHORS, "candidates": "response"}
    selection = pruners.select(scores, spec(f"{pruner}+random", ratio, 1, **options), Draw(0, epoch))
    return selection.sample_id.tolist(), selection.weight.tolist()


def kept_tokens(pruner: str, ratio: float, truncated: bool = False, **options: Any) -> tuple[list[int], int | None]:
    """The kept positions, and how many tokens of the prompt were chosen."""
    scores = handmade_scores.scores([6], truncated=[truncated], tokens=RESPONSE, samples={"prompt_candidates": [4]})
    selection = pruners.select(scores, spec(f"random+{pruner}", 1, ratio, **READ | options), Draw(0))
    chosen = selection.prompt_kept
    return selection.kept_positions(0).tolist(), None if chosen is None else int(chosen[0])


def test_sample_pruners_by_hand() -> None:
    assert kept_samples("longest") == ([1, 2, 4], [1, 1, 1]), "10, 20 and 30 characters"
    assert kept_samples("entropy") == ([1, 3, 5], [1, 1, 1]), "0.5, 1 and 1.5 nats"
    assert pruners.complete_options("longest+random", {**READ, "keep": "longest"})["keep"] == "longest"


def test_infobatch_keeps_everything_first_and_then_cuts_a_list() -> None:
    assert kept_samples("infobatch") == ([0, 1, 2, 3, 4, 5], [1.0] * 6)
    # The mean is 1.43: the list begins with 1, 3 and 4, in the order of the data, whose losses are 2, 2 and 3.
    assert kept_samples("infobatch", 0.5, epoch=1) == ([1, 3, 4], [1.0] * 3)
    assert kept_samples("infobatch", 0.34, epoch=1) == ([1, 3], [1.0] * 2), "the highest loss of all is cut off"
    # floor(0.7 x 6) = 4: one of 0, 2 and 5 is drawn, and weighs 1 / 0.7.
    drawn = randomness.uniform(Draw(0).seed, "samples", np.array([0, 2, 5]), epoch=1)
    other = [0, 2, 5][int(np.argmax(drawn))]
    ids, weights = kept_samples("infobatch", 0.7, epoch=1)
    assert ids == sorted([1, 3, 4, other])
    assert weights == [np.float32(1 / 0.7) if number == other else 1.0 for number in ids]


def test_infobatch_of_equal_losses_keeps_the_first_of_the_data() -> None:
    scores = handmade_scores.scores([2] * 4, samples={"epoch_loss": [0.1] * 4})
    selection = pruners.select(scores, spec("infobatch+random", 0.5, 1, infobatch="epochs"), Draw(0, 1))
    assert selection.sample_id.tolist() == [0, 1]
    assert selection.weight.tolist() == [1.0, 1.0]


def test_ppl_keeps_the_highest_loss_and_the_prompt_counts() -> None:
    # Five response tokens without the end, and four of the prompt: round(0.5 x 9) = 4, half to even. Perplexities 8, 4
    # and 2; the fourth has a loss of 0, as the prompt's tokens and positions 0 and 2 do, and the prompt comes first.
    assert kept_tokens("ppl", 0.5) == ([1, 3, 4], 1)
    assert kept_tokens("ppl", 0.3) == ([1, 3, 4], 0), "round(2.7) = 3"
    assert kept_tokens("ppl", 0.3, token_count="floor") == ([1, 4], 0)
    assert kept_tokens("ppl", 0.5, candidates="response") == ([1, 4], None), "round(2.5) = 2"
    assert kept_tokens("ppl", 0.5, truncated=True) == ([1, 3, 4], 2), "round(0.5 x 10) = 5: no end, six tokens"
    assert kept_tokens("ppl", 0.3, end_token="keep") == ([1, 4, 5], 0), "round(3.0): the end counts"
    assert kept_tokens("ppl", 0.3, end_token="compete") == ([1, 3, 4], 0)
    assert kept_tokens("ppl", 0.3, ppl="lowest") == ([], 3), "the prompt's loss of 0 comes first"


def test_rho1_and_random_count_the_prompt() -> None:
    # Excess losses log 1, 4, 1, 1/2, 2; the prompt's is 0, before positions 0 and 2.
    assert kept_tokens("rho1", 0.5) == ([1, 4], 2)
    seed = Draw(0).seed
    draws = randomness.uniform(seed, "tokens", 0, np.arange(-4, 5))  # -4 to -1 is the prompt, 5 would be the end
    best = np.argsort(-draws)[:4] - 4
    assert kept_tokens("random", 0.5) == (sorted(best[best >= 0].tolist()), int((best < 0).sum()))


def test_fastv_ranks_within_the_sequence() -> None:
    assert kept_tokens("fastv", 0.5) == ([0, 1], 2), "ranks 0 to 3: the prompt has 0 and 2"
    assert kept_tokens("fastv", 0.9) == ([0, 1, 2, 4], 4), "round(8.1) = 8: all but rank 8"
    assert kept_tokens("fastv", 0.5, candidates="response", token_count="floor") == ([0, 1], None)


@pytest.mark.parametrize("options", [{"pool": "batch"}, {**RULES, "fastv": "sequence"}, {"reading": AUTHORS} | RULES])
def test_fastv_ranks_of_several_sequences_are_not_compared(options: dict[str, Any]) -> None:
    with refused("fastv: sequence", "pool: batch", fix="set pool: sample"):
        pruners.check_method("random+fastv", {"fastv": "sequence"} | options)
    pruners.check_method("random+fastv", {"pool": "batch"})
    pruners.check_method("random+fastv", READ)


def test_fastv_ranks_of_a_conversations_answers_are_not_compared() -> None:
    scores = handmade_scores.scores([6], tokens=RESPONSE)
    answers = Turns(np.array([0, 2]), np.array([0, 1]), np.array([2, 4]), np.array([False, False]))
    with refused("fastv: sequence", "unit: conversation", fix="unit: turn"):
        pruners.select(replace(scores, turns=answers), spec("random+fastv", 1, 0.5, fastv="sequence"), Draw(0))


@pytest.mark.parametrize("rank", [-1, 10, 2.5])
@pytest.mark.parametrize("candidates", ["sequence", "response"])
def test_fastv_rank_that_is_no_place_in_its_sequence_is_refused(candidates: str, rank: float) -> None:
    """The second response has 4 tokens, its prompt 6 of which 5 are candidates: places 0 to 8, or 9 if unknown."""
    ranks = {"fastv_rank": [0, 1, 2, rank, 3, 4]}
    scores = handmade_scores.scores([2, 4], tokens=ranks, samples={"prompt_candidates": [3, 5]})
    scores = replace(scores, prompt_tokens=np.array([3, 6]))
    method = spec("random+fastv", 1, 0.5, fastv="sequence", candidates=candidates)
    with refused("token column fastv_rank", f"is {rank:g} for sample_id 1 at position 1", fix="recompute it"):
        pruners.select(scores, method, Draw(0))
    scores.tokens["fastv_rank"][3] = 9
    if candidates == "response":
        pruners.select(scores, method, Draw(0))
        return
    with refused("token column fastv_rank", "is 9 for sample_id 1"):
        pruners.select(scores, method, Draw(0))


def test_sparsevlm_reads_no_ratio() -> None:
    for ratio in (0.1, 0.5, 1):
        assert kept_tokens("sparsevlm", ratio) == ([1, 4], None)
    assert kept_tokens("sparsevlm", 0.5, end_token="compete") == ([1, 4, 5], None)
    assert kept_tokens("sparsevlm", 0.5, end_token="keep", truncated=True) == ([1, 4, 5], None)
    empty = handmade_scores.scores([3], tokens={"sparsevlm_kept": [0, 0, 1]})
    assert positions(pruners.select(empty, spec("random+sparsevlm", 1, 0.5, **READ), Draw(0))) == [[]]


def positions(selection: SelectionArrays) -> list[list[int]]:
    return [selection.kept_positions(row).tolist() for row in range(len(selection))]


def two() -> Scores:
    """Responses of 2 and 4 tokens with 3 and 1 candidates of their prompts."""
    tokens = {"nll": [5.0, 9.0, 1.0, 4.0, 3.0, 9.0]}
    return handmade_scores.scores([2, 4], tokens=tokens, samples={"prompt_candidates": [3, 1]})


def test_tokens_of_all_kept_samples_share_one_count() -> None:
    def kept(ratio: float, **options: Any) -> list[list[int]]:
        return positions(pruners.select(two(), spec("random+ppl", 1, ratio, ppl="highest", **options), Draw(0)))

    assert kept(0.5, **RULES) == [[0], [0, 1, 2]], "round(0.5 x (1 + 3 + 4)) = 4: all losses but the prompts'"
    assert kept(0.25, **RULES) == [[0], [1]], "5 and 4"
    assert kept(0.1, **RULES) == [[0], []]
    assert kept(0.5, pool="batch") == [[0, 1], [3]], "floor(0.5 x 6) = 3: both ends, and 5"
    assert kept(0.1, pool="batch") == [[1], [3]], "floor(0.6) = 0, but both ends are kept"
    assert kept(0.5, pool="batch", end_token="compete") == [[0, 1], [3]], "9, 9 and 5"


@pytest.mark.parametrize("ratio", [0.05, 0.5, 0.7])
@pytest.mark.parametrize("pair", PAIRS)
def test_every_pair_selects_in_both_readings(pair: str, ratio: float) -> None:
    scores = handmade_scores.sequence_scores(60).ordered()
    rows = {number: row for row, number in enumerate(scores.sample_id.tolist())}
    paper = pruners.select(scores, spec(pair, 0.3, ratio, reading="paper"), Draw(1, 1))
    plain = pruners.select(scores, spec(pair, 0.3, ratio), Draw(1, 1))
    assert (paper.sample_id.tolist(), positions(paper)) == (plain.sample_id.tolist(), positions(plain))
    copy = pruners.select(scores, spec(pair, 0.3, ratio, **READ), Draw(1, 1))
    assert len(copy) == 18
    kept = scores.take(np.array([rows[number] for number in copy.sample_id.tolist()]))
    for row, places in enumerate(positions(copy)):
        assert kept.truncated[row] or kept.response_tokens[row] - 1 not in places, "no end is learned"
    candidates = kept.response_tokens - ~kept.truncated + kept.samples["prompt_candidates"].astype(int)
    if pair.endswith("sparsevlm"):
        return
    assert copy.prompt_kept is not None
    if pair.endswith("fastv"):
        expected = [max(1, round(ratio * count)) for count in candidates.tolist()]
        assert (np.diff(copy.offsets) + copy.prompt_kept).tolist() == expected
    else:
        assert len(copy.positions) + copy.prompt_kept.sum() == max(1, round(ratio * int(candidates.sum())))


def test_a_ratio_of_one_keeps_all_but_the_ends() -> None:
    scores = handmade_scores.sequence_scores(40).ordered()
    for token in ("random", "ppl", "fastv"):
        selection = pruners.select(scores, spec(f"random+{token}", 1, 1, **READ), Draw(0))
        assert len(selection) == 40
        assert np.diff(selection.offsets).tolist() == (scores.response_tokens - ~scores.truncated).tolist()
        assert selection.prompt_kept is not None
        assert selection.prompt_kept.tolist() == scores.samples["prompt_candidates"].tolist()


def test_prompts_longer_than_their_responses_leave_ppl_every_response_token() -> None:
    scores = handmade_scores.scores(
        [3, 2], tokens={"nll": [1.0, 2.0, 3.0, 0.5, 4.0]}, samples={"prompt_candidates": [20, 30]}
    )
    assert positions(pruners.select(scores, spec("random+ppl", 1, 0.5, **READ), Draw(0))) == [[0, 1], [0]]


def test_responses_that_are_only_an_end_keep_nothing() -> None:
    scores = handmade_scores.scores([1, 1, 1], tokens={"nll": [1.0] * 3}, samples={"prompt_candidates": [5, 1, 1]})
    options = READ | {"candidates": "response"}
    assert positions(pruners.select(scores, spec("random+ppl", 1, 0.5, **options), Draw(0))) == [[], [], []]
    assert positions(pruners.select(scores, spec("random+ppl", 1, 0.5, **READ), Draw(0))) == [[], [], []]
    everything = pruners.select(scores, spec("all", 0.1, 0.1, **READ), Draw(0))
    assert positions(everything) == [[], [], []]
    assert positions(pruners.select(scores, spec("all", 0.1, 0.1), Draw(0))) == [[0], [0], [0]]


def test_all_keeps_everything_whatever_the_budget() -> None:
    scores = handmade_scores.random_scores(30).ordered()
    selection = pruners.select(scores, spec("all", 0.1, 0.1, end_token="drop"), Draw(0))
    assert selection.sample_id.tolist() == scores.sample_id.tolist()
    assert np.diff(selection.offsets).tolist() == (scores.response_tokens - ~scores.truncated).tolist()


def test_a_reading_sets_the_options_of_both_pruners_and_no_others() -> None:
    for pair, options in (
        ("longest+ppl", {"keep": "shortest", "length_of": "instruction", "ppl": "highest", **RULES}),
        ("entropy+sparsevlm", {"entropy": "instruction", "sparsevlm": "rank", "end_token": "drop"}),
        ("infobatch+fastv", {"infobatch": "epochs", "fastv": "sequence", **RULES, "pool": "sample"}),
        ("random+rho1", RULES),
        ("random+random", RULES),
        ("all", {"end_token": "drop"}),
    ):
        complete = pruners.complete_options(pair, READ)
        hidden = {"pool": "sample", "allow_degenerate": False}
        assert complete == {**{k: v for k, v in options.items() if hidden.get(k) != v}, **_shown(complete)}
    for pair in ("random+entropy", "ifd+token-cleaning", "infobatch-original"):
        with refused(f"{pair}: reading", "is 'authors-2025-09'", fix="paper"):
            pruners.complete_options(pair, READ)


def _shown(complete: dict[str, Any]) -> dict[str, Any]:
    """Options that results of version 0.1 have."""
    return {name: complete[name] for name in ("allow_degenerate",) if name in complete}


def test_options_at_their_defaults_are_not_recorded() -> None:
    defaults = {"end_token": "keep", "candidates": "response", "pool": "sample", "token_count": "floor"}
    assert pruners.complete_options("random+ppl", {**defaults, "ppl": "lowest"}) == {}
    assert pruners.complete_options("entropy+fastv", {}) == {"fastv": "adapted"}
    assert pruners.complete_options("longest+sparsevlm", {}) == {
        "keep": "shortest",
        "sparsevlm": "adapted",
        "allow_degenerate": False,
    }
    assert pruners.complete_options("infobatch+random", {}) == pruners.complete_options("all", {}) == {}
    assert pruners.needs("infobatch+ppl", READ).samples == {"epoch_loss": "infobatch", "prompt_candidates": "ppl"}


@pytest.mark.parametrize("pair", ["random+entropy", "random+sparsevlm", "random+fastv"])
def test_prompts_compete_only_where_the_pruner_ranks_them(pair: str) -> None:
    pruner = pair.partition("+")[2]
    with refused(f"{pruner}: candidates", "does not rank them", fix="candidates: response"):
        pruners.check_method(pair, {"candidates": "sequence"})


def test_a_token_pruner_of_ones_own_may_not_name_an_option_as_all_have_it() -> None:
    def greedy(scores: Scores, draw: Draw, *, pool: int = 1) -> np.ndarray[Any, Any]:
        return scores.token("nll")

    with refused("pruner greedy: option pool", "every token pruner", fix="rename"):
        pruners.token_pruner("greedy")(greedy)
    with refused("pruner greedy", "option pool", fix="rename"):
        pruners.sample_pruner("greedy")(greedy)


def test_a_ranking_brings_weights_and_a_number() -> None:
    def heavy(scores: Scores, draw: Draw, *, count: int = 2, weight: float = 2.0) -> pruners.Ranking:
        return pruners.Ranking(scores.samples["nll"], np.full(len(scores), weight), count)

    pruners.sample_pruner("heavy", samples=("nll",))(heavy)
    scores = handmade_scores.scores([1, 1, 1, 1], samples={"nll": [3, 1, 4, 2]})
    selection = pruners.select(scores, spec("heavy+random", 0.25, 1), Draw(0))
    assert (selection.sample_id.tolist(), selection.weight.tolist()) == ([0, 2], [2, 2])
    for option, words in (({"count": 5}, "count 5"), ({"count": -1}, "count -1"), ({"weight": 0.0}, "not positive")):
        with refused("pruner heavy", words):
            pruners.select(scores, spec("heavy+random", 0.25, 1, **option), Draw(0))


def test_a_match_meets_its_count_without_the_ends_and_on_average_with_prompts() -> None:
    scores = handmade_scores.sequence_scores(400).ordered()
    for rules in ({"end_token": "drop"}, {"end_token": "compete", "pool": "batch"}, {"end_token": "keep"}):
        selection = pruners.select(scores, spec("random+random", **rules), Draw(0), Match(100, 700))
        assert (len(selection), len(selection.positions)) == (100, 700), rules
    selection = pruners.select(scores, spec("random+random", **RULES), Draw(0), Match(100, 700))
    assert len(selection) == 100
    assert abs(len(selection.positions) - 700) < 60


def test_a_conversation_has_no_prompt_to_compete_with() -> None:
    scores = handmade_scores.sequence_scores(4)
    turns = replace(scores, turns=scores.answers)
    with refused("candidates", "unit is conversation", fix="candidates: response"):
        pruners.select(turns, spec("random+random", 1, 0.5, **READ), Draw(0))
    selection = pruners.select(turns, spec("random+random", 1, 1, **READ | {"candidates": "response"}), Draw(0))
    assert np.diff(selection.offsets).sum() == (scores.response_tokens - ~scores.truncated).sum()


@pytest.mark.parametrize("options", [READ, {"sparsevlm": "rank"}])
def test_a_count_of_tokens_is_refused_where_ranks_decide_how_many(options: dict[str, Any]) -> None:
    method = "random+sparsevlm" if "sparsevlm" in options else "random+ppl"
    scores, amounts = (
        ScoresInMemory(handmade_scores.sequence_scores(9)),
        (read_amount(1.0, "samples"), read_amount(20, "tokens")),
    )
    with refused("tokens", "is not known before", fix="share"):
        budget_spec(scores, MethodSpec(method=method, options=options), *amounts, Draw(0))


@pytest.mark.parametrize("rules", [{"end_token": "drop", "pool": "batch"}, {"token_count": "round"}])
def test_a_count_of_tokens_is_met_under_other_rules(rules: dict[str, Any]) -> None:
    scores = handmade_scores.random_scores(50)
    amounts = read_amount(0.5, "samples"), read_amount(100, "tokens")
    chosen = budget_spec(ScoresInMemory(scores), MethodSpec(method="random+ppl", options=rules), *amounts, Draw(0))
    assert 90 <= len(pruners.select(scores, chosen, Draw(0)).positions) <= 100


@pytest.mark.parametrize("pair", ["random+ppl", "longest+fastv", "entropy+sparsevlm"])
def test_files_have_the_prompts_share_and_count_samples_without_a_token(tmp_path: Path, pair: str) -> None:
    scores = handmade_scores.sequence_scores(60, longest=6)
    folder = handmade_scores.write(tmp_path / "scores", scores)
    summary = prune(folder, tmp_path / "out", spec(pair, 0.5, 0.2, **READ), seed=3)
    expected = pruners.select(scores, spec(pair, 0.5, 0.2, **READ), Draw(3))
    table = pq.read_table(tmp_path / "out/selection.parquet")
    assert table["kept"].to_pylist() == positions(expected)
    if expected.prompt_kept is not None:
        assert table["prompt_kept"].to_pylist() == expected.prompt_kept.tolist()
    empty = positions(expected).count([])
    assert summary.empty == empty > 0
    assert (summary.kept_tokens, summary.n_kept_samples) == (len(expected.positions), 30)
    ends = expected.turns.response_tokens - 1 if expected.turns else np.array([])
    assert summary.only_end == sum(
        kept == [end] and not cut
        for kept, end, cut in zip(positions(expected), ends.tolist(), expected.turns.truncated, strict=True)  # type: ignore[union-attr]
    )
    assert f"{empty} of them keep no token." in selection_sentences(summary)[2]


def test_a_selection_without_a_token_says_so(tmp_path: Path) -> None:
    scores = handmade_scores.scores([1, 1], tokens={"nll": [1.0, 1.0]})
    folder = handmade_scores.write(tmp_path / "scores", scores)
    summary = prune(folder, tmp_path / "out", spec("all", 1, 1, end_token="drop"), seed=0)
    assert (summary.kept_tokens, summary.empty, summary.realised_token_ratio) == (0, 2, 0.0)
    assert "none of their response tokens" in selection_sentences(summary)[0]
