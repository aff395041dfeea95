"""Tasks from outside the package: folders of lm-eval's YAML, functions of modules, entry points."""

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from prunegrid.core import plugins
from prunegrid.evaluation.items import read_items
from prunegrid.experiment.evaluation import Evaluation
from prunegrid.tasks.catalog import find_task
from prunegrid.tasks.outside import folder_tasks, outside_tasks
from support.errors import refused
from support.toy_tasks import write_jsonl

BASE = """
output_type: generate_until
dataset_path: lab/quiz
dataset_name: main
test_split: test
doc_to_text: "Q: {{q}}\\nA:"
doc_to_target: "{{a}}"
process_results: !function utils.score
metric_list:
  - {metric: right, aggregation: mean, higher_is_better: true}
"""
QUIZ = "task: quiz\ninclude: _base\nvalidation_split: validation\ntest_split: null\n"
UTILS = "def score(doc, results):\n    return {'right': float(results[0].strip() == doc['a'])}\n"
MODULE = """
def text(doc):
    return doc["q"] + "?"

def one():
    return {"task": "one", "doc_to_text": text, "doc_to_target": "{{a}}"}

def many():
    common = {"doc_to_text": text, "doc_to_target": "{{a}}", "output_type": "generate_until"}
    return {"first": common, "second": {**common, "metadata": {"version": 3}}}

def hidden():
    return {"task": "hidden", "doc_to_text": lambda doc: doc["q"]}

def nothing():
    return 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "lab"
    (folder / "sub").mkdir(parents=True)
    (folder / "_base").write_text(BASE)
    (folder / "quiz.yaml").write_text(QUIZ)
    (folder / "utils.py").write_text(UTILS)
    return folder


def test_folder_task_has_its_includes_functions_and_defaults(folder: Path) -> None:
    task = find_task("harness", "quiz", ["lab"])
    assert task.data == {"hub": "lab/quiz", "config": "main", "split": "validation"}
    assert task.metadata == {"version": 0, "table_filter": "none", "table_metric": "right"}
    assert task.config["generation_kwargs"] == {"do_sample": False, "max_gen_toks": 256, "until": ["\n\n"]}
    assert "include" not in task.config
    assert task.resolve()["process_results"]({"a": "x"}, [" x"]) == {"right": 1.0}
    rows = [{"q": "b", "a": "x", "more": 1}]
    assert read_items(write_jsonl(folder / "rows.jsonl", rows), task, None).docs == rows, "the whole row"


def test_digest_covers_yaml_includes_and_python(folder: Path) -> None:
    digests = [find_task("harness", "quiz", ["lab"]).digest]
    for name, text in {
        "quiz.yaml": QUIZ + "target_delimiter: ''\n",
        "_base": BASE + "repeats: 1\n",
        "utils.py": UTILS + "\n",
    }.items():
        (folder / name).write_text(text)
        digests.append(find_task("harness", "quiz", ["lab"]).digest)
    (folder / "README.md").write_text("x")
    assert len(set(digests)) == 4
    assert find_task("harness", "quiz", ["lab"]).digest == digests[-1]
    folder.rename(folder.with_name("elsewhere"))
    assert find_task("harness", "quiz", ["elsewhere"]).digest == digests[-1], "wherever the folder is"


def test_equal_module_names_of_two_folders_stay_apart(folder: Path) -> None:
    other = folder / "sub"
    (other / "quiz2.yaml").write_text("task: quiz2\ninclude: ../_base\nprocess_docs: !function utils.double\n")
    (other / "utils.py").write_text("def double(docs):\n    return [*docs, *docs]\n")
    tasks = {task.name: task for task in folder_tasks(folder)}
    config = tasks["quiz2"].config
    assert config["process_docs"] == "!function sub.utils.double"
    assert config["process_results"] == "!function utils.score"
    path = write_jsonl(folder / "rows.jsonl", [{"q": "b", "a": "x"}])
    assert len(read_items(path, tasks["quiz2"], None).docs) == 2
    assert tasks["quiz"].resolve()["process_results"]({"a": "x"}, ["y"]) == {"right": 0.0}


def test_benchmark_of_a_folder_task_needs_no_data(folder: Path) -> None:
    evaluation = Evaluation.model_validate({"tasks": ["lab"], "benchmarks": {"Quiz": {"task": "quiz"}}})
    dump = evaluation.model_dump(mode="json", exclude_none=True)
    data = {"hub": "lab/quiz", "config": "main", "split": "validation"}
    assert dump["benchmarks"]["Quiz"] == {"task": "quiz", "data": data}
    assert Evaluation.model_validate(dump) == evaluation
    (folder / "quiz.yaml").write_text(QUIZ + "dataset_path: null\n")
    with pytest.raises(ValueError, match=r"benchmarks.Quiz.data is missing; add it"):
        Evaluation.model_validate({"tasks": ["lab"], "benchmarks": {"Quiz": {"task": "quiz"}}})


def test_folder_is_found_from_a_results_folder_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.parent / "away").mkdir()
    monkeypatch.chdir(folder.parent / "away")
    with refused("lab", "is not a folder in"):
        find_task("harness", "quiz", ["lab"])
    plugins.add_search_path(folder.parent)
    assert find_task("harness", "quiz", ["lab"]).name == "quiz"


def test_function_returns_one_task_or_several_by_name(folder: Path) -> None:
    (folder.parent / "lab_tasks.py").write_text(MODULE)
    tasks = outside_tasks(["lab_tasks:one", "lab_tasks:many"])
    assert list(tasks) == ["one", "first", "second"]
    assert tasks["one"].resolve()["doc_to_text"]({"q": "b"}) == "b?"
    assert json.loads(json.dumps(tasks["one"].config))["doc_to_text"] == "!function lab_tasks.text"
    assert tasks["one"].code == (folder.parent / "lab_tasks.py",)
    assert tasks["second"].metadata == {"version": 3, "table_filter": "none", "table_metric": "exact_match"}
    for name, problem in {
        "hidden": "'hidden.<locals>.<lambda>', which is not a function of a module",
        "nothing": "returns int",
        "absent": "module lab_tasks has no 'absent'",
    }.items():
        with refused(f"lab_tasks:{name}", problem):
            outside_tasks([f"lab_tasks:{name}"])


def test_installed_packages_tasks_are_found_without_being_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.parent / "lab_more.py").write_text(MODULE)
    (folder / "__init__.py").write_text("")
    entries = [EntryPoint(name, value, "prunegrid.tasks") for name, value in {"a": "lab_more:one", "b": "lab"}.items()]
    monkeypatch.setattr(plugins, "entry_points", lambda group: entries if group == "prunegrid.tasks" else [])
    assert [find_task("paper", name).name for name in ("one", "quiz")] == ["one", "quiz"]


@pytest.mark.parametrize(
    ("files", "where", "problem"),
    [
        ({"again.yaml": QUIZ}, "lab", "has the task 'quiz', as lab does"),
        ({"arc.yaml": QUIZ.replace("quiz", "arc_easy")}, "lab", "has the task 'arc_easy', as the protocol does"),
        ({"bad.yaml": "task: [x"}, "{folder}/bad.yaml", "not YAML"),
        ({"bad.yaml": "just text"}, "{folder}/bad.yaml", "holds no keys"),
        ({"bad.yaml": "task: x\ninclude: nowhere"}, "{folder}/nowhere", "cannot be read"),
        ({"bad.yaml": "task: x\ninclude: bad.yaml"}, "{folder}/bad.yaml", "includes itself"),
        ({"bad.yaml": "task: x\ninclude: ../../x.yaml"}, "{folder}/../..", "lies outside of"),
        ({"bad.yaml": "task: x\noutput_type: loglikelihood_rolling"}, "{folder}/bad.yaml", "output_type is"),
        (
            {"bad.yaml": "task: x\noutput_type: multiple_choice\nmetadata: {scored_by: nll}"},
            "{folder}/bad.yaml: metadata.scored_by",
            "is 'nll'",
        ),
        (
            {"bad.yaml": "task: x\noutput_type: generate_until\nmetadata: {scored_by: nll_per_token}"},
            "{folder}/bad.yaml: metadata.scored_by",
            "with output_type: generate_until",
        ),
        ({"bad.yaml": "task: x\nnum_fewshot: 5"}, "{folder}/bad.yaml: num_fewshot", "requests 5 examples"),
        (
            {"bad.yaml": "task: x\nmetric_list: [{metric: mcc, aggregation: matthews_corrcoef}]"},
            "{folder}/bad.yaml: metric_list",
            "no metric of mcc is a mean",
        ),
    ],
)
def test_folder_that_cannot_be_read_is_refused(folder: Path, files: dict[str, str], where: str, problem: str) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)
    place = where.format(folder=folder)
    with refused(Path(place).resolve() if ".." in place else place, problem):
        find_task("harness", "quiz", ["lab"])


@pytest.mark.parametrize(
    ("utils", "problem"),
    [("", "utils has no function 'score'"), ("import nowhere", "No module named 'nowhere'"), ("def (", "SyntaxError")],
)
def test_function_that_is_not_there_is_refused(folder: Path, utils: str, problem: str) -> None:
    (folder / "utils.py").write_text(utils)
    task: Any = find_task("harness", "quiz", ["lab"])
    with refused("task quiz: !function utils.score", problem):
        task.resolve()
