"""Item files carry questions and answers, or not (`items: slim, scores`); older files without them stay valid."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from prunegrid.evaluation.evaluate import evaluate
from prunegrid.evaluation.records import TEXTS, item_texts
from support.toy_tasks import ARC, toy_benchmark


def run(toy_model: Path, data: dict[str, Path], out: Path, **settings: Any) -> list[dict[str, Any]]:
    names = ("arc_easy", "triviaqa")
    benchmarks = {task: toy_benchmark(task, 2) for task in names}
    evaluate(toy_model, out, benchmarks=benchmarks, data=data, digests={"model": "m"}, **settings)
    rows: list[dict[str, Any]] = [row for name in names for row in pq.read_table(out / f"{name}.parquet").to_pylist()]
    return rows


def test_items_carry_question_and_gold(toy_model: Path, data: dict[str, Path], tmp_path: Path) -> None:
    rows = run(toy_model, data, tmp_path)
    assert [(row["question"], row["gold"]) for row in rows] == [
        *((f"Question: {question}\nAnswer:", options[labels.index(key)]) for question, options, labels, key in ARC[:2]),
        ("Question: Which metal is red?\nAnswer:", '["Iron", "Fe"]'),
        ("Question: Who drinks milk?\nAnswer:", "Cat"),
    ]


def test_slim_items_have_the_other_columns(toy_model: Path, data: dict[str, Path], tmp_path: Path) -> None:
    full, slim = run(toy_model, data, tmp_path / "full"), run(toy_model, data, tmp_path / "slim", texts=False)
    assert slim == [{key: value for key, value in row.items() if key not in TEXTS} for row in full]


def test_items_of_scores_alone_hold_no_answer(toy_model: Path, data: dict[str, Path], tmp_path: Path) -> None:
    slim = run(toy_model, data, tmp_path / "slim", texts=False)
    scores = run(toy_model, data, tmp_path / "scores", texts=False, answers=False)
    assert any(row["response"] for row in slim)
    assert scores == [row | {"response": ""} for row in slim]


def test_items_without_texts_are_not_asked_again(
    toy_model: Path, data: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slim = run(toy_model, data, tmp_path, texts=False)
    capsys.readouterr()
    assert run(toy_model, data, tmp_path) == slim
    assert capsys.readouterr().out.splitlines() == ["arc_easy: cached", "triviaqa: cached"]


@pytest.mark.parametrize(
    ("question", "options", "target", "texts"),
    [
        ("q", ["a", "b"], 1, ("q", "b")),
        ("q", ["a", "b"], [0, 1], ("q", '["a", "b"]')),
        ("q", None, 7, ("q", "7")),
        (1, ["with a", "with b"], "rest", ('["with a", "with b"]', "with b")),
    ],
)
def test_texts_of_lm_evals_kinds_of_items(
    question: Any, options: list[str] | None, target: Any, texts: tuple[str, str]
) -> None:
    config = SimpleNamespace(doc_to_choice="x" if options else None)
    task = SimpleNamespace(doc_to_text=lambda _: question, doc_to_choice=lambda _: options, config=config)
    assert tuple(item_texts(task, {}, target).values()) == texts
