"""Optional scores that the scoring pass computes (`scoring.extra`): those of a pass each, bit for bit."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import prunegrid as pg
from prunegrid.core.errors import PrunegridError
from prunegrid.experiment.layout import extra_name
from prunegrid.experiment.training import Scoring
from prunegrid.pruners.columns import EXTRAS, PASS_EXTRAS, REFERENCE_EXTRAS, VECTOR_EXTRAS
from prunegrid.scoring.extra import write_extra
from prunegrid.scoring.extra_files import gather_extras
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.score import score
from prunegrid.scoring.vectors import read_vectors
from prunegrid.scoring.worker import score_shards
from prunegrid.scoring.writer import gather
from support.errors import refused
from support.tiny_llama import write_tiny_model

NAMES = sorted(PASS_EXTRAS)
OWN_DATA = sorted({*NAMES} - REFERENCE_EXTRAS)
SETTINGS = Scoring(max_length=60, batch_tokens=200)


def column(folder: Path, name: str) -> np.ndarray:
    file = folder / "extra" / extra_name(name)
    if name in VECTOR_EXTRAS:
        return np.array(read_vectors(file).values)
    values = pq.read_table(file)[name].combine_chunks()
    return (values.flatten() if EXTRAS[name] == "token" else values).to_numpy()


def assert_equal(one: Path, other: Path, names: Any) -> None:
    for name in names:
        np.testing.assert_array_equal(column(one, name), column(other, name), err_msg=name)
        assert ScoresFolder(one).extra_digests(pg_needs(name)) == ScoresFolder(other).extra_digests(pg_needs(name))


def pg_needs(name: str) -> Any:
    from prunegrid.pruners import Needs

    return Needs({name: "test"}, {})


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("reference") / "r", seed=5)


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, dataset: Path, reference: Path) -> Path:
    """The scores, and each optional score by a pass of its own."""
    folder = tmp_path_factory.mktemp("apart")
    score(tiny_model, dataset, folder, SETTINGS)
    for name in NAMES:
        of_reference = reference if name in REFERENCE_EXTRAS else None
        file = ScoresFolder(folder).extra_file(name)
        write_extra(name, folder, tiny_model, file, SETTINGS, reference_dir=of_reference, data=dataset)
    return folder


@pytest.mark.parametrize("names", [NAMES, ["hidden_mean"], ["prompt_attention", "ifd"], ["sequence_entropy"]], ids=len)
def test_one_pass_gives_what_a_pass_each_gives(
    names: list[str], tiny_model: Path, dataset: Path, reference: Path, apart: Path, tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"extra": names})
    meta = score(tiny_model, dataset, tmp_path, settings, reference=reference)
    assert meta["extra"] == names and meta["digests"] == ScoresFolder(apart).digests
    assert {file.name for file in (tmp_path / "extra").iterdir()} == {extra_name(name) for name in names}
    assert_equal(tmp_path, apart, names)
    for table in ("samples", "tokens"):
        one, other = (pq.read_table(folder / f"{table}.parquet") for folder in (tmp_path, apart))
        if "sequence_entropy" in names:  # its head runs over prompts and responses at once
            assert one.schema == other.schema
            difference = [one[c].combine_chunks() for c in ("nll",)], [other[c].combine_chunks() for c in ("nll",)]
            flat = [part[0].flatten() if table == "tokens" else part[0] for part in difference]
            np.testing.assert_allclose(*(part.to_numpy() for part in flat), rtol=1e-5, atol=1e-6)
        else:
            assert one.equals(other)


def test_without_the_key_nothing_is_recorded(apart: Path) -> None:
    assert "extra" not in Scoring().model_dump(mode="json")
    assert "extra" not in json.loads((apart / "meta.json").read_text())


def test_shards_are_gathered(tiny_model: Path, dataset: Path, reference: Path, apart: Path, tmp_path: Path) -> None:
    """Batches of a shard are others than those of the whole, so that sums may be rounded otherwise."""
    settings, parts = SETTINGS.model_copy(update={"extra": NAMES}), [tmp_path / str(number) for number in (1, 2, 3)]
    for number, part in enumerate(parts, 1):
        score(tiny_model, dataset, part, settings, shard=(number, 3), reference=reference)
    gather_extras(parts, tmp_path / "scores", NAMES)
    gather(parts, tmp_path / "scores")
    for name in NAMES:
        close = {"rtol": 2e-3, "atol": 2e-4} if name in VECTOR_EXTRAS else {"rtol": 1e-4, "atol": 1e-6}
        np.testing.assert_allclose(column(tmp_path / "scores", name), column(apart, name), **close, err_msg=name)
    folder = ScoresFolder(tmp_path / "scores")
    assert folder.read_samples(pg_needs("hidden_mean")).samples["hidden_mean"].shape[0] == folder.meta["samples"]
    changed = json.loads((parts[1] / "meta.json").read_text()) | {"extra": ["ifd"]}
    (parts[1] / "meta.json").write_text(json.dumps(changed))
    with refused(parts[1] / "meta.json", "extra"):
        gather(parts, tmp_path / "other")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["s_ifd"], "s_ifd is derived from nll_alone"),
        (["token_frequency"], "token_frequency is made from the finished scores"),
        (["nll"], "'nll' is not an optional score"),
        (["ifd", "ifd"], "ifd is named twice"),
    ],
)
def test_names_that_no_pass_computes_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scoring(extra=names)


def test_models_without_attention_are_refused_before_the_pass(tiny_model: Path, dataset: Path, tmp_path: Path) -> None:
    from support.tiny_architectures import write_model

    gpt2 = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
    folder = write_model(tmp_path / "gpt2", tiny_model, **gpt2)
    for name in ("prompt_attention", "fastv_layer2"):
        with refused(folder, name, "model type gpt2", fix="leave it out"):
            score(folder, dataset, tmp_path / "scores", SETTINGS.model_copy(update={"extra": [name]}))
    score(folder, dataset, tmp_path / "scores", SETTINGS.model_copy(update={"extra": ["hidden_mean", "ifd"]}))
    assert column(tmp_path / "scores", "hidden_mean").shape[1] == 32


ROWS = [{"prompt": f"what is {i} and {i * 7}?", "response": "it is " + "so " * (1 + i * 5 % 13)} for i in range(24)]


def own_scores(model: Path, out: Path, names: list[str], shards: int = 5, **settings: Any) -> Path:
    pg.score(ROWS, model, out, max_length=60, batch_tokens=64, shards=shards, extra=names, **settings)
    return out


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    folder = own_scores(tiny_model, tmp_path_factory.mktemp("own") / "scores", [])
    settings = Scoring(max_length=60, batch_tokens=64)
    for name in OWN_DATA:
        write_extra(name, folder, tiny_model, ScoresFolder(folder).extra_file(name), settings)
    return folder


@pytest.mark.parametrize("shards", [1, 5])
def test_own_data_have_what_a_pass_each_gives(shards: int, tiny_model: Path, own: Path, tmp_path: Path) -> None:
    assert_equal(own_scores(tiny_model, tmp_path / "s", OWN_DATA, shards), own, OWN_DATA)
    assert not (tmp_path / "s" / ".unfinished").exists()


@pytest.mark.parametrize("kept", [1, 3, 7])
def test_an_interrupted_pass_resumes(
    kept: int, tiny_model: Path, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many shards, the last ones of responses alone; what is scored already is not scored again."""
    import prunegrid.scoring.devices as devices

    done: list[str] = []

    def stopping(folder: Any, *given: Any) -> Any:
        add = type(folder).add

        def limited(self: Any, number: int, *values: Any) -> None:
            if len(done) == kept:
                raise KeyboardInterrupt
            add(self, number, *values)
            done.append(f"{self.path.name}/{number}")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(folder), "add", limited)
            return score_shards(folder, *given)

    with monkeypatch.context() as patch:
        patch.setattr(devices, "score_shards", stopping)
        with pytest.raises(KeyboardInterrupt):
            own_scores(tiny_model, tmp_path / "s", OWN_DATA)
    files = sorted((tmp_path / "s" / ".unfinished").rglob("shards/*.parquet"))
    stamps = {file: file.stat().st_mtime_ns for file in files}
    assert len(files) == kept == len(done)
    assert any("alone" in file.parts for file in files) == (kept > 5)
    monkeypatch.setattr(shutil, "rmtree", lambda path, **given: None)
    own_scores(tiny_model, tmp_path / "s", OWN_DATA)
    assert {file: file.stat().st_mtime_ns for file in files} == stamps
    assert_equal(tmp_path / "s", own, OWN_DATA)


@pytest.mark.slow
def test_several_processes_give_the_same(tiny_model: Path, own: Path, tmp_path: Path) -> None:
    names = ["hidden_mean", "nll_alone", "prompt_attention"]
    assert_equal(own_scores(tiny_model, tmp_path / "s", names, devices="cpu,cpu", threads=2), own, names)


def test_scores_that_are_there_without_the_column_name_the_command(tiny_model: Path, tmp_path: Path) -> None:
    out = own_scores(tiny_model, tmp_path / "s", [])
    with refused(out, "hidden_mean", fix="prunegrid extra hidden_mean"):
        own_scores(tiny_model, out, ["hidden_mean"])
    assert not (out / "extra").exists()
    with refused("extra reference_nll", "reference model", fix="prunegrid extra reference_nll"):
        own_scores(tiny_model, tmp_path / "t", ["reference_nll"])
    with pytest.raises(PrunegridError, match="not an optional score"):
        own_scores(tiny_model, tmp_path / "t", ["nonsense"])


def test_bfloat16_gives_the_same_bits_too(tiny_model: Path, dataset: Path, tmp_path: Path) -> None:
    names = ["hidden_mean", "prompt_attention", "fastv_rank", "nll_alone"]
    plain = SETTINGS.model_copy(update={"dtype": "bfloat16"})
    score(tiny_model, dataset, tmp_path / "apart", plain)
    for name in names:
        write_extra(name, tmp_path / "apart", tiny_model, ScoresFolder(tmp_path / "apart").extra_file(name), plain)
    score(tiny_model, dataset, tmp_path / "one", plain.model_copy(update={"extra": names}))
    assert_equal(tmp_path / "one", tmp_path / "apart", names)
    assert torch.get_default_dtype() == torch.float32
