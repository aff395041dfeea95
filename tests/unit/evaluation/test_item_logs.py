"""Logs of items: lm-eval's own, prunegrid's, and rows with ids and scores as other tools write them."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from prunegrid.evaluation.item_logs import read_item_log, read_item_logs
from support.errors import refused
from support.item_files import cell, item_rows, write_items
from support.lm_eval_logs import CHOICE, GENERATE, log_of
from support.toy_tasks import write_jsonl

Logs = dict[str, Path]


def result_of(folder: Path, task: str, key: str) -> float:
    (file,) = folder.rglob("results_*.json")
    return float(json.loads(file.read_text())["results"][task][key])


@pytest.mark.parametrize("metric", ["acc", "acc_norm"])
def test_lm_eval_log_gives_lm_evals_score(lm_eval_logs: Logs, metric: str) -> None:
    log = read_item_log(log_of(lm_eval_logs["a"], CHOICE), metric)
    assert (log.kind, log.task, log.metric, log.filter, len(log)) == ("lm-eval", CHOICE, metric, "none", 30)
    assert log.values.mean() == pytest.approx(result_of(lm_eval_logs["a"], CHOICE, f"{metric},none"))
    assert log.rows["prompt"].nunique() == 30 and log.rows["target"].nunique() == 2


@pytest.mark.parametrize(("chosen", "score"), [("strict", 0), ("loose", 0.5)])
def test_lm_eval_filter_chooses_its_rows(lm_eval_logs: Logs, chosen: str, score: float) -> None:
    log = read_item_log(log_of(lm_eval_logs["a"], GENERATE), filter=chosen)
    assert (log.metric, log.filter, len(log), log.values.mean()) == ("exact_match", chosen, 20, score)


def test_choice_that_is_left_open_is_refused_with_the_names(lm_eval_logs: Logs) -> None:
    choice, generate = (log_of(lm_eval_logs["a"], task) for task in (CHOICE, GENERATE))
    with refused(choice, "acc, acc_norm", fix="--metric acc"):
        read_item_log(choice)
    with refused(generate, "loose, strict", fix="--filter loose"):
        read_item_log(generate)
    with refused(choice, "has no metric f1, only acc, acc_norm"):
        read_item_log(choice, "f1")


def test_lm_eval_folder_has_a_log_for_each_task(lm_eval_logs: Logs) -> None:
    logs = read_item_logs(lm_eval_logs["a"], "acc,exact_match", "none,loose")
    assert {task: (log.metric, log.filter) for task, log in logs.items()} == {
        CHOICE: ("acc", "none"),
        GENERATE: ("exact_match", "loose"),
    }


def test_folder_with_two_logs_of_a_task_is_refused(lm_eval_logs: Logs, tmp_path: Path) -> None:
    log = log_of(lm_eval_logs["a"], CHOICE)
    shutil.copy(log, tmp_path / log.name)
    shutil.copy(log, tmp_path / f"samples_{CHOICE}_2026-11-27T00-00-00.000000.jsonl")
    with refused(tmp_path, f"two logs of {CHOICE}"):
        read_item_logs(tmp_path, "acc")


def test_cluster_is_a_field_of_the_document(lm_eval_logs: Logs) -> None:
    log = read_item_log(log_of(lm_eval_logs["a"], CHOICE), "acc", cluster="about.topic")
    assert log.rows["cluster"].nunique() == 10
    with refused(f"{log.source}:1", "has no colour"):
        read_item_log(Path(log.source), "acc", cluster="colour")


def test_compressed_log_is_read(lm_eval_logs: Logs, tmp_path: Path) -> None:
    plain = log_of(lm_eval_logs["a"], CHOICE)
    packed = tmp_path / f"{plain.name}.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    (task, log), *_ = read_item_logs(tmp_path, "acc").items()
    assert task == CHOICE and np.array_equal(log.values, read_item_log(plain, "acc").values)


def test_prunegrid_cell_has_its_records_metric_and_filter(tmp_path: Path) -> None:
    rows = pd.concat([item_rows([1, 0, 0.5], "aba"), item_rows([9, 9, 9], "aba", chosen="strict")])
    record = write_items(tmp_path, cell("qtuning"), "B", rows)
    log = read_item_logs(record.parent)["B"]
    assert (log.kind, log.metric, log.filter) == ("prunegrid", "acc", "none")
    assert log.values.tolist() == [1, 0, 0.5] and log.rows["cluster"].tolist() == ["a", "b", "a"]


def test_prunegrid_items_of_another_record_are_refused(tmp_path: Path) -> None:
    record = write_items(tmp_path, cell("qtuning"), "B", item_rows([1, 0]), items_hash="0" * 64)
    with refused(record.with_suffix(".parquet"), "000000000000", fix="re-evaluate it"):
        read_item_log(record.with_suffix(".parquet"))


INSPECT = [
    {"id": 1, "epoch": 1, "input": "2 + 2?", "target": "4", "scores": {"match": {"value": "C"}}},
    {"id": 2, "epoch": 1, "input": "2 + 3?", "target": "5", "scores": {"match": {"value": "I"}}},
]
INSPECT_LOG = {
    "version": 2,
    "status": "success",
    "eval": {"task": "say"},
    "samples": INSPECT,
    "reductions": [{"scorer": "match", "samples": [{"value": 1.0, "sample_id": 1}, {"value": 0.0, "sample_id": 2}]}],
}
"""The parts of a log of inspect-ai 0.3, with a second list of rows."""
HELM = [
    {"instance_id": f"id{i}", "train_trial_index": 0, "stats": [{"name": {"name": "quasi"}, "mean": float(i)}]}
    for i in (0, 1)
]
REWARD = [{"id": 31, "subset": "alpacaeval-easy", "results": 1}, {"id": 32, "subset": "donotanswer", "results": 0}]


@pytest.mark.parametrize(
    ("text", "name", "metric", "values"),
    [
        (json.dumps(INSPECT_LOG, indent=2), "inspect.json", "match", [1, 0]),
        ("".join(json.dumps(row) + "\n" for row in INSPECT), "samples.jsonl", "match", [1, 0]),
        (json.dumps(HELM), "per_instance_stats.json", "quasi", [0, 1]),
        ("".join(json.dumps(row) + "\n" for row in REWARD), "reward.jsonl", "results", [1, 0]),
        ("sample_id,correct\nx,True\ny,False\nz,true\n", "csv.csv", "correct", [1, 0, 1]),
        ("id\tscore\na\t0.25\nb\t71.5\n", "bleu.tsv", "score", [0.25, 71.5]),
    ],
)
def test_rows_of_other_tools(tmp_path: Path, text: str, name: str, metric: str, values: list[float]) -> None:
    (tmp_path / name).write_text(text)
    log = read_item_log(tmp_path / name)
    assert (log.kind, log.metric, log.filter, log.task) == ("other", metric, None, name.partition(".")[0])
    assert log.values.tolist() == values
    assert log.has_own_scale == (name == "bleu.tsv")


def test_binary_log_of_inspect_ai_is_refused_with_its_command(tmp_path: Path) -> None:
    (tmp_path / "a.eval").write_bytes(b"PK\x03\x04")
    with refused(tmp_path / "a.eval", "binary form", fix="inspect log dump"):
        read_item_log(tmp_path / "a.eval")


def test_names_of_logs_tell_the_task(tmp_path: Path) -> None:
    text = json.dumps(INSPECT_LOG)
    (tmp_path / "2026-11-27T01-21-54-00-00_say_it_QprsP255Y5hVp5rK7QXrCY.json").write_text(text)
    (tmp_path / "2026-11-27T01-21-54+00-00_sing_QprsP255Y5hVp5rK7QXrCY.json").write_text(text)
    assert set(read_item_logs(tmp_path)) == {"say_it", "sing"}


def test_helm_folder_is_its_file_of_instances(tmp_path: Path) -> None:
    (tmp_path / "per_instance_stats.json").write_text(json.dumps(HELM))
    (tmp_path / "run_spec.json").write_text("{}")
    assert [log.metric for log in read_item_logs(tmp_path).values()] == ["quasi"]


def test_epochs_of_inspect_ai_are_averaged(tmp_path: Path) -> None:
    twice = [row | {"epoch": epoch} for epoch in (1, 2) for row in INSPECT]
    twice[2]["scores"] = {"match": {"value": "I"}}
    log = read_item_log(write_jsonl(tmp_path / "a.jsonl", twice))
    assert (log.values.tolist(), log.n_answers) == ([0.5, 0], 2)
    path = write_jsonl(tmp_path / "b.jsonl", twice[:3])
    with refused(path, "1 of 3 rows repeat the id"):
        read_item_log(path)


def test_parquet_with_a_metric_of_any_name(tmp_path: Path) -> None:
    pd.DataFrame({"id": [2, 1], "wins": [True, False], "group": ["g", "h"]}).to_parquet(tmp_path / "x.parquet")
    log = read_item_log(tmp_path / "x.parquet", "wins")
    assert log.rows[["item", "value", "cluster"]].to_numpy().tolist() == [["1", 0.0, "h"], ["2", 1.0, "g"]]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([{"id": 1, "score": 1}, {"id": 2, "score": None}], "1 of 2 items have no finite score"),
        ([{"id": 1, "score": 1}, {"id": 2, "score": "NaN"}], "1 of 2 items have no finite score"),
        ([{"id": 1, "score": 1}, {"id": 2}], "1 of 2 items have no finite score"),
        ([{"id": 1, "score": 1}, {"id": 1, "score": 0}, {"id": 2, "score": 0}], "1 of 3 rows repeat the id"),
        ([{"id": 1, "score": 1, "correct": 0}], "correct, score"),
        ([{"name": 1, "score": 1}], "has no id, only name, score"),
        ([{"id": 1, "text": "x"}], "has no score, only id, text"),
    ],
)
def test_log_with_gaps_is_refused(tmp_path: Path, rows: list[dict[str, Any]], problem: str) -> None:
    path = write_jsonl(tmp_path / "log.jsonl", rows)
    with refused(path, problem):
        read_item_log(path)


def test_row_without_an_id_is_refused_at_its_line(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "log.jsonl", [{"id": 1, "score": 1}, {"id": None, "score": 1}])
    with refused(f"{path}:2", "has no id"):
        read_item_log(path)


def test_text_and_empty_folder_are_no_logs(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("hello\n")
    with refused(f"{tmp_path / 'log.jsonl'}:1", "is not JSON"):
        read_item_log(tmp_path / "log.jsonl")
    (tmp_path / "empty").mkdir()
    with refused(tmp_path / "empty", "holds no log"):
        read_item_logs(tmp_path / "empty")
