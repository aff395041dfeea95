"""The recipes of docs/how-to/import-scores.md: files as other tools write them, made by hand, become columns of scores.

Sources of the formats, read in November 2026: hkust-nlp/deita, src/deita/pipeline/score_pipeline.py (f3c18fc);
gpt4life/alpagasus, rating/get_scores.py (f251fe8); UCSC-REAL/DS2, LLM_scoring/scoring.py (1016bc7); princeton-nlp/LESS,
less/data_selection/matching.py (1e4afda); OpenDataArena/ODA-DataScorer, the READMEs' "Output Results".
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from prunegrid.core import files
from prunegrid.experiment.score_file import ScoreFile
from prunegrid.pruners import Needs
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.score_file import import_scores
from support import handmade_scores
from support.docs import code_blocks
from support.errors import refused

ROWS = [0, 1, 1, 2, 3]  # of the source, for five samples: row 1 is a conversation of two answers


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Scores of four rows of a source, in the directory that the recipes' files are in."""
    monkeypatch.chdir(tmp_path)
    given = handmade_scores.scores([2] * 5, samples={"nll": [1] * 5})
    folder = handmade_scores.write(tmp_path / "scores", given, meta={"digests": {"model": "m"}})
    table = pq.read_table(folder / "samples.parquet").append_column("row", pa.array(ROWS, pa.int64()))
    files.write_parquet(folder / "samples.parquet", table)
    files.write_parquet(folder / "data.parquet", pa.table({"sample_id": range(5), "row": ROWS}))
    files.write_json(folder / "data.json", {"rows": 4})
    return folder


def run_script(number: int) -> None:
    """A script of the section "Recipes", as the page has it, in the current directory."""
    (code,) = (block for block in code_blocks("docs/how-to/import-scores.md", "python") if f"# {number}" in block)
    exec(compile(code, f"docs/how-to/import-scores.md, script {number}", "exec"), {})


def column(folder: Path, name: str, **settings: Any) -> list[float]:
    import_scores(name, folder, ScoreFile.model_validate(settings), folder / "extra" / f"{name}.parquet")
    return list(ScoresFolder(folder).read_samples(Needs({name: "test"}, {})).samples[name])


def write_deita() -> None:
    """ShareGPT rows again, a number a turn: 1 x 2, 2 x 3 + 1 x 1, 4 x 0.5, 3 x 3."""
    talk = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    lists = {"quality": [[1.0], [2.0, 1.0], [4.0], [3.0]], "complexity": [[2.0], [3.0, 1.0], [0.5], [3.0]]}
    for name, given in lists.items():
        rows = [{"conversations": talk * len(scores), f"{name}_scores": scores} for scores in given]
        Path(f"{name}.json").write_text(json.dumps(rows, indent=2))


def test_deita(folder: Path) -> None:
    write_deita()
    run_script(1)
    assert column(folder, "deita", file="deita.jsonl") == [2, 7, 7, 2, 9]


def test_deita_of_two_data_sets_is_refused(folder: Path) -> None:
    write_deita()
    Path("quality.json").write_text(json.dumps([{"quality_scores": [1.0]}]))
    with pytest.raises(ValueError, match="zip"):
        run_script(1)


def test_ds2_and_less(folder: Path) -> None:
    """Overall ratings 7, none, 3, 9; LESS's tensor is float32, of the training file's order."""
    torch.save([[5, 6, 7, 7], [0, 0, 0, 0], [1, 2, 3, 3], [9, 9, 9, 9]], "output_labels.pt")
    torch.save(torch.tensor([0.25, -1.5, 0.0, 3.0]), "data_influence_score.pt")
    run_script(2)
    with refused("ds2.jsonl", "2 of 5 samples have no score", fix="missing: last"):
        column(folder, "ds2", file="ds2.jsonl")
    rated = column(folder, "ds2", file="ds2.jsonl", missing="last")
    assert [rated[0], *rated[3:]] == [7, 3, 9] and max(rated[1:3]) < 3
    assert column(folder, "less", file="less.jsonl") == [0.25, -1.5, -1.5, 0, 3]


def test_alpagasus(folder: Path) -> None:
    """The rows again, in order, without an id: -1 where no grade was found comes last by itself."""
    rows = [{"instruction": "q", "output": "a", "review": "...", "score": score} for score in (4.5, -1, 5.0, 3.0)]
    Path("scores.json").write_text(json.dumps(rows, indent=4))
    assert column(folder, "alpagasus", file="scores.json", id="order") == [4.5, -1, -1, 5, 3]


def test_open_data_arena(folder: Path) -> None:
    """Lines as the merge of several processes leaves them: not in order."""
    rows = [
        {"id": i, "scores": {"DeitaQScorer": {"score": score}, "PPLScorer": {"score": 9.0}}}
        for i, score in ((2, 1.5), (0, 4.5), (3, 2.0), (1, 3.0))
    ]
    Path("pointwise_scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"column": "scores.DeitaQScorer.score", "id": {"row": "id"}}
    assert column(folder, "oda", file="pointwise_scores.jsonl", **settings) == [4.5, 3, 3, 1.5, 2]
