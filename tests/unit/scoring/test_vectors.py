"""Columns of vectors: the mean hidden state of a response, its file, and what pruners read of it."""

import json
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForCausalLM

from prunegrid.experiment.training import Scoring
from prunegrid.pruners import Needs
from prunegrid.pruners.conversations import merge
from prunegrid.scoring.extra import write_extra
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.score import score
from prunegrid.scoring.vectors import read_vectors, write_vectors
from support import handmade_scores
from support.docs import code_blocks
from support.errors import refused

NEEDS = Needs(samples={"hidden_mean": "test"}, tokens={})


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, dataset: Path) -> ScoresFolder:
    folder = ScoresFolder(tmp_path_factory.mktemp("vectors"))
    score(tiny_model, dataset, folder.path, Scoring())
    write_extra("hidden_mean", folder.path, tiny_model, folder.extra_file("hidden_mean"), Scoring())
    return folder


def test_hidden_mean_equals_a_plain_loop(tiny_model: Path, extended: ScoresFolder) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model).double().eval()
    actual, rows = extended.read_samples(NEEDS).samples["hidden_mean"], extended.sequences()
    assert actual.dtype == np.float16 and actual.shape == (len(rows), model.config.hidden_size)
    for row in range(8):
        prompt, response = rows.ids(row)
        with torch.no_grad():
            hidden_TD = model.model(torch.tensor([prompt + response])).last_hidden_state[0]
        expected_D = sum(hidden_TD[len(prompt) + i] for i in range(len(response))) / len(response)
        np.testing.assert_allclose(actual[row], expected_D, rtol=1e-3, atol=1e-4)


def test_vectors_are_mapped_and_checked(extended: ScoresFolder, tmp_path: Path) -> None:
    file = extended.extra_file("hidden_mean")
    assert file.name == "hidden_mean.arrow" and "hidden_mean" in extended.columns("sample")
    assert extended.extra_digests(NEEDS) == {"hidden_mean": extended.digests}
    assert file in extended.check_files(NEEDS)
    values = read_vectors(file).values
    assert not values.flags.owndata and not values.flags.writeable
    with pa.ipc.open_file(str(file)) as arrow:
        assert arrow.num_record_batches == 1
        assert arrow.schema.field("hidden_mean").type == pa.list_(pa.float16(), values.shape[1])
    write_vectors(tmp_path / "a.arrow", "a", np.arange(3), np.arange(6.0).reshape(3, 2), {"data": "x"})
    assert read_vectors(tmp_path / "a.arrow").values.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert read_vectors(tmp_path / "a.arrow").digests == {"data": "x"}


@pytest.mark.parametrize("damage", [lambda file: file[:-20], lambda file: b"PAR1" + file, lambda file: b""])
def test_damaged_vectors_are_named(damage: Any, extended: ScoresFolder, tmp_path: Path) -> None:
    file = tmp_path / "x.arrow"
    file.write_bytes(damage(extended.extra_file("hidden_mean").read_bytes()))
    with refused(file, "damaged", fix="regenerate"):
        read_vectors(file)


def test_vectors_of_other_samples_are_refused(extended: ScoresFolder, tmp_path: Path) -> None:
    shutil.copytree(extended.path, tmp_path / "scores")
    folder = ScoresFolder(tmp_path / "scores")
    file = folder.extra_file("hidden_mean")
    ids, values, digests = read_vectors(file)
    write_vectors(file, "hidden_mean", ids[::-1], np.array(values), digests)
    with refused(file, "sample_id"):
        folder.read_samples(NEEDS)
    write_vectors(file, "hidden_mean", ids, np.array(values), digests | {"model": "0" * 64})
    with refused(file, "another model"):
        folder.read_samples(NEEDS)
    file.unlink()
    with refused(folder.tables["sample"], "hidden_mean", fix="prunegrid extra hidden_mean"):
        folder.read_samples(NEEDS)
    write_vectors(folder.path / "extra" / "mine.arrow", "mine", ids, np.array(values), {})
    assert folder.read_samples(Needs({"mine": "test"}, {})).samples["mine"].shape == values.shape


def test_values_that_float16_cannot_hold_are_refused(tmp_path: Path) -> None:
    with refused(tmp_path / "x.arrow", "sample_id 1", "float16"):
        write_vectors(tmp_path / "x.arrow", "x", np.arange(2), np.array([[1.0, 2.0], [3.0, 1e6]]), {})
    assert not any(tmp_path.iterdir())


def test_a_vector_that_is_not_finite_is_refused_by_its_sample() -> None:
    values = np.zeros((3, 4), np.float16)
    values[1, 2] = np.nan
    with refused("sample column hidden_mean", "nan", "sample_id 1"):
        handmade_scores.scores([1] * 3, samples={"hidden_mean": values}).require("sample", ("hidden_mean",), "test")


def test_checking_takes_far_less_memory_than_the_vectors() -> None:
    values = np.zeros((2**20, 64), np.float16)
    scores = handmade_scores.scores([1] * len(values), samples={"hidden_mean": values})
    tracemalloc.start()
    scores.require("sample", ("hidden_mean",), "test")
    assert tracemalloc.get_traced_memory()[1] < values.nbytes / 4
    tracemalloc.stop()


def test_conversations_have_the_mean_over_all_their_tokens() -> None:
    values = np.array([[1, 0], [3, 6], [5, 5]], np.float16)
    scores = handmade_scores.scores([1, 3, 2], samples={"hidden_mean": values})
    merged = merge(scores, np.array([0, 2]))
    assert merged.samples["hidden_mean"].tolist() == [[2.5, 4.5], [5, 5]]  # (1 x 1 + 3 x 3) / 4, (0 + 3 x 6) / 4


def test_taken_samples_have_their_vectors() -> None:
    values = np.arange(12, dtype=np.float16).reshape(4, 3)
    taken = handmade_scores.scores([1] * 4, samples={"hidden_mean": values}).take(np.array([2, 0]))
    assert taken.samples["hidden_mean"].tolist() == [[6, 7, 8], [0, 1, 2]]


def test_conversations_answer_by_answer_are_those_of_a_row_each(tiny_model: Path, tmp_path: Path) -> None:
    from prunegrid.data.datasets import write_dataset
    from prunegrid.experiment.dataset import Dataset

    rows = [
        {"messages": [{"role": role, "content": text * n} for text in ("a b", "c") for role in ("user", "assistant")]}
        for n in (1, 2, 5)
    ] + [{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    columns = []
    for turns in ("each", "all"):
        data, folder = tmp_path / f"{turns}.parquet", ScoresFolder(tmp_path / turns)
        source = str(tmp_path / "rows.json")
        write_dataset(Dataset(name="toy", path=source, turns=turns), source, data, data.with_suffix(".json"))
        score(tiny_model, data, folder.path, Scoring())
        write_extra("hidden_mean", folder.path, tiny_model, folder.extra_file("hidden_mean"), Scoring())
        columns.append(np.array(read_vectors(folder.extra_file("hidden_mean")).values))
    assert len(columns[0]) == 7
    np.testing.assert_allclose(*columns, rtol=2e-3, atol=2e-4)


def test_vectors_of_ones_own_as_docs_show_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = handmade_scores.random_scores(12)
    handmade_scores.write(tmp_path / "scores", given, meta={"digests": {}})
    vectors = np.random.default_rng(0).normal(size=(12, 5))
    np.save("embeddings.npy", vectors)
    (code,) = [block for block in code_blocks("docs/explanation/scoring.md", "python") if "embeddings.npy" in block]
    exec(compile(code, "docs/explanation/scoring.md", "exec"), {})
    read = ScoresFolder(tmp_path / "scores").read_samples(Needs({"embedding": "test"}, {}))
    assert read.sample_id.tolist() == given.sample_id.tolist()
    assert read.samples["embedding"].tolist() == vectors.astype(np.float16).tolist()
