"""Examples before every question: rows by their numbers, or a text as it is; carried by the file of items."""

import json
from pathlib import Path
from typing import Any

import pytest

from prunegrid.data.datasets import write_benchmark
from prunegrid.evaluation.evaluate import evaluate
from prunegrid.evaluation.language_model import LanguageModel
from prunegrid.experiment.dataset import DataRef
from prunegrid.experiment.evaluation import Benchmark
from prunegrid.experiment.examples import Examples
from support.errors import refused
from support.toy_tasks import ITEMS, toy_benchmark, write_jsonl

TRAINING = [{"question": f"What is {n}+1?", "answer": f"{n}+1={n + 1}\n#### {n + 1}"} for n in range(5)]
TEXT = 'Q: {{ 7 * 6 }} {% raw %}\r\n "é😀" \\n A: 42\n\n'


@pytest.fixture
def prompts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the model is asked, in order."""
    asked: list[str] = []
    answer = LanguageModel.generate_until

    def generate_until(lm: Any, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        asked.extend(request.args[0] for request in requests)
        return answer(lm, requests, disable_tqdm)

    monkeypatch.setattr(LanguageModel, "generate_until", generate_until)
    return asked


def run(
    model: Path, folder: Path, benchmark: Benchmark, items: list[dict[str, Any]], **settings: Any
) -> dict[str, Any]:
    """Write the file of items as the workflow does, then evaluate."""
    source, rows = write_jsonl(folder / "source.jsonl", items), write_jsonl(folder / "training.jsonl", TRAINING)
    file = folder / "items.jsonl"
    write_benchmark(DataRef(path=str(source)), str(source), file, benchmark.examples, str(rows))
    short = benchmark.gen_kwargs.model_copy(update={"max_gen_toks": 5})
    asked = {"B": benchmark.model_copy(update={"gen_kwargs": short})}
    return evaluate(model, folder, benchmarks=asked, data={"B": file}, digests={"model": "m"}, **settings)["B"]


def examples(*rows: int) -> Examples:
    return Examples(data=DataRef(path="training.jsonl"), rows=list(rows))


@pytest.mark.parametrize(
    ("protocol", "ask"),
    [("harness", "Question: {}\nAnswer:"), ("paper", "Question: {}\nLet's think step by step\nAnswer:")],
)
def test_rows_stand_in_the_order_asked_in_the_tasks_words(
    protocol: str, ask: str, toy_model: Path, tmp_path: Path, prompts: list[str]
) -> None:
    benchmark = toy_benchmark("gsm8k").model_copy(update={"examples": examples(3, 1)})
    record = run(toy_model, tmp_path, benchmark, ITEMS["gsm8k"], protocol=protocol)
    shown = "".join(f"{ask.format(TRAINING[n]['question'])} {TRAINING[n]['answer']}\n\n" for n in (3, 1))
    assert prompts == [shown + ask.format(item["question"]) for item in ITEMS["gsm8k"]]
    assert record["n_available"] == record["n_items"] == 3
    assert record["examples"] == {"data": {"hub": None, "config": None, "split": "train", "revision": None,
                                           "path": "training.jsonl"}, "rows": [3, 1]}  # fmt: skip
    plain = run(toy_model, tmp_path, toy_benchmark("gsm8k"), ITEMS["gsm8k"], protocol=protocol)
    assert plain["task_hash"] == record["task_hash"] and plain["data_hash"] != record["data_hash"]
    assert "examples" not in plain


def test_a_text_stands_before_each_question_as_it_is(toy_model: Path, tmp_path: Path, prompts: list[str]) -> None:
    (tmp_path / "prompt.txt").write_bytes(TEXT.encode())
    benchmark = toy_benchmark("triviaqa").model_copy(update={"examples": str(tmp_path / "prompt.txt")})
    run(toy_model, tmp_path, benchmark, ITEMS["triviaqa"])
    assert prompts == [f"{TEXT}Question: {item['question']}?\nAnswer:" for item in ITEMS["triviaqa"]]


def test_a_section_of_kind_generate_takes_examples(toy_model: Path, tmp_path: Path, prompts: list[str]) -> None:
    keys = {"prompt": "Say {{question}}", "answer": "{{answer[-1]}}", "metric": "exact_match"}
    benchmark = Benchmark(kind="generate", data=DataRef(path="unused.jsonl"), examples=examples(0), **keys)
    run(toy_model, tmp_path, benchmark, ITEMS["gsm8k"])
    assert prompts[0] == f"Say What is 0+1? 1\n\nSay {ITEMS['gsm8k'][0]['question']}"


def test_examples_that_are_not_there_are_named(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "training.jsonl", TRAINING)
    ref, out = DataRef(path=str(source)), tmp_path / "items.jsonl"
    with refused(f"examples: {source}", "5 rows", "no row 9", fix="from 0 to 4"):
        write_benchmark(ref, str(source), out, examples(1, 9), str(source))
    assert not out.exists()
    empty = tmp_path / "empty.txt"
    empty.write_text(" \n")
    with refused(empty, "is empty"):
        write_benchmark(ref, str(source), out, str(empty))
    with refused(tmp_path / "none.txt", "cannot be read"):
        write_benchmark(ref, str(source), out, str(tmp_path / "none.txt"))


def test_a_file_without_its_examples_and_a_bad_example_are_named(toy_model: Path, tmp_path: Path) -> None:
    benchmark = toy_benchmark("gsm8k").model_copy(update={"examples": examples(0)})
    file = write_jsonl(tmp_path / "items.jsonl", ITEMS["gsm8k"])
    with refused(file, "no examples in its first line"):
        evaluate(toy_model, tmp_path, benchmarks={"B": benchmark}, data={"B": file})
    file.write_text(json.dumps({"examples": [{"question": "q"}]}) + "\n" + json.dumps(ITEMS["gsm8k"][0]) + "\n")
    with refused(f"{file}: example 0", "has no answer"):
        evaluate(toy_model, tmp_path, benchmarks={"B": benchmark}, data={"B": file})
