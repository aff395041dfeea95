"""Where a folder of scores finds the tokenizer and the data that were scored."""

import json
import shutil
from pathlib import Path

import pytest

from prunegrid.models import load_tokenizer
from prunegrid.pruners import Needs
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.target import refuse_foreign
from support.errors import refused


@pytest.fixture
def workflow_scores(tmp_path: Path, scores: Path, tiny_model: Path, dataset: Path) -> ScoresFolder:
    """The scores as the workflow lays them out, with model and data beside them."""
    shutil.copytree(scores, tmp_path / "scores" / "tiny")
    shutil.copytree(tiny_model, tmp_path / "models" / "tiny")
    (tmp_path / "data").mkdir()
    shutil.copyfile(dataset, tmp_path / "data" / "toy.parquet")
    (tmp_path / "experiment.json").write_text(json.dumps({"dataset": {"name": "toy"}}))
    return ScoresFolder(tmp_path / "scores" / "tiny")


def test_origin_in_a_results_folder_is_beside_the_scores(workflow_scores: ScoresFolder, tmp_path: Path) -> None:
    assert workflow_scores.tokenizer_dir() == tmp_path / "models" / "tiny"
    assert workflow_scores.data_file() == tmp_path / "data" / "toy.parquet"


def test_origin_in_the_scores_comes_first(workflow_scores: ScoresFolder, tiny_model: Path, dataset: Path) -> None:
    load_tokenizer(tiny_model).save_pretrained(workflow_scores.path / "tokenizer")
    shutil.copyfile(dataset, workflow_scores.path / "data.parquet")
    assert workflow_scores.tokenizer_dir() == workflow_scores.path / "tokenizer"
    assert workflow_scores.data_file() == workflow_scores.path / "data.parquet"


def test_missing_optional_score_names_its_command(workflow_scores: ScoresFolder, scores: Path, tmp_path: Path) -> None:
    """With the model and the scores in it; scores made by hand have no model."""
    model, folder = tmp_path / "models" / "tiny", workflow_scores.path
    with refused(folder / "samples.parquet", "ifd", fix=f"`prunegrid extra ifd --model {model} --scores {folder}`"):
        workflow_scores.read_samples(Needs(samples={"ifd": "ifd"}, tokens={}))
    command = f"prunegrid extra reference_nll --model DIR --scores {scores} --reference DIR"
    assert ScoresFolder(scores).extra_command("reference_nll") == command


def test_scores_of_a_workflow_are_not_replaced(workflow_scores: ScoresFolder, tmp_path: Path) -> None:
    with refused(workflow_scores.path, "the experiment in", tmp_path, fix="--out"):
        refuse_foreign(workflow_scores.path)


def test_origin_that_is_not_there_is_named(scores: Path) -> None:
    with refused(scores, "tokenizer", scores / "tokenizer" / "tokenizer.json", fix="score again"):
        ScoresFolder(scores).tokenizer_dir()
    with refused(scores, "data set", scores / "data.parquet", fix="score again"):
        ScoresFolder(scores).data_file()


def test_data_of_other_content_are_refused(workflow_scores: ScoresFolder, tmp_path: Path) -> None:
    file = tmp_path / "data" / "toy.parquet"
    file.write_bytes(file.read_bytes() + b"x")
    with refused(file, "another data", fix="score again"):
        workflow_scores.data_file()
