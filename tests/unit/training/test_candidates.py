"""Candidates scored packed have the scores of the padded pass, in fewer forwards."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from prunegrid.pruners import Scores
from prunegrid.scoring.batches import batches_by_length
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.training.candidates import CandidateScorer
from prunegrid.training.packed_attention import PACKED
from prunegrid.training.packed_passes import packed_passes
from support.tiny_architectures import MODELS, write_model


def candidates(
    model: Path, scores: Path, attention: bool, packed: bool, batch_tokens: int, maximum: Any = lambda n: n
) -> CandidateScorer:
    rows = ScoresFolder(scores).sequences()
    made = CandidateScorer(rows, batch_tokens, attention)
    kernel = PACKED if packed else "sdpa"
    model_alone = AutoModelForCausalLM.from_pretrained(model, attn_implementation=kernel).eval()
    assert made.attach(model_alone, lambda run: run(), maximum) is None
    return made


def assert_close(actual: Scores, expected: Scores) -> None:
    """Within 1e-5: float32 sums in another order. Everything that is no float is equal."""
    for name in ("sample_id", "response_tokens", "truncated", "offsets", "prompt_tokens"):
        np.testing.assert_array_equal(getattr(actual, name), getattr(expected, name))
    for kind in ("samples", "tokens"):
        assert getattr(actual, kind).keys() == getattr(expected, kind).keys()
        for name, column in getattr(expected, kind).items():
            np.testing.assert_allclose(getattr(actual, kind)[name], column, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("batch_tokens", [10, 100, 10_000], ids=["a sample a pass", "some", "one pass"])
@pytest.mark.parametrize("architecture", MODELS)
def test_packed_scores_are_the_padded_passs(
    architecture: str, batch_tokens: int, tmp_path: Path, tiny_model: Path, scores: Path
) -> None:
    """NLL, entropy and both attention scores, with sliding windows and grouped heads, in any order of the samples."""
    model = write_model(tmp_path / "model", tiny_model, **MODELS[architecture] | {"max_position_embeddings": 256})
    rows = np.random.default_rng(0).permutation(20)[:13]
    packed, padded = (candidates(model, scores, True, packed, batch_tokens) for packed in (True, False))
    assert_close(packed.score(rows), padded.score(rows))
    assert packed.packed and not padded.packed
    assert packed.counts["scoring_passes"] <= padded.counts["scoring_passes"]


def test_without_attention_only_the_heads_scores_are_made(tiny_model: Path, scores: Path) -> None:
    packed, padded = (candidates(tiny_model, scores, False, packed, 100) for packed in (True, False))
    actual = packed.score(np.arange(20))
    assert set(actual.tokens) == {"nll", "entropy"}
    assert_close(actual, padded.score(np.arange(20)))


def test_no_candidates_make_the_other_ranks_forwards(tiny_model: Path, scores: Path) -> None:
    """A rank without candidates at an epoch's end takes part in all forwards, which ZeRO-3 needs."""
    idle = candidates(tiny_model, scores, True, True, 100, maximum=lambda n: 3)
    forwards: list[Any] = []
    idle.model.get_decoder().register_forward_pre_hook(lambda *given: forwards.append(given))
    actual = idle.score(np.empty(0, np.int64))
    assert len(actual) == 0 and len(actual.tokens["fastv"]) == 0
    assert len(forwards) == idle.counts["scoring_passes"] == 3


def test_a_step_of_32_candidates_takes_a_fifth_of_the_forwards() -> None:
    """Lengths as of an instruction data set: log-normal, 400 tokens on average, 2,048 at most."""
    random, counts = np.random.default_rng(0), {}
    steps = [random.lognormal(5.9, 0.7, 32).astype(np.int64).clip(20, 2048) for _ in range(50)]
    for name, divide in (("packed", packed_passes), ("padded", batches_by_length)):
        counts[name] = np.mean([len(list(divide(step, 8192))) for step in steps])
    fewest = np.mean([np.ceil(step.sum() / 8192) for step in steps])
    assert counts["packed"] == fewest, "no division has fewer passes than the tokens fill"
    assert counts["packed"] < 0.2 * counts["padded"]


@pytest.mark.parametrize("budget", [1, 50, 100, 300, 10_000])
def test_packed_passes_hold_every_sample_within_the_budget(budget: int) -> None:
    lengths = np.random.default_rng(1).integers(1, 200, 60)
    made = packed_passes(lengths, budget)
    assert sorted(np.concatenate(made).tolist()) == list(range(60))
    for part in made:
        assert len(part) == 1 or lengths[part].sum() <= budget
        assert (np.diff(lengths[part]) <= 0).all()
    assert packed_passes(np.empty(0, np.int64), budget) == []


def test_packed_scoring_launches_fewer_operations(tiny_model: Path, scores: Path) -> None:
    """Counted by torch's profiler: what a GPU is given to do, and on a small model the host's whole cost."""
    from torch.profiler import ProfilerActivity, profile

    launched = {}
    for packed in (True, False):
        one = candidates(tiny_model, scores, True, packed, 8192)
        with profile(activities=[ProfilerActivity.CPU]) as watched:
            one.score(np.arange(20))
        launched[packed] = sum(event.count for event in watched.key_averages() if event.key == "aten::mm")
    assert launched[True] < launched[False] / 2


def test_no_gradient_is_computed(tiny_model: Path, scores: Path) -> None:
    one = candidates(tiny_model, scores, True, True, 100)
    seen: list[torch.Tensor] = []
    one.model.get_decoder().register_forward_hook(lambda *given: seen.append(given[-1].last_hidden_state))
    one.score(np.arange(5))
    assert seen and not any(hidden.requires_grad for hidden in seen)
