"""Optional scores that are made of the scores' own tables, against plain loops over real scores of a tiny model."""

import math
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from transformers import AutoConfig

from prunegrid.core.ragged import offsets_from_lengths
from prunegrid.experiment.training import Scoring
from prunegrid.pruners import Needs
from prunegrid.scoring import extra_passes, extra_streams
from prunegrid.scoring.extra import write_extra
from prunegrid.scoring.extra_files import source_digests
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.token_means import MEANS, means
from support.errors import refused
from support.tiny_llama import write_tiny_model


def made(name: str, scores: Path, model: Path, folder: Path, **inputs: Path) -> list:
    """The optional score's column, written beside nothing."""
    write_extra(name, scores, model, folder / f"{name}.parquet", Scoring(), **inputs)
    table = pq.read_table(folder / f"{name}.parquet")
    assert table["sample_id"].to_pylist() == pq.read_table(scores / "samples.parquet")["sample_id"].to_pylist()
    return table[name].to_pylist()


def test_functions_of_tokens_by_hand() -> None:
    """p = 1, 1/2, 1/4: errors 0, 1/2, 3/4. Of a vocabulary of 16, H = log 4 is half of log V; sigmoid(log 3) = 3/4."""
    tokens = {"nll": np.log([1.0, 2.0, 4.0]), "entropy": np.zeros(3)}
    np.testing.assert_allclose(MEANS["mean_error"](tokens, 16), [0, 0.5, 0.75], atol=1e-15)
    tokens = {"nll": np.log([1.0, 3.0, 3.0, 3.0]), "entropy": np.log([1.0, 1.0, 4.0, 17.0])}
    np.testing.assert_allclose(MEANS["upd"](tokens, 16), [0.5, 0.75, 0.375, 0], atol=1e-15)


def test_the_error_bounds_the_length_of_the_error_vector() -> None:
    """1 - p <= |p - y| <= sqrt(2) (1 - p), which is why it stands in for EL2N."""
    probability = np.random.default_rng(0).dirichlet(np.full(9, 0.3), 200)
    length = np.linalg.norm(probability - np.eye(9)[0], axis=1)
    error = MEANS["mean_error"]({"nll": -np.log(probability[:, 0])}, 9)
    assert np.all(error <= length + 1e-12)
    assert np.all(length <= math.sqrt(2) * error + 1e-12)


def test_means_are_of_each_sample_apart() -> None:
    assert means(np.array([1.0, 2.0, 6.0, 4.0]), np.array([0, 1, 4])).tolist() == [1.0, 4.0]
    assert means(np.empty(0), np.array([0])).tolist() == []


@pytest.mark.parametrize("block_tokens", [1, 2**22], ids=["a sample a block", "one block"])
def test_columns_of_means_equal_a_loop_over_tokens(
    block_tokens: int, tiny_model: Path, scores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prunegrid.scoring.reader.BLOCK_TOKENS", block_tokens)
    vocabulary = AutoConfig.from_pretrained(tiny_model).vocab_size
    expected: dict[str, list[float]] = {"mean_error": [], "upd": []}
    for row in pq.read_table(scores / "tokens.parquet").to_pylist():
        errors = [1 - math.exp(-loss) for loss in row["nll"]]
        pairs = zip(row["nll"], row["entropy"], strict=True)
        parts = [max(0.0, 1 - h / math.log(vocabulary)) / (1 + math.exp(-loss)) for loss, h in pairs]
        expected["mean_error"].append(sum(errors) / len(errors))
        expected["upd"].append(sum(parts) / len(parts))
    for name, values in expected.items():
        np.testing.assert_allclose(made(name, scores, tiny_model, tmp_path), values, rtol=1e-6, err_msg=name)


def test_frequencies_count_the_ids_of_all_responses(
    tiny_model: Path, scores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extra_streams, "ROWS", 3)
    responses = pq.read_table(scores / "tokens.parquet")["response_ids"].to_pylist()
    counts = Counter(token for response in responses for token in response)
    assert made("token_frequency", scores, tiny_model, tmp_path) == [[counts[t] for t in r] for r in responses]
    assert source_digests(tmp_path / "token_frequency.parquet") == ScoresFolder(scores).digests


def test_reference_loss_is_the_mean_of_the_tokens_of_the_reference(
    tiny_model: Path, scores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a pass of its own, or from `reference_nll` of the same reference, without one."""
    reference, other = (write_tiny_model(tmp_path / f"seed{seed}", seed=seed) for seed in (3, 4))
    shutil.copytree(scores, tmp_path / "scores")
    folder = ScoresFolder(tmp_path / "scores")
    by_pass = made("reference_loss", folder.path, tiny_model, tmp_path, reference_dir=reference)
    of_other = made("reference_loss", folder.path, tiny_model, tmp_path, reference_dir=other)
    write_extra(
        "reference_nll", folder.path, tiny_model, folder.extra_file("reference_nll"), Scoring(), reference_dir=reference
    )
    assert made("reference_loss", folder.path, tiny_model, tmp_path, reference_dir=other) == of_other != by_pass
    monkeypatch.setattr(extra_passes, "NllScorer", None)
    assert made("reference_loss", folder.path, tiny_model, tmp_path, reference_dir=reference) == by_pass
    tokens = folder.read(Needs({}, {"reference_nll": "test"}))
    expected = [sum(part) / len(part) for part in np.split(tokens.token("reference_nll"), tokens.offsets[1:-1])]
    np.testing.assert_allclose(by_pass, expected, rtol=1e-6)
    assert tokens.offsets.tolist() == offsets_from_lengths(tokens.response_tokens).tolist()


def test_a_model_that_is_not_the_scores_own_is_refused(scores: Path, tmp_path: Path) -> None:
    other = write_tiny_model(tmp_path / "other", seed=5)
    with refused(scores, "made for another model", fix="score again"):
        write_extra("upd", scores, other, tmp_path / "upd.parquet", Scoring())
    assert not (tmp_path / "upd.parquet").exists()
