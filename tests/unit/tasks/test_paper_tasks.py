"""The paper protocol's tasks: OpenCompass' post-processing and measures, worked by hand."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from prunegrid.evaluation.evaluate import evaluate
from prunegrid.evaluation.items import read_items
from prunegrid.experiment.dataset import DataRef
from prunegrid.tasks.catalog import find_task
from prunegrid.tasks.paper import squad_plausible
from prunegrid.tasks.paper.utils import (
    four_choices,
    gsm8k_results,
    last_number,
    normalise,
    squad_answer,
    squad_results,
    squad_target,
    trivia_answer,
    trivia_results,
)
from prunegrid.tasks.task import UNHASHED
from support.toy_tasks import ITEMS, toy_benchmark, write_jsonl


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  Cat's an owl!", "Cats owl"),
        ("a THE an Anna", "Anna"),
        ("Denver, Colorado", "Denver"),
        ("St. Louis", "St"),
        ("3.5 million", "3"),
        ("U.S.", "U"),
        ("one\ntwo", "one"),
        (" -- the ", ""),
        (". then", ""),
        ("A. Lincoln", ""),
        ("Arab\u2013Israeli", "ArabIsraeli"),
        ("snake_case", "snake_case"),
    ],
)
def test_normalise(text: str, normal: str) -> None:
    assert normalise(text) == normal


@pytest.mark.parametrize(
    ("texts", "labels", "four"),
    [
        (["a", "b", "c", "d"], "ABCD", True),
        (["a", "b", "c", "d"], "1234", True),
        (["a", "b", "c"], "ABC", False),
        (["a", "b", "c", "d", "e"], "ABCDE", False),
        (["a", "b", "c", "d", "e"], "12345", False),
    ],
)
def test_four_choices(texts: list[str], labels: str, four: bool) -> None:
    assert four_choices({"choices": {"text": texts, "label": list(labels)}}) is four


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2 + 3 = 5", "5"),
        ("It is 5.", "5"),
        ("It is 5.50.", "5.50"),
        ("-7 degrees", "-7"),
        ("from 3-7", "-7"),
        ("$1,200", "200"),
        ("no number", None),
        ("", None),
        ("12 apples\n\nQuestion: 99?", "12"),
        ("Question: 99?", None),
    ],
)
def test_last_number(text: str, number: str | None) -> None:
    assert last_number(text) == number


@pytest.mark.parametrize(
    ("gold", "answer", "accuracy", "commas"),
    [
        ("1,200", "so 600 * 2 = 1200", 1, 1),
        ("1,200", "#### 1,200", 0, 1),
        ("1,200", "1200.0", 1, 1),
        ("200", "$1,200", 1, 0),
        ("1,234,567", "1,234,567.", 0, 1),
        ("3", "we have 2, 3", 1, 1),
        ("-5", "it is -5", 1, 1),
        ("-5", "it is 5", 0, 0),
        ("5", "5.01", 0, 0),
        ("5", "many", 0, 0),
        ("5", "5\nQuestion: what is 6?", 1, 1),
    ],
)
def test_gsm8k(gold: str, answer: str, accuracy: int, commas: int) -> None:
    actual = gsm8k_results({"answer": f"9 * 9 = <<9*9=81>>81\n#### {gold}"}, [answer])
    assert actual == {"accuracy": accuracy, "accuracy_commas": commas}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (" The Milk.", "milk"),
        (" The answer is: Denver. It is", "denver"),
        ("the answer is no, the answer is yes", "yes"),
        ("\nmilk", ""),
        ("milk\nthe answer is iron", "milk"),
        ("Impossible to answer!", "impossible to answer"),
    ],
)
def test_squad_answer(text: str, answer: str) -> None:
    assert squad_answer(text) == answer


@pytest.mark.parametrize(
    ("golds", "plausible", "answer", "right"),
    [
        (["milk", "the cream"], None, "Cream.", 1),
        (["milk"], None, "warm milk", 0),
        (["3.5 litres"], None, "3", 1),
        (["milk"], None, "impossible to answer", 0),
        ([], None, " `impossible to answer`", 1),
        ([], None, "milk", 0),
        ([], None, "", 0),
        ([], ["milk"], "Milk", 1),
        ([], ["milk"], "impossible to answer", 1),
    ],
)
def test_squad(golds: list[str], plausible: list[str] | None, answer: str, right: int) -> None:
    doc: dict[str, Any] = {"answers": {"text": golds}}
    if plausible:
        doc["plausible_answers"] = {"text": plausible}
    assert squad_results(doc, [answer]) == {"exact": right, f"{'HasAns' if golds else 'NoAns'}_exact": right}
    assert squad_target(doc) == [*golds, *(plausible or []), "impossible to answer"][0]


@pytest.mark.parametrize(
    ("golds", "plausible", "answer", "strict", "generous"),
    [
        (["milk"], [], "the milk", 1, 1),
        (["milk"], [], "impossible to answer", 0, 0),
        ([], ["The Thames.", "a river"], "thames", 0, 1),
        ([], ["The Thames.", "a river"], "The answer is River, I think", 0, 1),
        ([], ["The Thames."], "impossible to answer", 1, 1),
        ([], ["The Thames."], "Severn", 0, 0),
        ([], [], "thames", 0, 0),
    ],
)
def test_squad_with_and_without_plausible_answers(
    golds: list[str], plausible: list[str], answer: str, strict: int, generous: int
) -> None:
    doc = {"answers": {"text": golds}, "plausible_answers": {"text": plausible}}
    actual = squad_plausible.squad_results(doc, [answer])
    assert (actual["exact"], actual["exact_with_plausible"]) == (strict, generous)
    kinds = {"HasAns_exact": strict} if golds else {"NoAns_exact": strict, "NoAns_exact_with_plausible": generous}
    assert {name: value for name, value in actual.items() if "Ans" in name} == kinds
    # what `squadv2` makes of the same data, and of data without the field
    assert squad_results(doc, [answer])["exact"] == generous
    assert squad_results({"answers": {"text": golds}}, [answer])["exact"] == strict


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("\n\n The answer is The Iron Lady.", "iron lady"),
        ("A: Fe\nQ: next", "fe"),
        ("Answer: iron, or Fe", "iron"),
        ("Nebraska: Omaha", "omaha"),
        ("", ""),
    ],
)
def test_trivia_answer(text: str, answer: str) -> None:
    assert trivia_answer(text) == answer


@pytest.mark.parametrize(
    ("aliases", "answer", "contains", "some", "exact"),
    [
        (["Iron", "Fe"], "The answer is iron.", 1, 1, 1),
        (["Iron"], "iron ore", 1, 1, 0),
        (["Iron ore"], "iron", 0, 0, 0),
        (["Cu", "Fe"], "coffee", 1, 1, 0),
        (["Iron"], "", 0, 0, 0),
        (["Iron", "🐎"], "gold", 1, 0, 0),
        (["A. Lincoln", "Lincoln"], "Lincoln", 1, 1, 1),
    ],
)
def test_trivia(aliases: list[str], answer: str, contains: int, some: int, exact: int) -> None:
    doc = {"answer": {"value": aliases[0], "aliases": aliases}}
    assert trivia_results(doc, [answer]) == {"contains": contains, "contains_some": some, "exact": exact}


def test_a_trivia_value_counts_as_an_alias() -> None:
    doc = {"answer": {"value": "Iron", "aliases": ["Fe"]}}
    assert trivia_results(doc, ["iron"])["contains"] == 1


def prompt(task: str, doc: dict[str, Any]) -> str:
    from lm_eval.utils import apply_template

    return str(apply_template(find_task("paper", task).config["doc_to_text"], doc))


def test_prompts() -> None:
    """As OpenCompass joins its turns: by newlines, the last one open."""
    assert prompt("arc_easy", {"question": "Why?"}) == "Question: Why?\nAnswer: \n"
    assert prompt("gsm8k", {"question": "Why?"}) == "Question: Why?\nLet's think step by step\nAnswer:"
    assert prompt("triviaqa", {"question": "Why"}).endswith("'The answer is '.\nQ: Why?\nA:")
    squad = prompt("squadv2", {"context": "Cats drink.", "question": "What?"})
    assert squad.startswith("Cats drink.\nAccording to the above passage, answer the following question. If it is ")
    assert squad.endswith(", answer `impossible to answer`:\nQuestion: What?\nAnswer:")


def test_the_original_file_becomes_items_with_plausible_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the script in docs/explanation/paper-protocol.md, run as it stands there."""
    asked = [
        {"question": "Who?", "answers": [{"text": "Ann", "answer_start": 0}], "is_impossible": False},
        {"question": "When?", "answers": [], "plausible_answers": [{"text": "1066"}, {"text": "a day"}]},
    ]
    article = {"title": "T", "paragraphs": [{"context": "Ann came.", "qas": asked}]}
    (tmp_path / "dev-v2.0.json").write_text(json.dumps({"data": [article]}))
    page = (Path(__file__).parents[3] / "docs/explanation/paper-protocol.md").read_text()
    (script,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "dev-v2.0.json" in block)
    monkeypatch.chdir(tmp_path)
    exec(script, {})
    (tmp_path / "squad.jsonl").write_text(capsys.readouterr().out)
    task, ref = find_task("paper", "squadv2_plausible"), DataRef(path="squad.jsonl")
    items = read_items(tmp_path / "squad.jsonl", task, ref)
    assert [doc["plausible_answers"]["text"] for doc in items.docs] == [[], ["1066", "a day"]]
    assert items.clusters and len(set(items.clusters)) == 1
    assert squad_plausible.squad_results(items.docs[1], ["Day."])["exact_with_plausible"] == 1


def unnamed(task: str) -> dict[str, Any]:
    """The configuration without its name and unhashed metadata."""
    config = find_task("paper", task).config
    metadata = {key: value for key, value in config["metadata"].items() if key not in UNHASHED}
    return {key: value for key, value in config.items() if key != "task"} | {"metadata": metadata}


def test_the_four_arc_tasks_differ_in_name_divisor_and_unhashed_metadata() -> None:
    easy = unnamed("arc_easy")
    assert unnamed("arc_challenge") == easy
    easy["metadata"]["scored_by"] = "nll_per_prediction"
    assert unnamed("arc_easy_vllm_divisor") == unnamed("arc_challenge_vllm_divisor") == easy


def test_the_two_squad_tasks_differ_in_name_measure_and_fields() -> None:
    plain, plausible = unnamed("squadv2"), unnamed("squadv2_plausible")
    differing = {key for key in plain | plausible if plain.get(key) != plausible.get(key)}
    assert differing == {"process_results", "metric_list", "metadata"}
    code = find_task("paper", "squadv2_plausible").code
    assert [file.name for file in code] == ["utils.py", "squad_plausible.py"]


def test_generation_settings() -> None:
    limits = {task: find_task("paper", task).config["generation_kwargs"] for task in ("gsm8k", "squadv2", "triviaqa")}
    assert {task: given["max_gen_toks"] for task, given in limits.items()} == {
        "gsm8k": 512,
        "squadv2": 50,
        "triviaqa": 50,
    }
    assert callable(find_task("paper", "gsm8k").resolve()["process_results"])


def test_a_stop_string_changes_no_score() -> None:
    """What is generated behind it is not read."""
    gsm8k, squad = {"answer": "#### 4"}, {"answers": {"text": ["milk"]}}
    for text in ("It is 4.", "", "many"):
        assert gsm8k_results(gsm8k, [text + "Question: 5"]) == gsm8k_results(gsm8k, [text])
    for text in ("milk", "", "the answer is milk"):
        assert squad_results(squad, [text + "\nthe answer is iron"]) == squad_results(squad, [text])


def test_scores_of_known_answers(
    toy_model: Path, data: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From answers to the record and the items, through lm-eval."""
    from prunegrid.evaluation.language_model import LanguageModel

    answers = {
        "gsm8k": ["So #### 4", "It is 6", "1,200 fish"],
        "squadv2": [" The milk.", " impossible to answer", " the answer is: fish"],
        "squadv2_plausible": [" The milk.", " a rust", " the answer is: fish"],
        "triviaqa": ["The answer is FE.", " dog", "\nthe sea of H2O"],
    }
    values = {"gsm8k": [1, 1, 0], "squadv2": [1, 1, 0], "squadv2_plausible": [1, 1, 0], "triviaqa": [1, 0, 1]}
    plausible = [
        item | {"plausible_answers": {"text": [] if item["answers"]["text"] else ["the rust"]}}
        for item in ITEMS["squadv2"]
    ]
    data = data | {"squadv2_plausible": write_jsonl(tmp_path / "plausible.jsonl", plausible)}
    turns = iter(answers.values())
    monkeypatch.setattr(LanguageModel, "generate_until", lambda self, requests, **_: next(turns))
    records = evaluate(
        toy_model, tmp_path, benchmarks={t: toy_benchmark(t) for t in answers}, data=data, protocol="paper"
    )
    for task, expected in values.items():
        table = pq.read_table(tmp_path / f"{task}.parquet").to_pylist()
        assert [row["value"] for row in table] == expected
        assert [row["response"] for row in table] == answers[task], "whole, so that another measure can be tried on it"
        assert records[task]["score"] == pytest.approx(100 * sum(expected) / 3)
        assert records[task]["protocol"] == "paper"
    assert records["gsm8k"]["metrics"]["accuracy_commas,none"]["score"] == 100
    assert records["triviaqa"]["metrics"]["exact,none"]["score"] == pytest.approx(100 / 3)
    squad = {name: metric["score"] for name, metric in records["squadv2_plausible"]["metrics"].items()}
    assert squad == pytest.approx(
        {
            "exact_with_plausible,none": 200 / 3,
            "exact,none": 100 / 3,
            "HasAns_exact,none": 50,
            "NoAns_exact,none": 0,
            "NoAns_exact_with_plausible,none": 100,
        }
    )
    assert len(ITEMS["triviaqa"]) == 3


@pytest.mark.parametrize(("task", "uncounted"), [("arc_easy", 0), ("arc_easy_vllm_divisor", 1)])
def test_arc_against_a_loop(task: str, uncounted: int, toy_model: Path, data: dict[str, Path], tmp_path: Path) -> None:
    """The items of four choices, the whole string's mean NLL in float64, one forward an option."""
    import torch

    from prunegrid.models import load_model, load_tokenizer

    rows = [row for row in ITEMS["arc_easy"] if len(row["choices"]["text"]) == 4]
    model, tokenizer = load_model(toy_model, "float32", "cpu"), load_tokenizer(toy_model)

    def nll(text: str) -> float:
        ids = torch.tensor([tokenizer.encode(text)])
        with torch.no_grad():
            log_probs = model(ids).logits[0, :-1].double().log_softmax(-1)
        return -float(log_probs.gather(1, ids[0, 1:, None]).sum()) / (ids.shape[1] - uncounted)

    requested = {"A": toy_benchmark(task)}
    record = evaluate(toy_model, tmp_path, benchmarks=requested, data={"A": data["arc_easy"]}, protocol="paper")["A"]
    items = pq.read_table(tmp_path / "A.parquet").to_pylist()
    assert (record["n_items"], record["n_eligible"], record["n_available"]) == (2, 2, 4)
    for row, item in zip(rows, items, strict=True):
        expected = [nll(f"Question: {row['question']}\nAnswer: \n{text}") for text in row["choices"]["text"]]
        assert json.loads(item["response"]) == pytest.approx(expected, abs=1e-5)
        gold = row["choices"]["label"].index(row["answerKey"])
        assert item["value"] == float(expected.index(min(expected)) == gold)


def test_the_option_of_least_nll_is_taken(
    toy_model: Path, data: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gold are the second of A-D and the fourth of 1-4."""
    from prunegrid.evaluation.language_model import LanguageModel

    nlls = [2.0, 1.5, 1.6, 3.0, 0.5, 0.6, 0.7, 0.8]
    monkeypatch.setattr(LanguageModel, "nll_per_token", lambda self, requests, **_: nlls[: len(requests)])
    record = evaluate(
        toy_model, tmp_path, benchmarks={"A": toy_benchmark("arc_easy")}, data={"A": data["arc_easy"]}, protocol="paper"
    )["A"]
    assert pq.read_table(tmp_path / "A.parquet")["value"].to_pylist() == [1, 0]
    assert (record["score"], record["metric"]) == (50, "acc")
