"""Which items are asked: filters, counts of complete data sets, clusters, optional fields, real files."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from prunegrid.evaluation.evaluate import evaluate
from prunegrid.evaluation.items import read_items
from prunegrid.experiment.dataset import DataRef
from prunegrid.tasks.catalog import find_task, known_tasks
from prunegrid.tasks.task import Task
from support.errors import refused
from support.toy_tasks import ITEMS, toy_benchmark, write_jsonl

FILE = DataRef(path="items.jsonl")
EASY = {"hub": "allenai/ai2_arc", "config": "ARC-Easy", "split": "validation"}


def test_only_items_of_four_choices_are_asked_before_the_limit(data: dict[str, Path]) -> None:
    """The four items have 3 choices (A-C), 5 (1-5), 4 (A-D) and 4 (1-4)."""
    items = read_items(data["arc_easy"], find_task("paper", "arc_easy"), FILE, limit=1)
    assert [doc["choices"]["label"] for doc in items.docs] == [list("ABCD")]
    assert (items.available, items.eligible, items.complete) == (4, 2, None)
    both = read_items(data["arc_easy"], find_task("paper", "arc_easy"), FILE)
    assert [doc["choices"]["label"] for doc in both.docs] == [list("ABCD"), list("1234")]
    assert len(read_items(data["arc_easy"], find_task("harness", "arc_easy"), FILE).docs) == 4


def test_a_file_of_which_nothing_is_asked(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "arc.jsonl", ITEMS["arc_easy"][:2])
    with refused(path, "2 items", "arc_easy"):
        read_items(path, find_task("paper", "arc_easy"), FILE)


@pytest.mark.parametrize("protocol", ["harness", "paper"])
@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"answerKey": "Z"}, "'Z'"),
        ({"answerKey": ""}, "''"),
        ({"choices": {"text": ["a", " ", "c", "d"], "label": list("ABCD")}}, ["a", " ", "c", "d"]),
        ({"choices": {"text": ["a", "b", "c"], "label": list("ABCD")}}, ["a", "b", "c"]),
    ],
)
def test_an_item_without_an_answer_is_named(
    protocol: str, changes: dict[str, Any], value: object, tmp_path: Path
) -> None:
    good = ITEMS["arc_easy"][2]
    path = write_jsonl(tmp_path / "arc.jsonl", [good, {**good, **changes}])
    with refused(f"{path}: item 1", value):
        read_items(path, find_task(protocol, "arc_easy"), FILE)


def test_half_a_character_is_refused_with_its_item(tmp_path: Path) -> None:
    good = {"question": "q", "answer": "#### 5"}
    path = tmp_path / "gsm8k.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (good, good | {"question": "a \ud800 b"})))
    with refused(f"{path}: item 1", "\\ud800", fix="correct the text"):
        read_items(path, find_task("harness", "gsm8k"), FILE)


@pytest.mark.parametrize("answer", ["5", "####5", "#### five", "#### 5 apples"])
def test_gold_answer_unreadable_for_the_papers_gsm8k_is_named(answer: str, tmp_path: Path) -> None:
    good = [{"question": "q", "answer": f"2+3\n#### {gold}"} for gold in ("5", "-1,200.5", "12\n")]
    path = write_jsonl(tmp_path / "gsm8k.jsonl", [*good, {"question": "q", "answer": answer}])
    with refused(f"{path}: item 3: answer", repr(answer)):
        read_items(path, find_task("paper", "gsm8k"), FILE)
    assert len(read_items(path, find_task("harness", "gsm8k"), FILE).docs) == 4


def complete(rows: int, items: int) -> Task:
    """The paper's ARC-Easy as if its complete validation split had these counts."""
    task = find_task("paper", "arc_easy")
    task.metadata["complete"] = [{**EASY, "rows": rows, "items": items}]
    return task


def test_counts_of_a_complete_data_set(data: dict[str, Path]) -> None:
    def read(task: Task, **changes: str) -> Any:
        items = read_items(data["arc_easy"], task, DataRef(**{**EASY, **changes}), limit=1)
        return items.available, items.eligible, items.complete

    assert read(complete(rows=4, items=2)) == (4, 2, 2)
    assert read(complete(rows=4, items=2), split="test") == (4, 2, None)
    assert read(complete(rows=9, items=7)) == (4, 2, 7), "incomplete, and the record says so"
    for rows, items in ((4, 3), (3, 2)):
        with refused(data["arc_easy"], "4 rows, 2 of them", f"{rows} and {items}", fix="hub id"):
            read(complete(rows=rows, items=items))


def test_a_count_is_for_every_name_of_the_hubs_config(tmp_path: Path) -> None:
    """squad_v2's only config may be left out of the experiment."""
    path = write_jsonl(tmp_path / "squad.jsonl", ITEMS["squadv2"])
    for config in (None, "squad_v2"):
        ref = DataRef(hub="rajpurkar/squad_v2", config=config, split="validation")
        assert read_items(path, find_task("harness", "squadv2"), ref).complete == 11873


@pytest.mark.parametrize("protocol", ["harness", "paper"])
def test_squads_clusters_are_passages(protocol: str, tmp_path: Path) -> None:
    other = {**ITEMS["squadv2"][0], "context": "Iron is red."}
    path = write_jsonl(tmp_path / "squad.jsonl", [*ITEMS["squadv2"], other])
    clusters = read_items(path, find_task(protocol, "squadv2"), FILE).clusters
    assert clusters is not None
    assert clusters[0] == clusters[1] == clusters[2] != clusters[3]


def test_a_cluster_that_is_not_read_is_refused(data: dict[str, Path]) -> None:
    task = find_task("harness", "squadv2")
    task.metadata["cluster"] = ["id"]
    with refused("squadv2.yaml: metadata.cluster", "id"):
        read_items(data["squadv2"], task, FILE)


def test_an_optional_field_is_read_where_it_is(tmp_path: Path) -> None:
    plausible = {**ITEMS["squadv2"][1], "plausible_answers": {"text": ["milk"], "answer_start": [0]}}
    path = write_jsonl(tmp_path / "squad.jsonl", [ITEMS["squadv2"][1], plausible])
    without, has = read_items(path, find_task("paper", "squadv2"), FILE).docs
    assert "plausible_answers" not in without
    assert has == {**without, "plausible_answers": {"text": ["milk"]}}


def test_plausible_answers_are_required_where_they_are_asked_for(tmp_path: Path) -> None:
    """The hub's copy has none: refused, not scored without them. Answerable questions have an empty list."""
    task = find_task("paper", "squadv2_plausible")
    answerable = {**ITEMS["squadv2"][0], "plausible_answers": {"text": []}}
    path = write_jsonl(tmp_path / "squad.jsonl", [answerable, ITEMS["squadv2"][1]])
    with refused(f"{path}: item 1", "has no plausible_answers.text", fix="add it"):
        read_items(path, task, FILE)
    (item,) = read_items(write_jsonl(path, [answerable]), task, FILE).docs
    assert item["plausible_answers"] == {"text": []}


def test_what_a_scores_hash_does_not_hold() -> None:
    """A corrected count is no reason to ask again; a new filter is."""
    task = find_task("paper", "arc_easy")
    before = task.digest
    task.config["metadata"] |= {"complete": [], "stock": "another", "options": {}, "tokens": {}}
    assert task.digest == before
    del task.metadata["only"]
    assert task.digest != before


HUB: dict[str, dict[str, str]] = {
    "arc_easy": EASY,
    "arc_challenge": {**EASY, "config": "ARC-Challenge"},
    "gsm8k": {"hub": "openai/gsm8k", "config": "main", "split": "test"},
    "gsm8k_4shot": {"hub": "openai/gsm8k", "config": "main", "split": "test"},
    "math": {"hub": "DigitalLearningGmbH/MATH-lighteval", "split": "test"},
    "squadv2": {"hub": "rajpurkar/squad_v2", "split": "validation"},
    "squad_answerable": {"hub": "rajpurkar/squad_v2", "split": "validation"},
    "squadv2_prunegrid": {"hub": "rajpurkar/squad_v2", "split": "validation"},
    "triviaqa": {"hub": "mandarjoshi/trivia_qa", "config": "rc.nocontext", "split": "validation"},
}


@pytest.mark.data
@pytest.mark.parametrize("protocol", ["harness", "paper"])
def test_real_items(protocol: str, toy_model: Path, mirror: Path, tmp_path: Path) -> None:
    """Every item of the real files has what its task reads, and the counts are right; two of each are asked."""
    asked = [task for task in known_tasks(protocol) if task != "squadv2_plausible"]  # the hub has no plausible answers
    chosen_benchmarks = {task: toy_benchmark(task, 2, **HUB[task.removesuffix("_vllm_divisor")]) for task in asked}
    files = {task: benchmark.data.mirror_file(mirror) for task, benchmark in chosen_benchmarks.items()}
    actual = {task: path for task, path in files.items() if path.exists()}
    assert actual
    for task, path in actual.items():
        items = read_items(path, find_task(protocol, task), chosen_benchmarks[task].data)
        assert items.complete is not None
        assert len(items.docs) == items.eligible <= items.available
        if task.startswith("arc"):
            assert all(doc["answerKey"] in doc["choices"]["label"] for doc in items.docs)
    few = {task: chosen_benchmarks[task] for task in actual if protocol == "harness" or not task.startswith("gsm8k")}
    records = evaluate(toy_model, tmp_path, benchmarks=few, data=actual, protocol=protocol)
    assert {record["n_items"] for record in records.values()} == {2}


@pytest.mark.data
@pytest.mark.skipif("PRUNEGRID_DATA" not in os.environ, reason="PRUNEGRID_DATA names no mirror")
def test_the_papers_arc_easy_count(mirror: Path) -> None:
    """The mirror's validation split is complete: 567 of its 570 items have four choices."""
    ref = DataRef(**EASY)
    items = read_items(ref.mirror_file(mirror), find_task("paper", "arc_easy"), ref)
    assert (items.available, items.eligible, items.complete) == (570, 567, 567)
