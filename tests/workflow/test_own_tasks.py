"""Benchmarks of one's own on a very small sandbox, through Snakemake: a section of the config, and a folder."""

import copy
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from prunegrid.experiment import layout
from prunegrid.experiment.config import load
from prunegrid.experiment.grid import Cell, cells
from prunegrid.status.folder import Files
from prunegrid.status.reasons import score_reasons
from prunegrid.table.build import build
from support.snakemake_runs import CORES, DEFAULT, planned, snakemake
from support.toy_tasks import write_jsonl

pytestmark = pytest.mark.slow

CONFIG: dict[str, Any] = copy.deepcopy(DEFAULT)
CONFIG["models"] = {name: {"pretrain": {"seed": seed, "steps": 20}} for seed, name in enumerate("ab")}
CONFIG["variants"] = ["random+random"]
for _benchmark in CONFIG["evaluation"]["benchmarks"].values():
    _benchmark["limit"] = 4
SVAMP = {
    "kind": "generate",
    "prompt": "Question: {{Body}} {{Question}}\nAnswer:",
    "answer": "{{Answer}}",
    "metric": "number",
    "stop": ["Question:"],
    "max_tokens": 16,
    "data": {"path": "svamp.jsonl"},
}
ROWS = [
    {"ID": f"chal-{i}", "Body": f"Ann has {i} cats.", "Question": "How many has she?", "Answer": float(i)}
    for i in range(4)
]
QUIZ = """task: quiz
output_type: multiple_choice
dataset_path: json
dataset_kwargs: {data_files: {test: svamp.jsonl}}
test_split: test
doc_to_text: "{{Body}} {{Question}}"
doc_to_choice: !function utils.choices
doc_to_target: 0
"""
UTILS = "def choices(doc):\n    return [str(doc['Answer']), 'none']\n"
CELLS = ["a/zero-shot", "b/zero-shot"]
RESULTS = "results/sandbox"


def targets(config: dict[str, Any]) -> list[str]:
    names = config["evaluation"]["benchmarks"]
    scores = [f"{RESULTS}/evaluation/{cell}/{name}.json" for cell in CELLS for name in names]
    return [*scores, f"{RESULTS}/experiment.json"]


def run(folder: Path, config: dict[str, Any]) -> list[list[str]]:
    """Evaluate both cells; each cell's benchmarks that its last job evaluated."""
    done = snakemake(folder, "--cores", CORES, *targets(config), config=config)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    logs = [(folder / RESULTS / f"logs/evaluate/{cell}.log").read_text() for cell in CELLS]
    return [[line.partition(":")[0] for line in log.splitlines() if ": evaluated, " in line] for log in logs]


def with_own(config: dict[str, Any]) -> dict[str, Any]:
    evaluation = config["evaluation"]
    benchmarks = evaluation["benchmarks"] | {"SVAMP": SVAMP, "Quiz": {"task": "quiz"}}
    return config | {"evaluation": evaluation | {"tasks": ["lab"], "benchmarks": benchmarks}}


def zero_shot() -> Cell:
    return next(cell for cell in cells(load(CONFIG)) if cell.name == CELLS[0])


def test_own_benchmarks_are_columns_and_only_they_are_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    five = list(CONFIG["evaluation"]["benchmarks"])
    assert run(tmp_path, CONFIG) == [five, five]
    write_jsonl(tmp_path / "svamp.jsonl", ROWS)
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/quiz.yaml").write_text(QUIZ)
    (tmp_path / "lab/utils.py").write_text(UTILS)

    assert run(tmp_path, with_own(CONFIG)) == [["SVAMP", "Quiz"]] * 2
    monkeypatch.chdir(tmp_path)
    build(Path(RESULTS))
    table = " ".join(Path(RESULTS, layout.table("md")).read_text().split())
    assert " | ".join([*five, "SVAMP", "Quiz"]) in table
    items = pq.read_table(f"{RESULTS}/evaluation/{CELLS[1]}/SVAMP.parquet").to_pylist()
    question = "Question: Ann has 3 cats. How many has she?\nAnswer:"
    assert (items[3]["question"], items[3]["gold"]) == (question, "3.0")
    record = json.loads(Path(f"{RESULTS}/evaluation/{CELLS[0]}/SVAMP.json").read_text())
    assert (record["task"], record["metric"], record["n_items"]) == ("generate", "number", 4)
    assert planned(tmp_path, *targets(with_own(CONFIG)), config=with_own(CONFIG)) == {}

    (tmp_path / "lab/utils.py").write_text(UTILS.replace("none", "nothing"))
    changed = with_own(CONFIG)
    stale = [reason.setting for reason in score_reasons(load(changed), Files(Path(RESULTS)), zero_shot(), "Quiz")]
    assert stale == ["the task of Quiz"]
    assert planned(tmp_path, *targets(changed), config=changed) == {"evaluate": 2}, "the cache has the others"
