"""The sentences that end `prunegrid score` and `prunegrid prune`, on known numbers."""

from pathlib import Path
from typing import Any

from prunegrid.pruners import PruningSpec
from prunegrid.selection.prune import prune
from prunegrid.selection.sentences import scoring_sentences, selection_sentences
from prunegrid.selection.summary import SelectionSummary
from support import handmade_scores

META = {
    "samples": 1200,
    "tokens": 34567,
    "seconds": 12.3,
    "tokens_per_second": 4000.4,
    "max_length": 2048,
    "truncated": 1,
    "fully_cut": 2,
    "left_out": {},
    "rendering": {"refused_by_template": {"mine.jsonl:3: no": 2, "others": 1}},
}
COUNTS = {"rows": 1210, "samples": 1202, "left_out": {"empty_response": 8, "empty_prompt": 0}}


def summary(tmp_path: Path, lengths: list[int], method: str, nll: list[float], **given: Any) -> SelectionSummary:
    n, total = len(lengths), sum(lengths)
    truncated = given.pop("truncated", None)
    samples = {"nll": nll, "ppl": nll, "entropy": given.pop("entropy", nll)}
    scores = handmade_scores.scores(lengths, samples=samples, tokens={"nll": range(total)}, truncated=truncated)
    folder = handmade_scores.write(tmp_path / f"scores{n}", scores)
    return prune(
        folder, tmp_path / "out", PruningSpec(**{"method": method, "sample_ratio": 0.5, "token_ratio": 0.5} | given), 7
    )


def test_scoring_says_what_was_read_left_out_and_cut() -> None:
    assert scoring_sentences(META, COUNTS) == [
        "Scored 1,200 answers of 1,210 rows, 34,567 tokens, in 12.3 s, 4,000 tokens a second.",
        "Left out of the data: 8 empty responses, 2 whose prompt fills 2,048 tokens, 3 that the chat template refuses.",
        "1 answer cut off at 2,048 tokens, without its end.",
    ]


def test_scoring_that_left_nothing_out_says_so() -> None:
    meta = META | {"truncated": 0, "fully_cut": 0, "rendering": {}, "left_out": {"fastv": "no attention"}}
    assert scoring_sentences(meta)[1:] == [
        "Left out of the data: nothing.",
        "No answer was cut off at 2,048 tokens; no fastv (no attention).",
    ]


def test_pair_says_what_was_kept_and_what_is_empty(tmp_path: Path) -> None:
    """Samples 0, 2 of 3, 2, 4 and 4 tokens: 1 + 2 of 7; the first keeps only its end, the second has none."""
    made = summary(tmp_path, [3, 2, 4, 4], "infobatch+ppl", [4, 1, 3, 2], truncated=[False, False, True, False])
    assert selection_sentences(made, META, COUNTS) == [
        "Kept 2 of 4 samples (50%, requested 50%) and 3 of their 7 response tokens (42.9%, requested 50%): "
        "23.1% of all response tokens.",
        "Infobatch chose the samples and ppl the tokens (seed 7), without thresholds or filling.",
        "Kept answers: 1 cut off, without its end; 1 with nothing left but its end. "
        "Left out of the data: 8 empty responses, 2 whose prompt fills 2,048 tokens, 3 that the chat template refuses.",
    ]


def test_qtuning_says_what_was_filled_in_and_that_thresholds_are_degenerate(tmp_path: Path) -> None:
    made = summary(tmp_path, [4] * 4, "qtuning", [1.0] * 4, options={"window": 2})
    assert made.paths is not None
    text = selection_sentences(made)[1]
    assert f"filled in from neither: {made.paths['filled']}, trimmed: {made.paths['trimmed']}" in text
    assert text.endswith("in 2 of 2 windows the thresholds are degenerate (low = high).")
    fine = summary(tmp_path, [4] * 8, "qtuning", [1, 1, 9, 9, 5, 5, 5, 5], entropy=[9, 9, 1, 1, 5, 5, 5, 5])
    assert "degenerate" not in selection_sentences(fine)[1]


def test_qtuning_says_how_many_token_targets_were_missed(tmp_path: Path) -> None:
    """Two windows of 2 x (10 + 4) tokens, a target of 7 each, and one constant sample of 14 kept whole, as Q4."""
    made = summary(tmp_path, [4] * 4, "qtuning", [1.0] * 4, options={"window": 2, "budget": "batch"})
    assert selection_sentences(made)[1].endswith(
        " 2 of 2 token targets missed, since Q2 holds too few tokens; 2 cost no token."
    )


def test_summary_of_version_0_1_has_no_counts_of_answers(tmp_path: Path) -> None:
    made = summary(tmp_path, [3, 2, 4], "infobatch+ppl", [4, 1, 3]).model_copy(
        update={"truncated": None, "only_end": None}
    )
    assert len(selection_sentences(made)) == 2
