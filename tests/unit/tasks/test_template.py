"""Benchmarks that a section describes: what is asked, what is read from answers, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from prunegrid.evaluation.items import read_items
from prunegrid.experiment.evaluation import Benchmark
from prunegrid.tasks import answers
from prunegrid.tasks.template import template_task
from support.errors import refused
from support.toy_tasks import write_jsonl

SVAMP = {
    "prompt": "Question: {{Body}} {{Question}}\nAnswer:",
    "answer": "{{Answer}}",
    "metric": "number",
    "stop": ["Question:"],
    "max_tokens": 64,
}
SVAMP_ROW = {"Body": "Tim has 8 cats and buys 4.", "Question": "How many has he?", "Answer": 12.0, "Type": "Addition"}
CHOICE = {"prompt": "{{q}}", "choices": "{{options}}", "answer": "{{a}}"}


def asked(keys: dict[str, Any], row: dict[str, Any], kind: str = "generate") -> dict[str, Any]:
    task = template_task(kind, keys)
    return task.prepare({name: row[name] for name in task.metadata["fields"]})


def test_svamp_section_asks_body_and_question_and_wants_the_number() -> None:
    assert asked(SVAMP, SVAMP_ROW) == {
        "prompt": "Question: Tim has 8 cats and buys 4. How many has he?\nAnswer:",
        "gold": ["12.0"],
    }
    task = template_task("generate", SVAMP)
    assert task.metadata["fields"] == ["Answer", "Body", "Question"]
    assert task.config["generation_kwargs"] == {"until": ["Question:"], "do_sample": False, "max_gen_toks": 64}
    results = task.resolve()["process_results"]
    doc = asked(SVAMP, SVAMP_ROW)
    assert [results(doc, [text])["number"] for text in (" 8 + 4 = 12.", "$12", "12 or 13", "")] == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("answer", "place"),
    [("milk", 1), (" milk ", 1), ("C", 2), (0, 0), (2, 2)],
)
def test_right_option_is_named_by_text_letter_or_number(answer: Any, place: int) -> None:
    row = {"q": "?", "options": ["sand", "milk", "iron"], "a": answer}
    assert asked(CHOICE, row, "choice") == {"prompt": "?", "choices": row["options"], "gold": place}


def test_right_option_is_its_text_before_a_letter_and_with_labels_only_a_label() -> None:
    row = {"q": "?", "options": ["B", "A"], "a": "A", "label": ["A", "B"]}
    assert asked(CHOICE, row, "choice")["gold"] == 1
    assert asked(CHOICE | {"labels": "{{label}}"}, row, "choice")["gold"] == 0


def test_text_of_digits_is_no_number_of_an_option_unless_it_is_made_one() -> None:
    row = {"q": "?", "options": ["10", "20"], "a": "1"}
    with pytest.raises(ValueError, match="'1', which is not among the choices"):
        asked(CHOICE, row, "choice")
    assert asked(CHOICE | {"answer": "{{a | int}}"}, row, "choice")["gold"] == 1


def test_choices_may_be_a_list_of_templates() -> None:
    keys = {"prompt": "{{q}}", "choices": ["{{a}}", "{{b}}"], "answer": "{{right}}"}
    row = {"q": "?", "a": 1, "b": 2, "right": "B"}
    assert asked(keys, row, "choice") == {"prompt": "?", "choices": ["1", "2"], "gold": 1}


def test_optional_fields_may_be_absent() -> None:
    keys = SVAMP | {"prompt": "{{ title | default('') }}{% if note is defined %}!{% endif %}{{Question}}"}
    task = template_task("generate", keys)
    assert (task.metadata["fields"], task.metadata["optional"]) == (["Answer", "Question"], ["note", "title"])
    assert task.prepare({"Answer": 1, "Question": "?"})["prompt"] == "?"


@pytest.mark.parametrize(
    ("metric", "answer", "gold", "value"),
    [
        ("exact_match", " The  Cat. ", "the cat", 1.0),
        ("exact_match", "-5", "5", 0.0),
        ("number", "1,200", "1200.0", 1.0),
        ("number", "$-3.50", "-3.5", 0.0),
        ("number", "none", "0", 0.0),
        ("f1", "the red cat", "a cat", 2 / 3),
        ("contains", "It is the moon, I think.", "The Moon", 1.0),
        ("contains", "a moonlit night", "moon", 0.0),
        ("contains", "anything", "A.", 0.0),
    ],
)
def test_metric_by_hand(metric: str, answer: str, gold: str, value: float) -> None:
    assert answers.METRICS[metric](answer, gold) == pytest.approx(value)


@pytest.mark.parametrize(
    ("name", "text", "extracted"),
    [
        ("all", " x\ny ", "x\ny"),
        ("first_line", "\n first\nsecond", "first"),
        ("last_number", "2 + 2 = 1,004.50.", "1,004.50"),
        ("first_number", "from 3 to 4", "3"),
        ("first_letter", "it is (B), not C", "B"),
        (r"#### (.+)", "#### 1\n#### 2", "2"),
        (r"\d+ cats", "3 cats", "3 cats"),
        (r"#### (.+)", "no mark", ""),
    ],
)
def test_extraction(name: str, text: str, extracted: str) -> None:
    assert answers.extraction(name)(text) == extracted


def test_best_of_several_right_answers_counts() -> None:
    assert answers.score({"gold": ["iron", "Fe"]}, ["fe"], "exact_match", "all") == {"exact_match": 1.0}


def test_digest_follows_what_is_asked_and_scored() -> None:
    changes: list[dict[str, Any]] = [{}, {"metric": "f1"}, {"extract": "first_number"}, {"max_tokens": 65}]
    assert len({template_task("generate", SVAMP | change).digest for change in changes}) == 4


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"answer": "x"}, "prompt is missing; add it"),
        ({**SVAMP, "metric": "acc"}, "metric: is 'acc'; kind: generate has exact_match, number, f1, contains"),
        ({**SVAMP, "choices": "{{c}}"}, "choices: is not a key of kind: generate"),
        ({**SVAMP, "extract": "last_numbr"}, "extract: there is no 'last_numbr'; give one of all, first_line"),
        ({**SVAMP, "extract": "(x"}, "extract: '(x' is not a regular expression"),
        ({**SVAMP, "prompt": "{{Body"}, "prompt: '{{Body' is not a Jinja template"),
    ],
)
def test_section_that_cannot_be_asked_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="Value error") as raised:
        Benchmark.model_validate({"kind": "generate", "data": {"path": "x.jsonl"}, **keys})
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"Body": "b", "Question": "q"}, "has no Answer, only Body, Question"),
        ({"Body": "b", "Question": None, "Answer": 1}, "has no Question"),
        ({"Body": "b", "Question": "q", "Answer": "twelve"}, "answer gives 'twelve', which is not a number"),
    ],
)
def test_item_that_cannot_be_asked_is_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    path = write_jsonl(tmp_path / "svamp.jsonl", [SVAMP_ROW, row])
    with refused(f"{path}: item 1", message):
        read_items(path, template_task("generate", SVAMP), None)


def test_template_cannot_reach_python(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "svamp.jsonl", [SVAMP_ROW])
    keys = SVAMP | {"prompt": "{{ Body.__class__.__mro__ }}"}
    with refused(f"{path}: item 0", "prompt cannot be rendered"):
        read_items(path, template_task("generate", keys), None)


def test_cluster_field_is_read_even_if_no_template_does(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "svamp.jsonl", [SVAMP_ROW, SVAMP_ROW, SVAMP_ROW | {"Type": "Division"}])
    values = {"kind": "generate", "data": {"path": str(path)}, "cluster": ["Type"], **SVAMP}
    clusters = read_items(path, Benchmark.model_validate(values).find_task("harness"), None).clusters
    assert clusters
    assert clusters[0] == clusters[1] != clusters[2]
