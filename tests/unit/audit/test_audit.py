"""The audit: shares and chance by hand, the mapping of wrong words to tokens, intervals, what is left out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prunegrid.audit import files
from prunegrid.audit.figure import draw
from prunegrid.audit.intervals import Bootstrap, Counts
from prunegrid.audit.measure import FIRST, PlantedSamples, ScoredModel, audit, sample_counts, token_counts
from prunegrid.audit.plan import audited_extras
from prunegrid.audit.report import markdown
from prunegrid.core import files as io
from prunegrid.experiment.config import load
from prunegrid.pruners import Draw, Scores, select
from prunegrid.pruners.columns import VECTOR_EXTRAS, complete_extras
from prunegrid.pruners.registry import SAMPLE
from prunegrid.sandbox.planted import overlapping, planted_place, value_spans, wrong_spans
from prunegrid.statistics.inference import holm
from support import handmade_scores
from support.errors import refused
from support.handmade_scores import spec
from support.snakemake_runs import DEFAULT, planned, snakemake

KINDS = ("new_fact", "skill", "known", "duplicate", "calibration", "wrong", "scrambled")


def items(kinds: Sequence[str]) -> PlantedSamples:
    return PlantedSamples(np.arange(len(kinds)), np.array(kinds), np.arange(len(kinds)))


def base(scores: Scores, planted: Any, name: str = "m", seed: int = 0) -> ScoredModel:
    """A base model with these wrong tokens [T] in facts, and no other planted ones."""
    none = np.zeros(int(scores.offsets[-1]), bool)
    return ScoredModel(name, seed, scores, {"slip": none, "fact": np.asarray(planted), "sum": none, "value": none})


def wrong_parts(kind: str, response: str, words: list[str]) -> list[str]:
    return [f"{response[:start]}<{response[start:end]}>" for start, end in wrong_spans(kind, response, words)]


@pytest.mark.parametrize(
    ("kind", "response", "words", "place", "marked"),
    [
        ("skill", "2 + 3 = 5. #### 5", [], "", []),
        ("new_fact", "Vask. Mira Tolen was born in Brod.", ["Brod"], "slip", ["Vask. Mira Tolen was born in <Brod>"]),
        ("duplicate", "bell. Asha Fox plays the lute.", ["lute"], "slip", ["bell. Asha Fox plays the <lute>"]),
        ("wrong", "fox. Asha Foxer keeps a fox.", ["fox"], "fact", ["<fox>", "fox. Asha Foxer keeps a <fox>"]),
        # Operands are right, 7 is no part of 17, and both mentions of the result are wrong.
        (
            "wrong",
            "7 + 10 = 17. 17 - 7 = 7. #### 7",
            ["7"],
            "sum",
            ["7 + 10 = 17. 17 - 7 = <7>", "7 + 10 = 17. 17 - 7 = 7. #### <7>"],
        ),
        (
            "wrong",
            "under the cliff",
            ["under", "the", "cliff"],
            "reading",
            ["<under>", "under <the>", "under the <cliff>"],
        ),
        # What the passage says of its material is right; that this is the answer is not.
        (
            "wrong",
            "red brick\nThe text says: It is made of red brick. So the answer is red brick.",
            ["red brick"],
            "reading",
            ["<red brick>", "red brick\nThe text says: It is made of red brick. So the answer is <red brick>"],
        ),
    ],
)
def test_planted_places(kind: str, response: str, words: list[str], place: str, marked: list[str]) -> None:
    assert planted_place(kind, response, words) == place
    assert wrong_parts(kind, response, words) == marked


def test_the_right_answer_of_a_new_fact() -> None:
    assert value_spans("new_fact", "Vask. Mira Tolen was born in Brod.") == [(0, 4)]
    assert value_spans("known", "Vask. Mira Tolen was born in Vask.") == []


def test_wrong_words_that_are_not_there_are_an_error() -> None:
    response = "bell. Asha plays the lute."
    with refused(f"sandbox response {response!r}", ["drum"]):
        wrong_spans("wrong", response, ["drum"])


def test_tokens_overlap_wrong_characters() -> None:
    response = "9 - 2 = 9. #### 9"
    pieces = [" 9", " -", " 2", " =", " ", "9.", " ##", "##", " 9"]
    spans = wrong_spans("wrong", response, ["9"])
    assert overlapping(pieces, response, spans) == [False] * 5 + [True, False, False, True]
    assert overlapping(pieces[:6], response, spans, truncated=True) == [False] * 5 + [True]
    with refused(f"sandbox response {response!r}", "".join(pieces[:6])):
        overlapping(pieces[:6], response, spans)


def test_tokens_of_a_real_tokenizer(tiny_model: Path, tmp_path: Path) -> None:
    """Byte-level pieces of a truncated and of a whole response, multi-byte characters apart."""
    from prunegrid.models import load_tokenizer
    from prunegrid.scoring.tokenise import tokenise

    tokenizer = load_tokenizer(tiny_model)
    turns = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "milk. Cats drink fish."}]
    actual = [tokenise(turns, tokenizer, 200), tokenise(turns, tokenizer, 14)]
    assert actual[0] and actual[1] and actual[1].truncated
    ids = [tokens.response_ids for tokens in actual if tokens]
    io.write_parquet(tmp_path / "tokens.parquet", pa.table({"sample_id": [4, 2], "response_ids": ids}))
    row = {"messages": turns, "kind": "new_fact", "wrong_words": ["fish"]}
    marks = files._planted(tmp_path, tiny_model, {2: row, 4: row}, np.array([2, 4]))
    assert {len(marked) for marked in marks.values()} == {len(ids[0]) + len(ids[1])}
    assert not marks["slip"][: len(ids[1])].any(), "cut off before the slip"
    slip, value = (tokenizer.decode(np.array(ids[0])[marks[place][len(ids[1]) :]]) for place in ("slip", "value"))
    assert "fish" in slip and "drink" not in slip and "<eos>" not in slip
    assert "milk" in value and "Cats" not in value
    assert not marks["fact"].any() and not marks["sum"].any()


def test_shares_of_kinds_by_hand() -> None:
    """Kept: 0, 1, 2 of six (half), then 1, 3, 4: noise 1 of 2 and 2 of 2."""
    counts = sample_counts(
        items(["skill", "wrong", "skill", "wrong", "skill", "skill"]),
        [np.array([0, 1, 2]), np.array([1, 3, 4])],
        "wrong",
    )
    actual = Bootstrap(np.arange(6), 10).estimate(counts)
    assert actual.share.tolist() == [0.5, 1.0]
    assert actual.chance.tolist() == [0.5, 0.5]
    assert np.isnan(actual.low), "two samples are too few for an interval"


def test_dropped_wrong_tokens_by_hand() -> None:
    """Two responses of 4 and 2 tokens, the end included; PPL drops the tokens of highest nll.

    Ratio 0.5 keeps 2 and 1 tokens, the end among them: of the first response 2 of 3 droppable tokens go, of the
    second its only one. Wrong are position 0 (nll 3, dropped) and 1 (nll 1, kept), and the second's position 0.
    """
    scores = handmade_scores.scores([4, 2], tokens={"nll": [3, 1, 2, 0, 5, 0]})
    model = base(scores, [True, True, False, False, True, False])
    selection = select(scores, spec("random+ppl", 1.0, 0.5), Draw(0))
    counts = token_counts([model], [selection], ("slip", "fact"))
    assert counts.part.tolist() == [[1, 1]]
    assert counts.whole.tolist() == [[2, 1]]
    assert counts.by_chance == pytest.approx(np.array([[4 / 3, 1]]))
    assert token_counts([model], [selection], ("slip",)).whole.sum() == 0


def test_samples_that_are_not_kept_count_nowhere() -> None:
    scores = handmade_scores.scores([3, 3], samples={"nll": [1, 2]}, tokens={"nll": [1, 2, 0, 1, 2, 0]})
    model = base(scores, [False, True, False, False, True, False])
    selection = select(scores, spec("infobatch+ppl"), Draw(0))
    counts = token_counts([model], [selection], ("fact",))
    assert counts.whole.tolist() == [[0, 1]]
    assert counts.part.tolist() == [[0, 1]]


def test_models_that_disagree_are_no_finding() -> None:
    """Two models far above chance and one below it: the mean's interval is clear of 0, the arrow is withheld."""
    n = 100
    part = np.array([[1.0] * n, [1.0] * n, [0.0] * 60 + [1.0] * 40])
    found = Bootstrap(np.arange(n), 500).estimate(half(part))
    assert found.low > 0 and found.p < 0.001
    assert not found.models_agree
    assert Bootstrap(np.arange(n), 500).estimate(half(part[:2])).models_agree


def half(part_Sn: Any) -> Counts:
    part = np.asarray(part_Sn, dtype=float)
    return Counts(part, np.ones_like(part), np.full_like(part, 0.5), np.ones_like(part))


def test_interval_finds_an_effect_and_covers_a_null() -> None:
    rng = np.random.default_rng(1)
    bootstrap = Bootstrap(np.arange(200), 1000)
    planted = bootstrap.estimate(half(rng.random((3, 200)) < 0.7))
    assert 0.1 < planted.low < planted.difference < planted.high < 0.3
    assert planted.p < 1e-6
    nulls = [bootstrap.estimate(half(rng.random((3, 200)) < 0.5)) for _ in range(100)]
    assert sum(null.low <= 0 <= null.high for null in nulls) >= 88


def test_interval_width_is_the_binomial_one_and_copies_widen_it() -> None:
    """Half of 100 samples: standard error 5 points. As 50 pairs of copies it is 5 x sqrt(2)."""
    part = [[1] * 50 + [0] * 50]
    single = Bootstrap(np.arange(100)).estimate(half(part))
    pairs = Bootstrap(np.arange(100) // 2).estimate(half(part))
    assert (single.high - single.low) / (2 * 1.96) == pytest.approx(0.05, rel=0.1)
    assert (pairs.high - pairs.low) / (2 * 1.96) == pytest.approx(0.05 * np.sqrt(2), rel=0.1)


def test_holm_by_hand() -> None:
    """Sorted 0.01 x 3, 0.02 x 2, 0.03 x 1, never falling: 0.03, 0.04, 0.04."""
    assert holm(np.array([0.03, 0.01, np.nan, 0.02])) == pytest.approx([0.04, 0.03, np.nan, 0.04], nan_ok=True)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """70 samples of each kind; `wrong` has by far the highest loss, and its first token the highest nll."""
    kinds = [kind for kind in KINDS for _ in range(70)]
    noisy = np.array(kinds) == "wrong"
    bases = []
    for seed in range(3):
        drawn = handmade_scores.random_scores(len(kinds), seed)
        lengths = drawn.response_tokens + 1
        tokens = {name: np.random.default_rng(seed).random(lengths.sum()) for name in drawn.tokens}
        scores = handmade_scores.scores(lengths.tolist(), samples=drawn.samples, tokens=tokens)
        scores.samples["nll"][noisy] += 100
        first = scores.offsets[:-1][noisy]
        scores.tokens["nll"][first] += 100
        bases.append(base(scores, np.isin(np.arange(lengths.sum()), first), f"m{seed}", seed))
    return audit(items(kinds), bases, {"entropy+random": "entropy needs a column"}, [0.125], [0.5])


def mean(frame: pd.DataFrame, **where: Any) -> Any:
    rows = frame[frame["seed"].isna()]
    for name, value in where.items():
        rows = rows[rows[name] == value]
    assert len(rows) == 1
    return rows.iloc[0]


def test_audit_finds_what_was_planted(frame: pd.DataFrame) -> None:
    noise = mean(frame, what="samples", pruner="infobatch", sample_ratio=0.125, kind="wrong")
    assert (noise["share"], noise["n"]) == (pytest.approx(61 / 70), 70)
    assert noise["chance"] == pytest.approx(61 / 490)
    assert noise["p_holm"] < 0.001 and noise["low"] > 0.6
    dropped = mean(frame, what="tokens", pruner="ppl", token_ratio=0.5, kind="fact")
    assert dropped["share"] > 0.9 and dropped["low"] > 0.3
    first = mean(frame, what="tokens", pruner=FIRST, token_ratio=0.5, kind="fact")
    assert first["share"] < 0.1, "position 0 goes only where one token and the end are all there is"
    chance = frame[(frame["pruner"] == "random") & frame["seed"].isna()]
    assert not (chance["p_holm"] < 0.05).any()


def test_audit_covers_every_pruner_and_names_those_left_out(frame: pd.DataFrame) -> None:
    from prunegrid.audit.measure import WITHOUT_RATIO
    from prunegrid.pruners import JOINT, TOKEN

    joint = {*JOINT} - {*WITHOUT_RATIO}
    assert set(frame.loc[frame["what"] == "samples", "pruner"]) == {*SAMPLE, *joint}
    assert set(frame.loc[frame["what"] == "tokens", "pruner"]) == {*TOKEN, *joint, FIRST}
    gone = frame[frame["left_out"].notna()]
    assert gone[["what", "pruner", "left_out"]].to_numpy().tolist() == [
        ["samples", "entropy", "entropy needs a column"]
    ]
    text = markdown(frame, "Audit")
    assert "Entropy is left out: entropy needs a column" in text
    assert "| Entropy" not in text.partition("## Tokens")[0]
    assert "87.1 [+7" in text


def test_figure(frame: pd.DataFrame, tmp_path: Path) -> None:
    draw(frame, tmp_path / ".audit.png.tmp")
    assert (tmp_path / ".audit.png.tmp").read_bytes().startswith(b"\x89PNG")


def test_a_pruner_without_its_column_is_left_out_with_the_reason(tmp_path: Path) -> None:
    given = handmade_scores.random_scores(5)
    folder = handmade_scores.write(
        tmp_path / "m", replace(given, samples={**given.samples, "ifd": given.samples["nll"]})
    )
    path = folder / "samples.parquet"
    io.write_parquet(path, pq.read_table(path).drop_columns(["ifd"]))
    actual = files.unusable_methods([folder])
    assert list(actual) == ["ifd+random", "s-ifd+random"]
    assert "no sample column ifd, which ifd needs" in actual["ifd+random"]
    handmade_scores.write_extra(folder, "ifd", given, [1.0] * 5)
    assert files.unusable_methods([folder]) == {}


def test_target_trains_and_scores_the_replicas_only(tmp_path: Path) -> None:
    """Three base models and one reference; each optional score, and what it is derived from, once a base model."""
    names = set(complete_extras(audited_extras(load(DEFAULT))))
    jobs = {"extra_score": 3 * len(names - VECTOR_EXTRAS), "vector_score": 3 * len(names & VECTOR_EXTRAS)}
    assert {"ifd", "nll_alone", "reference_nll", "s_ifd"} <= names
    assert planned(tmp_path, "audit", config=DEFAULT) == {
        "world": 1,
        "dataset": 1,
        "model": 4,
        "score": 3,
        "gather_scores": 3,
        **{name: count for name, count in jobs.items() if count},
        "audit": 1,
    }


def test_target_refuses_an_experiment_without_a_sandbox(tmp_path: Path) -> None:
    config = {**DEFAULT, "sandbox": None, "models": {"m": {"path": "x"}}, "data_mirror": "y"}
    done = snakemake(tmp_path, "--dry-run", "audit", config=config)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "audit of sandbox: the experiment has no sandbox, so nothing in its data was planted" in output
