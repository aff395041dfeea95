"""`prunegrid extra NAME --from FILE`: scores of one's own data, and the selection that is made by them."""

import json
from pathlib import Path
from typing import Any

import pytest

from prunegrid.cli import app
from support import handmade_scores

LENGTHS = [3, 2, 4, 5]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return handmade_scores.write(tmp_path / "scores", handmade_scores.scores(LENGTHS, samples={"nll": [1, 2, 3, 4]}))


def judge(folder: Path, scores: list[Any]) -> Path:
    path = folder.parent / "judge.jsonl"
    path.write_text("".join(json.dumps({"sample_id": i, "rating": s}) + "\n" for i, s in enumerate(scores)))
    return path


def failure(*arguments: Any) -> str:
    with pytest.raises(SystemExit) as caught:
        app.main([str(argument) for argument in arguments])
    assert isinstance(caught.value.code, str), "a message, and so exit code 1"
    return caught.value.code


def test_scores_of_a_file_choose_the_samples(folder: Path, capsys: Any) -> None:
    path, out = judge(folder, [4, 1, 2, 3]), folder.parent / "out"
    command = ["extra", "easy", "--from", path, "--scores", folder, "--column", "rating", "--source", "a judge"]
    app.main([*map(str, command), "--direction", "lowest", "--id", "sample_id=sample_id"])
    said = capsys.readouterr().out
    assert said == f"easy: a number for each sample, 4 samples, from rating of {path}\n"
    prune = ["prune", "--scores", folder, "--pair", "imported+random", "--option", "sample_scores=easy"]
    prune += ["--samples", "2", "--out", out]
    message = failure(*prune)
    assert "imported+random: sample_direction: is not given, but lower scores of easy are better" in message
    assert not out.exists()
    app.main([*map(str, prune), "--option", "sample_direction=lowest", "--json"])
    summary = json.loads(capsys.readouterr().out)
    assert summary["n_kept_samples"] == 2
    assert summary["extras"]["easy"]["source"] == "a judge"
    assert summary["inputs"].keys() >= {"../scores/extra/easy.parquet"}


@pytest.mark.parametrize(
    ("scores", "arguments", "message"),
    [
        ([1, 2, 3], [], "1 of 4 samples have no score, the first: sample_id 3 (sample_id 3); give every sample one"),
        ([1, 2, "3", 4], [], "judge.jsonl:3: rating is '3', not a number; write numbers without quotes"),
        ([1, 2, 3, 4], ["--id", "uid"], "uid"),
        ([1, 2, 3, 4], ["--column", "score"], "has no scores in score, only the columns sample_id, rating; set column"),
        (
            [1, 2, 3, 4],
            ["--model", "m"],
            "reads a file, and no model; leave --model, --reference and --query out",
        ),
    ],
)
def test_what_cannot_be_imported_is_one_line(
    folder: Path, scores: list[Any], arguments: list[str], message: str
) -> None:
    path = judge(folder, scores)
    text = failure("extra", "quality", "--from", path, "--scores", folder, "--column", "rating", *arguments)
    assert message in text and "\n" not in text
    assert not (folder / "extra").exists()


def test_a_score_needs_a_model_or_a_file(folder: Path) -> None:
    assert "--model: is missing; name the model that was scored with, or a file" in failure(
        "extra", "ifd", "--scores", folder
    )
    text = failure("extra", "nll", "--from", judge(folder, [1, 2, 3, 4]), "--scores", folder, "--column", "rating")
    assert "name of a column that prunegrid makes; choose another" in text
