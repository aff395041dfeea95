"""The harness tasks: their measures worked by hand, their choices against the installed lm-eval's."""

import importlib.util
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from prunegrid.tasks.catalog import FORMER_NAMES, current_name, find_task
from prunegrid.tasks.harness.utils import normalise, squad_results, squad_target, trivia_targets

IRON = {"question": "Which metal is red", "answer": {"value": "Iron", "aliases": ["Iron", "Fe"]}}
CAT = {"question": "Who drinks milk", "answer": {"value": "Cat", "aliases": []}}


def test_normalise() -> None:
    assert normalise(" The  Cat, a dog & an  owl's! ") == "cat dog owls"
    assert normalise("Anathema") == "anathema"


@pytest.mark.parametrize(
    ("answer", "golds", "exact", "f1"),
    [
        ("The milk.", ["milk", "cream"], 1.0, 1.0),
        ("warm milk and honey", ["milk", "honey and milk"], 0.0, 6 / 7),
        ("to be or", ["be be or not"], 0.0, 4 / 7),
        ("iron", ["milk"], 0.0, 0.0),
        ("", ["milk"], 0.0, 0.0),
        ("unanswerable", ["milk"], 0.0, 0.0),
        ("", [], 1.0, 1.0),
        (" the.", [], 1.0, 1.0),
        (" Unanswerable.", [], 1.0, 1.0),
        ("It is unanswerable", [], 0.0, 0.0),
        ("milk", [], 0.0, 0.0),
    ],
)
def test_squad(answer: str, golds: list[str], exact: float, f1: float) -> None:
    scores = squad_results({"answers": {"text": golds}}, [answer])
    kind = "HasAns" if golds else "NoAns"
    assert scores == {
        "exact": exact,
        "f1": pytest.approx(f1),
        f"{kind}_exact": exact,
        f"{kind}_f1": pytest.approx(f1),
    }


OFFICIAL = [
    (" The milk.", ["milk", "cream"]),
    ("warm milk and honey", ["milk", "honey and milk"]),
    ("iron", ["milk"]),
    ("", ["milk"]),
    ("the", ["milk", "a"]),
    ("the", ["a"]),
    ("unanswerable", ["milk"]),
    ("", []),
    (" the.", []),
    (" Unanswerable.", []),
    ("milk", []),
]
"""(answer, right answers); one item's only right answer is an article, which normalisation removes."""


def official_scores(answer: str, golds: list[str]) -> tuple[float, float]:
    """Exact match and F1 of the published script: strings are compared, precision and recall taken apart."""
    golds = [gold for gold in golds if normalise(gold)] or [""]
    exact = max(int(normalise(gold) == normalise(answer)) for gold in golds)
    return exact, max(official_f1(normalise(gold).split(), normalise(answer).split()) for gold in golds)


def official_f1(gold: list[str], answer: list[str]) -> float:
    same = sum((Counter(gold) & Counter(answer)).values())
    if not gold or not answer:
        return float(gold == answer)
    if not same:
        return 0.0
    precision, recall = same / len(answer), same / len(gold)
    return 2 * precision * recall / (precision + recall)


def test_squadv2_scores_as_lm_evals_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    """lm-eval's own `process_results` and `aggregation`; the hub's metric is stood in for by the published rules."""
    from lm_eval.tasks.squadv2 import task as stock

    def compute(predictions: Any, references: Any) -> dict[str, float]:
        pairs = list(zip(predictions, references, strict=True))
        assert all(prediction["no_answer_probability"] <= 1 for prediction, _ in pairs), "never above the threshold"
        totals: dict[str, list[float]] = {}
        for prediction, reference in pairs:
            kind = "HasAns" if reference["answers"]["text"] else "NoAns"
            exact, f1 = official_scores(prediction["prediction_text"], reference["answers"]["text"])
            for prefix in ("", f"{kind}_"):
                totals.setdefault(f"{prefix}exact", []).append(exact)
                totals.setdefault(f"{prefix}f1", []).append(f1)
        return {key: 100 * sum(values) / len(values) for key, values in totals.items()}

    monkeypatch.setattr(stock, "_squad_metric", compute)
    task = stock.SQuAD2.__new__(stock.SQuAD2)
    docs = [{"id": str(i), "answers": {"text": golds}} for i, (_, golds) in enumerate(OFFICIAL)]
    theirs = [task.process_results(doc, [answer, (0.0, True)]) for doc, (answer, _) in zip(docs, OFFICIAL, strict=True)]
    score = find_task("harness", "squadv2").resolve()["process_results"]
    ours = [score(doc, [answer]) for doc, (answer, _) in zip(docs, OFFICIAL, strict=True)]
    for metric in ("exact", "f1", "HasAns_exact", "HasAns_f1", "NoAns_exact", "NoAns_f1"):
        values = [scores[metric] for scores in ours if metric in scores]
        expected = task.aggregation()[metric]([item[metric] for item in theirs])
        assert 100 * sum(values) / len(values) == pytest.approx(expected), metric
    assert [scores["exact"] for scores in ours] == [1, 0, 0, 0, 0, 1, 0, 1, 1, 0, 0]


def test_squadv2_stops_where_lm_eval_stops() -> None:
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks.squadv2.task import SQuAD2

    task = SQuAD2.__new__(SQuAD2)
    request = task.construct_requests({}, "prompt")[0]
    ours = find_task("harness", "squadv2").config["generation_kwargs"]
    assert ours["until"] == request.arguments[1]["until"]
    assert request.arguments[1].keys() == {"until"}, "so lm-eval's default number of tokens"
    assert ours["max_gen_toks"] == HFLM.max_gen_toks.fget(HFLM.__new__(HFLM))


def test_squad_answerable_asks_what_has_an_answer_and_scores_as_squadv2_prunegrid() -> None:
    task, whole = find_task("harness", "squad_answerable"), find_task("harness", "squadv2_prunegrid")
    answerable = task.function(task.metadata["only"])
    assert [answerable({"answers": {"text": texts}}) for texts in (["Rollo"], [], ["the"])] == [True, False, False]
    assert {key: task.config[key] for key in ("doc_to_text", "generation_kwargs")} == {
        key: whole.config[key] for key in ("doc_to_text", "generation_kwargs")
    }
    scores = task.resolve()["process_results"]({"answers": {"text": ["Rollo", "Rollo of Norway"]}}, [" Rollo, Norway"])
    assert scores == {"exact": 0, "f1": pytest.approx(4 / 5)}


def test_squadv2_prunegrid_is_the_task_of_former_records() -> None:
    digest = find_task("harness", "squadv2_prunegrid").digest
    assert list(FORMER_NAMES) == [("squadv2", digest)]
    assert current_name("squadv2", digest) == "squadv2_prunegrid"
    assert current_name("squadv2", find_task("harness", "squadv2").digest) == "squadv2"
    assert current_name("squadv2", find_task("paper", "squadv2").digest) == "squadv2"


def test_trivia_targets() -> None:
    assert trivia_targets({"answer": {"value": "A", "aliases": ["A", "B"]}}) == ["A", "B"]
    assert trivia_targets({"answer": {"value": "A", "aliases": ["B"]}}) == ["B", "A"]


def score_answer(task: str, doc: dict[str, Any], answer: str) -> dict[str, float]:
    """One answer through the task's own filters and metric, as lm-eval applies them: value by filter."""
    from lm_eval.api.instance import Instance
    from lm_eval.api.task import ConfigurableTask

    from prunegrid.evaluation.harness import Docs

    spec = find_task("harness", task).resolve()
    built = ConfigurableTask(config={**spec, "custom_dataset": lambda **_: {"test": Docs([doc])}})
    built._instances = [Instance("generate_until", doc, ("", {}), 0, metadata=(task, 0, 1), resps=[answer])]
    built.apply_filters()
    filtered = built.instances[0].filtered_resps
    metric = spec["metadata"]["table_metric"]
    return {name: float(built.process_results(doc, [text])[metric]) for name, text in filtered.items()}


@pytest.mark.parametrize(
    ("answer", "strict", "flexible"),
    [
        ("so 600 * 2.\n#### 1,200", 1, 1),
        ("#### $1,200", 0, 1),
        ("They eat $1,200.", 0, 1),
        ("1200 fish, not 600", 0, 0),
        ("#### -1200", 0, 0),
        ("#### 1200\nSo 3 cats", 1, 0),
        ("many", 0, 0),
    ],
)
def test_gsm8k(answer: str, strict: int, flexible: int) -> None:
    doc = {"question": "?", "answer": "2 * 600 = <<2*600=1200>>1200\n#### 1,200"}
    assert score_answer("gsm8k", doc, answer) == {"strict-match": strict, "flexible-extract": flexible}


def test_gsm8k_negative() -> None:
    doc = {"question": "?", "answer": "#### -5"}
    assert score_answer("gsm8k", doc, "it is -5") == {"strict-match": 0, "flexible-extract": 1}
    assert score_answer("gsm8k", doc, "it is 5")["flexible-extract"] == 0


@pytest.mark.parametrize(
    ("answer", "right"), [(" iron ", 1), ("FE", 1), ("F.e!", 1), ("the iron", 0), ("", 0), ("iron ore", 0)]
)
def test_triviaqa(answer: str, right: int) -> None:
    assert score_answer("triviaqa", IRON, answer) == {"remove_whitespace": right}


def test_triviaqa_first_item_without_aliases() -> None:
    """lm-eval decides from the first item whether targets are lists."""
    assert score_answer("triviaqa", CAT, "cat") == {"remove_whitespace": 1}


@pytest.mark.parametrize("task", ["arc_easy", "gsm8k", "triviaqa"])
def test_choices_are_those_of_lm_eval(task: str) -> None:
    """Prompt, filters, metrics and stop strings are the installed lm-eval's: an upgrade shows here."""
    folder = {"arc_easy": "arc", "triviaqa": "triviaqa/default.yaml"}.get(task, task)
    path = stock_tasks() / folder
    stock = yaml.safe_load((path if path.suffix else path / f"{task}.yaml").read_text())
    ours = find_task("harness", task).config
    for key in ("doc_to_text", "doc_to_choice", "filter_list", "metric_list", "output_type"):
        assert ours.get(key) == stock.get(key), key
    assert ours.get("generation_kwargs", {}).get("until") == stock.get("generation_kwargs", {}).get("until")
    assert ours["metadata"]["stock"].startswith(f"{task} {stock['metadata']['version']},")


def test_arc_challenge_is_arc_easy_as_in_lm_eval() -> None:
    stock = yaml.safe_load((stock_tasks() / "arc/arc_challenge.yaml").read_text())
    assert stock == {"include": "arc_easy.yaml", "task": "arc_challenge", "dataset_name": "ARC-Challenge"}
    easy, challenge = find_task("harness", "arc_easy").config, find_task("harness", "arc_challenge").config
    keys = ("task", "metadata")
    assert {k: v for k, v in easy.items() if k not in keys} == {k: v for k, v in challenge.items() if k not in keys}


def test_squad_prompt_is_that_of_lm_eval() -> None:
    from lm_eval.tasks.squadv2.task import SQuAD2
    from lm_eval.utils import apply_template

    prompt = find_task("harness", "squadv2").config["doc_to_text"]
    assert prompt == find_task("harness", "squadv2_prunegrid").config["doc_to_text"]
    for golds in (["milk", "the milk"], []):
        doc = {"title": "Cats", "context": "Cats drink.", "question": "What?", "answers": {"text": golds}}
        assert apply_template(prompt, doc) == SQuAD2.doc_to_text(None, doc)
        assert f" {squad_target(doc)}" == SQuAD2.doc_to_target(None, doc)


def stock_tasks() -> Path:
    spec = importlib.util.find_spec("lm_eval")
    assert spec is not None
    return Path(str(spec.origin)).parent / "tasks"
