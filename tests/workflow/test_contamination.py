"""`contamination: true` in a real run: one more job, its file, and nothing else to do for the rest."""

import json
from pathlib import Path

import pytest

from support.snakemake_runs import DEFAULT, planned, snakemake
from support.source_files import write_source

TARGET, DATA = "results/sandbox/data/contamination.json", "results/sandbox/data/mine.parquet"
QUESTION = "Ada has 12 shells and finds 5 more on the beach before lunch. How many shells does Ada have now?"
TASK = {"task": "gsm8k", "data": {"path": "items.jsonl"}}


@pytest.mark.slow
@pytest.mark.usefixtures("warm_workflow")
def test_a_planted_item_is_found_and_the_training_set_stays(tmp_path: Path) -> None:
    rows = [{"prompt": f"Question {i}", "response": "a"} for i in range(5)]
    write_source(tmp_path / "rows.jsonl", [*rows, {"prompt": QUESTION, "response": "17"}])
    items = [{"question": text, "answer": "#### 17"} for text in (QUESTION.replace("Ada", "Bo"), "Why?", QUESTION)]
    write_source(tmp_path / "items.jsonl", items)
    evaluation = {**DEFAULT["evaluation"], "benchmarks": {"Sums": TASK}}
    config = {**DEFAULT, "dataset": {"name": "mine", "path": "rows.jsonl"}, "evaluation": evaluation}
    assert snakemake(tmp_path, DATA, "--cores", "1", config=config).returncode == 0
    checked = {**config, "contamination": True}
    assert planned(tmp_path, TARGET, DATA, config=checked) == {"benchmark_items": 1, "contamination": 1}
    done = snakemake(tmp_path, TARGET, DATA, "--cores", "1", config=checked)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / TARGET).read_text())["benchmarks"]["Sums"]
    assert (report["items"], report["checked"], report["overlap"], report["copied"]) == (3, 2, 2, 2)
    assert [(item["row"], item["sample_ids"]) for item in report["named"]] == [(2, [5]), (0, [5])]
    assert planned(tmp_path, DATA, config=config) == {}
