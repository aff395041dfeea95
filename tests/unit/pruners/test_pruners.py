"""Pruners by hand (the worked examples of docs/reference/pruners.md), and what must hold for every method."""

import itertools
import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from prunegrid import pruners
from prunegrid.core import ragged, randomness
from prunegrid.core.errors import PrunegridError
from prunegrid.pruners import JOINT, SAMPLE, TOKEN, Draw, Scores, SelectionArrays
from support import handmade_scores
from support.errors import refused
from support.handmade_scores import spec
from support.programs import imported_by

STOCHASTIC = "infobatch-original"
SEEDED = {"random", "semdedup", "d4", STOCHASTIC}  # k-means begins with a draw
METHODS = [f"{sample}+{token}" for sample in sorted(SAMPLE) for token in sorted(TOKEN)] + sorted(JOINT)
EXACT = [method for method in METHODS if method not in (STOCHASTIC, "all")]
RATIOS = (0.25, 0.7)

PAPER_TOKENS = ("ppl", "fastv", "sparsevlm")

LENGTHS = [4, 2, 6, 2, 3, 6]
NLL = [1.0, 2.0, 0.5, 2.0, 3.0, 0.1]
ENTROPY = [0.3, 0.9, 0.2, 0.3, 0.3, 1.2]
IFD = [0.9, 1.2, 0.5, 0.7, 1.0, 0.6]

TOKENS = {
    "nll": np.log([1, 4, 1, 2, 8, 1]),
    "entropy": [0.2, 0.9, 0.4, 0.4, 0.1, 0.3],
    "fastv": [0.30, 0.10, 0.20, 0.10, 0.40, 0.05],
    "fastv_layer2": [0.20, 0.30, 0.10, 0.10, 0.25, 0.05],
    "sparsevlm": [0.2, 0.2, 0.0, 0.3, 0.1, 0.0],
    "reference_nll": np.log([1, 1, 1, 4, 4, 2]),
}


def kept_samples(method: str, **options: Any) -> list[int]:
    scores = handmade_scores.scores(LENGTHS, samples={"nll": NLL, "entropy": ENTROPY, "ifd": IFD})
    return pruners.select(scores, spec(f"{method}+random", 0.5, 1, **options), Draw(0)).sample_id.tolist()


def kept_tokens(pruner: str, truncated: bool = False, ratio: float = 0.5, **options: Any) -> list[int]:
    scores = handmade_scores.scores([6], truncated=[truncated], tokens=TOKENS)
    return pruners.select(scores, spec(f"random+{pruner}", 1, ratio, **options), Draw(0)).kept_positions(0).tolist()


def test_sample_pruners_by_hand() -> None:
    assert kept_samples("longest") == [1, 3, 4]
    assert kept_samples("longest", keep="longest") == [0, 2, 5]
    assert kept_samples("infobatch") == [1, 3, 4]
    assert kept_samples("entropy") == [0, 1, 5]
    assert kept_samples("loss") == [1, 3, 4]
    assert kept_samples("loss", loss="lowest") == [0, 2, 5]
    assert kept_samples("loss", loss="middle") == [0, 1, 3]
    assert kept_samples("ifd") == [0, 3, 4]
    drawn = randomness.uniform(Draw(0).seed, "samples", np.arange(6))
    assert kept_samples("random") == sorted(np.argsort(-drawn)[:3].tolist())


def test_token_pruners_by_hand() -> None:
    assert kept_tokens("ppl") == [0, 2, 5]
    assert kept_tokens("fastv") == [0, 4, 5]
    assert kept_tokens("fastv", fastv="original") == [1, 4, 5]
    assert kept_tokens("sparsevlm") == [0, 3, 5]
    assert kept_tokens("sparsevlm", sparsevlm="literal", allow_degenerate=True) == [0, 1, 5]
    assert kept_tokens("entropy") == [1, 2, 5]
    assert kept_tokens("rho1") == [1, 4, 5]
    drawn = randomness.uniform(Draw(0).seed, "tokens", 0, np.arange(5))
    assert kept_tokens("random") == [*sorted(np.argsort(-drawn)[:2].tolist()), 5]


def test_a_truncated_response_has_no_end_to_keep() -> None:
    assert kept_tokens("fastv", truncated=True) == [0, 2, 4]
    assert kept_tokens("fastv", truncated=True, ratio=0.1) == [4]
    assert kept_tokens("fastv", ratio=0.1) == [5]


@pytest.mark.parametrize("method", EXACT)
def test_counts_order_and_end_of_sequence(method: str) -> None:
    scores = handmade_scores.random_scores(120)
    selection = pruners.select(scores, spec(method, *RATIOS), Draw(1))
    assert len(selection) == 30
    assert np.all(np.diff(selection.sample_id) > 0)
    row_of = {int(i): row for row, i in enumerate(scores.sample_id)}
    for row, sample_id in enumerate(selection.sample_id):
        kept, length = selection.kept_positions(row), int(scores.response_tokens[row_of[int(sample_id)]])
        whole = selection.treated_as[row] == 4
        if "token-cleaning" not in method and method != "token-first":
            assert len(kept) == (length if whole else max(1, math.floor(Fraction(7, 10) * length)))
        assert len(kept) >= 1
        assert np.all(np.diff(kept) > 0)
        assert kept[0] >= 0
        assert kept[-1] < length
        assert scores.truncated[row_of[int(sample_id)]] or kept[-1] == length - 1


@pytest.mark.parametrize("sample", sorted(SAMPLE))
def test_token_cleaning_keeps_as_many_tokens_as_the_others(sample: str) -> None:
    scores = handmade_scores.random_scores(120)
    other, own = (
        pruners.select(scores, spec(f"{sample}+{token}", *RATIOS), Draw(1)) for token in ("rho1", "token-cleaning")
    )
    assert np.array_equal(other.sample_id, own.sample_id)
    assert len(other.positions) == len(own.positions)


def test_token_cleaning_by_hand() -> None:
    """Excess losses 3 1 | 5 4 | 0 0 (cut off): of 6 tokens 3 are kept; two ends, the cut one's first, no more."""
    tokens = {"nll": [3, 1, 5, 4, 0, 0], "reference_nll": [0] * 6}
    scores = handmade_scores.scores([2, 2, 2], truncated=[False, False, True], tokens=tokens)
    selection = pruners.select(scores, spec("random+token-cleaning", 1, 0.5), Draw(0))
    assert [selection.kept_positions(row).tolist() for row in range(3)] == [[1], [1], [0]]
    tokens = {"nll": [3, 1, 5, 4, 4, 0, 7, 7, 7, 0], "reference_nll": [0] * 10}
    scores = handmade_scores.scores([4, 6], tokens=tokens)
    selection = pruners.select(scores, spec("random+token-cleaning", 1, 0.5), Draw(0))
    assert [selection.kept_positions(row).tolist() for row in range(2)] == [[3], [2, 3, 4, 5]]


def test_token_cleaning_takes_ties_by_sample_and_position() -> None:
    tokens = {"nll": [1] * 12, "reference_nll": [0] * 12}
    scores = handmade_scores.scores([4, 4, 4], sample_id=[7, 3, 5], tokens=tokens)
    selection = pruners.select(scores, spec("random+token-cleaning", 1, 0.5), Draw(0))
    assert selection.sample_id.tolist() == [3, 5, 7]
    assert [selection.kept_positions(row).tolist() for row in range(3)] == [[0, 1, 2, 3], [3], [3]]


@pytest.mark.parametrize("pair", [f"{sample}+ppl" for sample in sorted(SAMPLE)])
def test_rankings_of_samples_are_nested(pair: str) -> None:
    scores = handmade_scores.random_scores(90)
    kept = [set(pruners.select(scores, spec(pair, r, 1), Draw(2)).sample_id.tolist()) for r in (0.1, 0.25, 0.5, 0.9)]
    assert kept == sorted(kept, key=len)
    assert all(small <= large for small, large in itertools.pairwise(kept))


@pytest.mark.parametrize("pair", [f"random+{token}" for token in sorted(TOKEN)])
def test_rankings_of_tokens_are_nested(pair: str) -> None:
    scores = handmade_scores.random_scores(40)
    selections = [pruners.select(scores, spec(pair, 1, r), Draw(2)) for r in (0.1, 0.25, 0.5, 0.9)]
    for small, large in itertools.pairwise(selections):
        assert all(set(small.kept_positions(row)) <= set(large.kept_positions(row)) for row in range(40))


@pytest.mark.parametrize("method", EXACT)
def test_equal_scores_are_decided_by_id_and_position(method: str) -> None:
    scores = handmade_scores.random_scores(12, longest=6)
    flat = replace(
        scores,
        samples={name: np.ones_like(column) for name, column in scores.samples.items()},
        tokens={name: np.ones_like(column) for name, column in scores.tokens.items()},
    )
    selection = pruners.select(flat, spec(method), Draw(0))
    assert len(selection) == 6
    if method.startswith(("entropy", "ifd", "infobatch", "loss", "qtuning")):
        assert selection.sample_id.tolist() == sorted(scores.sample_id)[:6]


@pytest.mark.parametrize("method", EXACT)
def test_responses_of_one_token_are_kept_whole(method: str) -> None:
    scores = handmade_scores.random_scores(20, longest=1)
    selection = pruners.select(scores, spec(method), Draw(0))
    assert len(selection) == 10
    assert selection.positions.tolist() == [0] * 10


@pytest.mark.parametrize("method", METHODS)
def test_selection_ignores_the_order_of_rows(method: str) -> None:
    scores = handmade_scores.random_scores(80)
    shuffled = scores.take(np.random.default_rng(5).permutation(80))
    assert_same(
        pruners.select(scores, spec(method, *RATIOS), Draw(3)), pruners.select(shuffled, spec(method, *RATIOS), Draw(3))
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_decides_the_random_ones_only(method: str) -> None:
    scores = handmade_scores.random_scores(80)
    first, repeated, other = (pruners.select(scores, spec(method, *RATIOS), Draw(seed)) for seed in (3, 3, 4))
    assert_same(first, repeated)
    if SEEDED & {*method.split("+")} or pruners.find_pruners(method)[0].reason == "random":
        with pytest.raises(AssertionError):
            assert_same(first, other)
    else:
        assert_same(first, other)


@pytest.mark.parametrize("method", METHODS)
def test_ratio_one_keeps_all(method: str) -> None:
    scores = handmade_scores.random_scores(40)
    selection = pruners.select(scores, spec(method, 1, 1), Draw(0))
    assert len(selection) == 40
    assert len(selection.positions) == scores.offsets[-1]


@pytest.mark.parametrize("method", METHODS)
def test_one_sample_of_one_token_survives_any_ratio(method: str) -> None:
    one = handmade_scores.random_scores(1, longest=1)
    selection = pruners.select(one, spec(method, 0.01, 0.01), Draw(0))
    assert selection.kept_positions(0).tolist() == [0]


def test_epoch_and_step_draw_anew() -> None:
    scores = handmade_scores.random_scores(80)
    kept = {
        tuple(pruners.select(scores, spec("random+random"), Draw(0, epoch=epoch, step=step)).sample_id)
        for epoch in (0, 1)
        for step in (0, 1)
    }
    assert len(kept) == 4


def test_samples_and_tokens_are_drawn_apart() -> None:
    scores = handmade_scores.scores([1] * 50)
    assert not np.any(Draw(0).samples(scores) == Draw(0).tokens(scores))


def test_what_a_sample_draws_does_not_depend_on_the_others() -> None:
    scores = handmade_scores.random_scores(50)
    assert np.array_equal(Draw(7).samples(scores)[:9], Draw(7).samples(scores.take(np.arange(9))))


def test_counts_are_exact() -> None:
    assert math.floor(0.7 * 90) == 62
    assert ragged.keep_counts(0.7, np.array([90, 1, 10])).tolist() == [63, 1, 7]
    assert ragged.keep_counts(0.1 + 0.2, np.array([10])).tolist() == [3]
    assert ragged.keep_counts(1, np.array([2**62])).tolist() == [2**62]


def test_reasons_and_weights_of_pairs() -> None:
    scores = handmade_scores.random_scores(20)
    for method, reason in (("random+ppl", "random"), ("entropy+random", "rank")):
        selection = pruners.select(scores, spec(method, *RATIOS), Draw(0))
        assert set(selection.reason) == {reason}
        assert not selection.quadrant.any()
        assert not selection.treated_as.any()
        assert (selection.weight == 1).all()


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("randon+ppl", {}, ["randon", "sample pruner", "did you mean random?", "infobatch"]),
        ("random+longest", {}, ["longest", "token pruner", "sparsevlm"]),
        ("random+sparsevlm", {"sparsevlm": "literal"}, ["every response token 0", "allow_degenerate: true"]),
        ("random+fastv", {"fastv": "layer2"}, ["'adapted', 'original' or 'sequence'"]),
        ("qtunning", {}, ["did you mean qtuning?", "random+ppl"]),
        ("random", {}, ["neither a joint pruner nor a pair"]),
        ("random+", {}, ["neither a joint pruner nor a pair"]),
        ("random+ppl+ppl", {}, ["neither a joint pruner nor a pair"]),
        ("qtuning+ppl", {}, ["write it alone"]),
        ("qtuning", {"neighbor_lamda": 1}, ["'neighbor_lamda'", "did you mean neighbor_lambda?", "window"]),
        ("qtuning", {"window": "8"}, ["window: is '8'", "integer"]),
        ("qtuning", {"window": 0}, ["window: is 0"]),
        ("qtuning", {"neighbor_lambda": True}, ["neighbor_lambda: is True"]),
        ("longest+ppl", {"keep": "long"}, ["keep: is 'long'", "'shortest' or 'longest'"]),
        ("random+ppl", {"keep": "longest"}, ["'keep'", "known: ppl, end_token"]),
        ("infobatch-original", {"keep": "longest"}, ["'keep'", "known: prune_probability"]),
    ],
)
def test_a_bad_method_says_what_is_known(method: str, options: dict[str, object], words: list[str]) -> None:
    with pytest.raises(PrunegridError) as caught:
        pruners.check_method(method, options)
    assert all(word in str(caught.value) for word in words), caught.value


def test_check_and_parts() -> None:
    for method in METHODS:
        pruners.check_method(method, {})
    pruners.check_method("qtuning", {"window": None, "neighbor_lambda": 0})
    pairs = {f"{s}+{t}" for s in ("random", "longest", "infobatch", "entropy") for t in ("random", *PAPER_TOKENS)}
    assert len({*pairs, "qtuning"} & set(METHODS)) == 17
    assert pruners.pruner_names("random+ppl") == ("random", "ppl")
    assert pruners.pruner_names("qtuning") == ("qtuning", None)
    assert pruners.complete_options("longest+ppl", {}) == {"keep": "shortest"}


def test_a_name_is_registered_once() -> None:
    with refused("pruner random", "registered twice"):
        pruners.sample_pruner("random")(lambda scores, draw: scores.samples["nll"])


def test_a_pruner_of_ones_own() -> None:
    def easiest(scores: Scores, draw: Draw, *, floor: float = 0.0) -> ragged.Floats:
        return -abs(scores.samples["nll"] - floor)

    pruners.sample_pruner("easiest", samples=("nll",))(easiest)
    try:
        assert kept_samples("easiest") == [0, 2, 5]
        assert kept_samples("easiest", floor=2) == [0, 1, 3]
    finally:
        del SAMPLE["easiest"]


def test_partners_may_not_share_an_option() -> None:
    def greedy(scores: Scores, draw: Draw, *, keep: int = 1) -> ragged.Floats:
        return scores.token("nll")

    with refused("pruner greedy", "option keep", "longest"):
        pruners.token_pruner("greedy")(greedy)
    assert "greedy" not in TOKEN


def test_a_missing_column_matters_only_to_its_pruner() -> None:
    scores = handmade_scores.random_scores(10)
    del scores.tokens["fastv"]
    pruners.select(scores, spec("random+ppl", *RATIOS), Draw(0))
    with refused("the scores", "no token column fastv, which fastv needs", fix="prunegrid extra fastv --from FILE"):
        pruners.select(scores, spec("random+fastv", *RATIOS), Draw(0))


def test_a_value_that_is_not_finite_names_its_sample() -> None:
    scores = handmade_scores.scores([2, 3], sample_id=[11, 7], tokens={"nll": [0, 1, 2, np.nan, 4]})
    with refused("token column nll", "nan for sample_id 7 at position 1"):
        pruners.select(scores, spec("random+ppl", 1, 1), Draw(0))
    scores = handmade_scores.scores([2, 3], sample_id=[11, 7], samples={"nll": [np.inf, 1]})
    with refused("sample column nll", "inf for sample_id 11"):
        pruners.select(scores, spec("infobatch+random", 1, 1), Draw(0))


@pytest.mark.parametrize("ratio", [0, -0.5, 1.4, math.nan])
def test_bad_ratios(ratio: float) -> None:
    scores = handmade_scores.random_scores(5)
    with refused("token_ratio", float(ratio), fix="(0, 1]"):
        pruners.select(scores, spec("random+random", 0.5, ratio), Draw(0))


def test_no_samples() -> None:
    with refused("the scores", "no samples"):
        pruners.select(handmade_scores.scores([]), spec("random+random"), Draw(0))


def test_input_is_left_as_it_was() -> None:
    scores = handmade_scores.random_scores(30)
    before = replace(scores, tokens={name: column.copy() for name, column in scores.tokens.items()})
    for method in METHODS:
        pruners.select(scores, spec(method, *RATIOS), Draw(0))
    assert all(np.array_equal(scores.tokens[name], before.tokens[name]) for name in before.tokens)


def test_importing_pruners_is_light() -> None:
    assert not {"torch", "pandas", "pyarrow"} & imported_by(pruners.__name__)


def assert_same(left: SelectionArrays, right: SelectionArrays) -> None:
    for name in ("sample_id", "weight", "offsets", "positions", "quadrant", "reason", "treated_as"):
        assert np.array_equal(getattr(left, name), getattr(right, name)), name


def infobatch_original(r: float | None, progress: float = 0.0) -> SelectionArrays:
    scores = handmade_scores.random_scores(4000)
    draw = pruners.Draw(3, progress=progress)
    options = {"prune_probability": r}
    chosen = pruners.choose_samples(scores.ordered(), spec("infobatch-original", 0.25, 0.5, **options), draw)
    (selection,) = pruners.select_tokens(chosen, lambda: [scores.ordered().take(chosen.rows)])
    return selection


def test_infobatch_original_keeps_the_expected_gradient() -> None:
    scores = handmade_scores.random_scores(4000).ordered()
    low = scores.samples["nll"] < scores.samples["nll"].mean()
    selection = infobatch_original(0.6)
    kept = np.isin(scores.sample_id, selection.sample_id)
    assert kept[~low].all()
    assert kept[low].mean() == pytest.approx(0.4, abs=0.03)
    weight = dict(zip(selection.sample_id.tolist(), selection.weight.tolist(), strict=True))
    assert {weight[i] for i in scores.sample_id[kept & low].tolist()} == {np.float32(2.5)}
    assert {weight[i] for i in scores.sample_id[~low].tolist()} == {1.0}
    assert selection.weight.sum() == pytest.approx(len(scores), rel=0.03)


def test_infobatch_original_anneals_to_all_samples() -> None:
    assert set(infobatch_original(None).weight.tolist()) == {1.0, 4.0}
    assert len(infobatch_original(0.6, progress=0.874)) < 4000
    annealed = infobatch_original(0.6, progress=0.875)
    assert len(annealed) == 4000
    assert set(annealed.weight.tolist()) == {1.0}
