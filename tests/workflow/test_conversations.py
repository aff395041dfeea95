"""A small workflow on conversations of several answers: `turns: all`, two ranks, and both units of pruning."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from support.snakemake_runs import CORES, planned, snakemake
from support.toy_experiment import toy_config
from support.toy_tasks import ITEMS, write_jsonl

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_workflow")]

CELLS = "results/toy/{}/m/s0.5-t0.5"
CONVERSATIONS, ANSWERS = 12, 30


def config(folder: Path, unit: str) -> dict[str, Any]:
    def conversation(number: int) -> dict[str, Any]:
        texts = [(f"What is {number} + {turn}?", f"{number} + {turn} = {number + turn}.") for turn in range(4)]
        turns = texts[: 1 + number % 4]
        return {
            "conversations": [
                {"from": who, "value": text} for turn in turns for who, text in zip(("human", "gpt"), turn, strict=True)
            ]
        }

    made = toy_config(folder)
    source = folder / "conversations.json"
    source.write_text(json.dumps([conversation(number) for number in range(CONVERSATIONS)]))
    items = write_jsonl(folder / "items.jsonl", ITEMS["arc_easy"])
    training = made["training"] | {"num_train_epochs": 1, "per_device_train_batch_size": 2, "ranks": 2}
    return made | {
        "dataset": {"name": "d", "path": str(source), "turns": "all"},
        "unit": unit,
        "budgets": [{"sample_ratio": 0.5, "token_ratio": 0.5}],
        "variants": ["random+ppl", "qtuning"],
        "references": ["full"],
        "scoring": {"max_length": 256, "shards": 2},
        "training": training | {"gradient_accumulation_steps": 1},
        "evaluation": {"benchmarks": {"A": {"task": "arc_easy", "data": {"path": str(items)}, "limit": 2}}},
    }


def selections(folder: Path) -> dict[str, dict[str, Any]]:
    cells = (folder / CELLS.format("pruned")).glob("*/seed0/selection.json")
    return {file.parts[-3]: json.loads(file.read_text()) for file in cells}


def reports(folder: Path) -> dict[str, dict[str, Any]]:
    files = (folder / "results/toy/trained/m").rglob("training.json")
    return {file.parts[-3]: json.loads(file.read_text()) for file in files}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conversations")
    run = snakemake(folder, "--cores", CORES, config=config(folder, "conversation"))
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
    return folder


def test_conversations_are_scored_pruned_trained_and_evaluated(done: Path) -> None:
    samples = pq.read_table(done / "results/toy/scores/m/samples.parquet").to_pandas()
    assert (len(samples), (~samples["continues"]).sum()) == (ANSWERS, CONVERSATIONS)
    frame = pq.read_table(done / "results/toy/results.parquet").to_pandas()
    assert set(frame["status"]) == {"done"}
    made = selections(done)
    assert {(s["n_samples"], s["unit"]) for s in made.values()} == {(CONVERSATIONS, "conversation")}
    assert made["random+ppl"]["n_kept_samples"] == CONVERSATIONS // 2
    trained = reports(done)
    assert {report["steps"] for report in trained.values()} == {3}  # 12 conversations, two ranks of 2
    assert trained["full"]["kept_samples"] == ANSWERS
    assert trained["full"]["trained_tokens"] == samples["response_tokens"].sum()
    for name, selection in made.items():
        rows = pq.read_table(done / CELLS.format("pruned") / name / "seed0/selection.parquet").to_pandas()
        assert trained[name]["kept_samples"] == len(rows)
        assert trained[name]["trained_tokens"] == selection["kept_tokens"] == rows["kept"].map(len).sum()


def test_another_unit_prunes_and_trains_again_and_scores_nothing(done: Path) -> None:
    turns = config(done, "turn")
    jobs = planned(done, config=turns)
    assert {name: jobs.get(name) for name in ("score", "prune", "train", "evaluate")} == {
        "score": None, "prune": 2, "train": 2, "evaluate": 2,
    }  # fmt: skip
    run = snakemake(done, "--cores", CORES, config=turns)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
    made = selections(done)["random+ppl"]
    assert (made["n_samples"], made["n_kept_samples"]) == (ANSWERS, ANSWERS // 2)
    assert "unit" not in made
    assert reports(done)["random+ppl"]["trained_tokens"] == made["kept_tokens"]
    assert planned(done, config=turns) == {}
