r"""MATH in both protocols: boxed answers, equivalence and measures by hand; lm-eval's own functions and prompt."""

import ast
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from prunegrid.evaluation.evaluate import evaluate
from prunegrid.evaluation.items import read_items
from prunegrid.tasks.catalog import find_task
from prunegrid.tasks.harness import math_answers as harness
from prunegrid.tasks.paper import math_answers as paper
from support.errors import refused
from support.toy_tasks import toy_benchmark, write_jsonl

CLOSING = "Final Answer: The final answer is ${}$. I hope it is correct."
ANSWERS = [
    "24",
    r"\frac{1}{2}",
    r"\frac12",
    r"\dfrac{3}{4}",
    "1/2",
    "0.5",
    ".5",
    r"\sqrt2",
    r"\sqrt[3]8",
    r"\sqrt{13}",
    r"(3,\infty)",
    r"[2,5)",
    r"\left(\frac{a}{b}, 3\right)",
    r"90^\circ",
    r"90^{\circ}",
    r"10\%",
    "10%",
    r"5\text{ cm}",
    r"5 \text{ cm}^2",
    "5 cm",
    r"12\,000",
    "12,000",
    "0,1",
    "1,2,3",
    r"\text{Evelyn}",
    r"\textbf{(B)}",
    "x = 7",
    "k=7",
    r"2\pi cm",
    r"\left\{1, 2\right\}",
    "-3",
    r"\$32",
    "32 dollars",
    r"3\frac{1}{5}",
    r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}",
    "a and b",
    r"5\mbox{ ways}",
    "",
]


def stock(name: str) -> dict[str, Any]:
    """The names that lm-eval's module defines, without those that need computer algebra."""
    tree = ast.parse((stock_folder(name) / "utils.py").read_text())
    tree.body = [node for node in tree.body if not isinstance(node, ast.Try | ast.If)]
    names: dict[str, Any] = {}
    exec(compile(tree, name, "exec"), names)
    return names


def stock_folder(name: str) -> Path:
    spec = importlib.util.find_spec("lm_eval")
    assert spec and spec.origin
    return Path(spec.origin).parent / "tasks" / name


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{3}", "3"),
        (r"first \boxed{3}, then \boxed{4}", "4"),
        (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{3", None),
        ("none", None),
    ],
)
def test_boxed_answer_with_nested_braces(text: str, answer: str | None) -> None:
    assert harness.boxed(text) == paper.boxed(text) == answer


def test_boxed_answer_as_each_protocol_has_it() -> None:
    assert (harness.boxed(r"$\boxed 5$"), paper.boxed(r"$\boxed 5$")) == ("5", None)
    assert (harness.boxed(r"\boxed{{24}}"), paper.boxed(r"\boxed{{24}}")) == ("{24}", "24")


def test_normal_form_is_lm_evals() -> None:
    names = stock("minerva_math")
    for answer in (
        ANSWERS + [f"${answer}$" for answer in ANSWERS] + [f"the answer is ${answer}$ ." for answer in ANSWERS]
    ):
        assert harness.normalise(answer) == names["normalize_final_answer"](answer), answer
    for text in [CLOSING.format(answer) for answer in ANSWERS] + ["nothing", "Final Answer: The final answer is 5"]:
        assert harness.final_answer(text) == names["get_unnormalized_answer"](text)


def test_answers_that_hendrycks_or_minerva_finds_equal_are_right() -> None:
    names = stock("hendrycks_math")
    minerva = stock("minerva_math")["normalize_final_answer"]
    for answer in ANSWERS:
        for gold in ANSWERS:
            expected = minerva(answer) == minerva(gold) or names["is_equiv"](answer, gold)
            assert harness.equal(answer, gold) == expected, (answer, gold)


@pytest.mark.parametrize(
    ("text", "gold", "right"),
    [
        (CLOSING.format(r"\frac12"), r"\frac{1}{2}", True),
        (CLOSING.format("0.5"), r"\frac{1}{2}", True),
        (CLOSING.format("90"), r"90^\circ", True),
        (CLOSING.format("[2,5)"), "[2,5)", True),
        (CLOSING.format("(2,5)"), "[2,5)", False),
        (CLOSING.format(r"5\text{ cm}"), "5", True),
        (CLOSING.format("12,000"), "12000", True),
        (CLOSING.format("2x"), "x+x", False),
    ],
)
def test_harness_measure(text: str, gold: str, right: bool) -> None:
    scores = harness.math_results({"solution": rf"so \boxed{{{gold}}}"}, [text])
    assert scores["exact_match"] == scores["boxed_match"] == right


def test_harness_reads_the_box_only_without_a_closing_sentence() -> None:
    doc = {"solution": r"so \boxed{3}"}

    def scores(text: str) -> list[float]:
        values = harness.math_results(doc, [text])
        return [values["exact_match"], values["boxed_match"]]

    assert scores(r"It is \boxed{3}.") == [0, 1]
    assert scores(r"It is \boxed{3}. " + CLOSING.format(4)) == [0, 0]
    assert scores("It is 3.") == [0, 0]


def test_math_verify_is_a_metric_beside_the_tables() -> None:
    pytest.importorskip("math_verify")
    doc = {"solution": r"so $\boxed{2x}$"}
    scores = harness.math_results(doc, [CLOSING.format("x+x")])
    assert (scores["exact_match"], scores["math_verify"]) == (0, 1)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"It is \boxed{{24}}. Final Answer: The final answer is $25$.", "24"),
        ("So it is. Final Answer: The final answer is $25$. I hope it is correct.", "25"),
        ("The answer is 7 cm. Good", "7"),
        (r"The answer is $\frac12$", r"\frac{1}{2}"),
        ("12,000. Or more", "12000"),
        (r"\boxed{3}" + "\n\nProblem:\n1+1?\nSolution:\n" + r"\boxed{2}", "2"),
    ],
)
def test_paper_reads_the_last_box_then_the_sentence(text: str, answer: str) -> None:
    assert paper.extract(text) == answer


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        (r"\frac12", r"\frac{1}{2}", True),
        ("1/2", r"\dfrac{1}{2}", True),
        ("3.0", "3", True),
        ("90", r"90^\circ", True),
        (r"10\%", "10", True),
        (r"5\text{ cm}", "5", True),
        (r"\text{Evelyn}", "Evelyn", True),
        ("x=7", "7", True),
        (r"\sqrt13", r"\sqrt{13}", True),
        ("(2,5)", "[2,5)", False),
        ("2x", "x+x", False),
        (r"\frac", r"\frac", True),
    ],
)
def test_paper_equivalence(answer: str, gold: str, right: bool) -> None:
    assert paper.equal(answer, gold) is right


def test_paper_measures_differ_where_an_answer_runs_on() -> None:
    runs_on = r"\boxed{3}" + "\n\nProblem:\n1+1?\nSolution:\n" + r"\boxed{2}"
    assert paper.math_results({"solution": r"\boxed{3}"}, [runs_on]) == {"accuracy": 0, "accuracy_first": 1}


def prompt(config: dict[str, Any], doc: dict[str, str]) -> str:
    from lm_eval.api.task import ConfigurableTask

    from prunegrid.evaluation.harness import Docs

    task = ConfigurableTask(config={**config, "custom_dataset": lambda **_: {"test": Docs([doc])}})
    return str(task.fewshot_context(doc, task.config.num_fewshot))


def test_prompt_is_that_of_lm_eval() -> None:
    names, doc = stock("minerva_math"), {"problem": r"What is $\frac12$?", "solution": r"\boxed{1}", "answer": "1"}

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda _, node: names.get(node.value.removeprefix("utils.")))
    config = yaml.load((stock_folder("minerva_math") / "minerva_math_algebra.yaml").read_text(), Loader=Loader)
    for key in ("dataset_path", "dataset_name", "training_split", "process_docs"):
        config.pop(key)
    ours = find_task("harness", "math")
    assert prompt(ours.resolve(), doc) == prompt(config, doc)
    assert ours.config["generation_kwargs"]["until"] == config["generation_kwargs"]["until"]
    assert ours.metadata["stock"].startswith(f"minerva_math {config['metadata']['version']},")


@pytest.mark.parametrize("task", ["math", "gsm8k_4shot"])
def test_turns_of_the_papers_prompt_are_joined_as_opencompass_does(task: str) -> None:
    doc = {"problem": "P?", "solution": r"\boxed{1}", "question": "Q?", "answer": "#### 1"}
    text = prompt(find_task("paper", task).resolve(), doc)
    ends = {
        "math": "\n\nProblem:\nP?\nSolution:\n",
        "gsm8k_4shot": "\n\nQuestion: Q?\nLet's think step by step\nAnswer:",
    }
    assert text.endswith(ends[task])
    assert text.count("Problem:" if task == "math" else "Question: ") == 5
    assert (r"\boxed{{24}}" in text) == (task == "math"), "OpenCompass leaves its doubled braces as they are"


def test_digest_holds_every_module_of_the_functions() -> None:
    for protocol in ("harness", "paper"):
        names = {file.name for file in find_task(protocol, "math").code}
        assert names == {"utils.py", "math_answers.py", "minerva.py"}
        module = sys.modules[f"prunegrid.tasks.{protocol}.math_answers"]
        imported = {getattr(value, "__module__", "") for value in vars(module).values()}
        ours = {name.rpartition(".")[2] for name in imported if name.startswith("prunegrid.")}
        assert {f"{name}.py" for name in ours} <= names


ITEMS = [
    {
        "problem": f"What is {n} + {n}?",
        "level": "Level 1",
        "type": "Algebra",
        "solution": rf"It is $\boxed{{{2 * n}}}$.",
    }
    for n in (1, 2, 3)
]


def test_item_without_a_boxed_answer_is_refused(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "math.jsonl", [*ITEMS, {"problem": "?", "solution": "It is 3."}])
    task = toy_benchmark("math")
    with refused(f"{path}: item 3: solution", "It is 3.", fix="fix the row"):
        read_items(path, task.find_task("paper"), task.data)


@pytest.mark.parametrize(("protocol", "metric"), [("harness", "exact_match"), ("paper", "accuracy")])
def test_math_is_evaluated_like_any_benchmark(toy_model: Path, tmp_path: Path, protocol: str, metric: str) -> None:
    path = write_jsonl(tmp_path / "math.jsonl", ITEMS)
    benchmarks = {"MATH": toy_benchmark("math").model_copy(update={"limit": 2})}
    record = evaluate(toy_model, tmp_path / "out", benchmarks=benchmarks, data={"MATH": path}, protocol=protocol)[
        "MATH"
    ]
    assert (record["metric"], record["n_items"], record["n_available"], record["score"]) == (metric, 2, 3, 0)
