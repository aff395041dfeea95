"""`prunegrid extra query_rank --query FILE`: the place at which a query set takes each sample."""

import json
import shutil
from pathlib import Path

import pytest

from prunegrid.cli import app
from prunegrid.data.datasets import write_dataset
from prunegrid.experiment.dataset import Dataset
from prunegrid.experiment.training import Scoring
from prunegrid.pruners import Needs
from prunegrid.scoring.extra import write_extra
from prunegrid.scoring.reader import ScoresFolder

NEEDS = Needs(samples={"query_rank": "rds"}, tokens={})


@pytest.fixture
def folder(scores: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scores, tmp_path / "scores"))


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    rows = [{"question": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(3)]
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_query_set_of_a_file_is_read_and_ranks_every_sample(
    folder: Path, questions: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["extra", "query_rank", "--model", tiny_model, "--scores", folder, "--query", questions]
    app.main([*map(str, command), "--field", "prompt=question", "--field", "response=answer"])
    said = capsys.readouterr()
    assert said.out == f"{folder / 'extra/query_rank.parquet'}\n"
    assert "samples: 3" in said.err
    actual = ScoresFolder(folder).read_samples(NEEDS).samples["query_rank"]
    assert sorted(actual.tolist()) == list(range(20))

    dataset = Dataset(name="q", path=str(questions), fields={"prompt": "question", "response": "answer"})
    write_dataset(dataset, str(questions), tmp_path / "q.parquet", tmp_path / "q.json")
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    out = ScoresFolder(other).extra_file("query_rank")
    write_extra("query_rank", other, tiny_model, out, Scoring(), query=tmp_path / "q.parquet")
    assert actual.tolist() == ScoresFolder(other).read_samples(NEEDS).samples["query_rank"].tolist()


def test_query_rank_without_a_query_set_is_one_line(folder: Path, tiny_model: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        app.main(["extra", "query_rank", "--model", str(tiny_model), "--scores", str(folder)])
    message = str(caught.value.code)
    assert "query_rank" in message and "--query" in message and "\n" not in message
    assert not (folder / "extra/query_rank.parquet").exists()
