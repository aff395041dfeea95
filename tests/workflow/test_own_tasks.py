"""Benchmarks besides the five on a very small sandbox, through Snakemake: one's own, a group of lm-eval's, MATH."""

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
from support.stock_tasks import WMDP, write_mirror
from support.toy_tasks import write_jsonl

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_workflow")]

CONFIG: dict[str, Any] = copy.deepcopy(DEFAULT)
CONFIG["models"] = {
    name: {"pretrain": {"seed": seed, "steps": 4, "hidden_size": 32, "layers": 2}} for seed, name in enumerate("ab")
}
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
MATH = [{"problem": f"What is ${i} + 1$?", "solution": f"It is $\\boxed{{{i + 1}}}$."} for i in range(2)]
ADDED = {
    "SVAMP": SVAMP,
    "Quiz": {"task": "quiz"},
    "WMDP": {"task": "wmdp"},
    "MATH": {"task": "math", "data": {"path": "math.jsonl"}},
}
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


def with_added(config: dict[str, Any]) -> dict[str, Any]:
    evaluation = config["evaluation"]
    evaluation = evaluation | {"tasks": ["lab"], "benchmarks": evaluation["benchmarks"] | ADDED}
    return config | {"data_mirror": "mirror", "evaluation": evaluation}


def write_data(folder: Path) -> None:
    write_jsonl(folder / "svamp.jsonl", ROWS)
    write_jsonl(folder / "math.jsonl", MATH)
    write_mirror(folder / "mirror")
    (folder / "lab").mkdir()
    (folder / "lab/quiz.yaml").write_text(QUIZ)
    (folder / "lab/utils.py").write_text(UTILS)


def zero_shot() -> Cell:
    return next(cell for cell in cells(load(CONFIG)) if cell.name == CELLS[0])


def test_added_benchmarks_are_columns_and_only_they_are_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    five = list(CONFIG["evaluation"]["benchmarks"])
    assert run(tmp_path, CONFIG) == [five, five]
    write_data(tmp_path)

    assert run(tmp_path, with_added(CONFIG)) == [list(ADDED)] * 2
    monkeypatch.chdir(tmp_path)
    build(Path(RESULTS))
    table = " ".join(Path(RESULTS, layout.table("md")).read_text().split())
    assert " | ".join([*five, *ADDED]) in table
    items = pq.read_table(f"{RESULTS}/evaluation/{CELLS[1]}/SVAMP.parquet").to_pylist()
    question = "Question: Ann has 3 cats. How many has she?\nAnswer:"
    assert (items[3]["question"], items[3]["gold"]) == (question, "3.0")
    records = {name: json.loads(Path(RESULTS, layout.score(CELLS[0], name)).read_text()) for name in ADDED}
    assert {name: (record["task"], record["metric"], record["n_items"]) for name, record in records.items()} == {
        "SVAMP": ("generate", "number", 4),
        "Quiz": ("quiz", "acc", 4),
        "WMDP": ("wmdp", "acc", sum(WMDP.values())),
        "MATH": ("math", "exact_match", 2),
    }
    assert planned(tmp_path, *targets(with_added(CONFIG)), config=with_added(CONFIG)) == {}

    (tmp_path / "lab/utils.py").write_text(UTILS.replace("none", "nothing"))
    changed = with_added(CONFIG)
    stale = [reason.setting for reason in score_reasons(load(changed), Files(Path(RESULTS)), zero_shot(), "Quiz")]
    assert stale == ["task of Quiz"]
    assert planned(tmp_path, *targets(changed), config=changed) == {"evaluate": 2}, "the cache has the others"
