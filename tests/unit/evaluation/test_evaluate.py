"""Evaluation: whole runs of every task on a toy model, options scored against a loop, errors."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prunegrid.core.files import sha256
from prunegrid.core.versions import STEP
from prunegrid.evaluation.evaluate import evaluate, load_model
from prunegrid.evaluation.items import read_items
from prunegrid.experiment.dataset import DataRef
from prunegrid.tasks.catalog import find_task, known_tasks
from support.errors import refused
from support.toy_tasks import ITEMS, TASKS, toy_benchmark, write_jsonl


@pytest.fixture(scope="session")
def evaluated(
    toy_model: Path, data: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, dict[str, Any]]]:
    out = tmp_path_factory.mktemp("out")
    benchmarks = {task: toy_benchmark(task) for task in TASKS}
    return out, evaluate(toy_model, out, benchmarks=benchmarks, data=data, batch_tokens=4096, digests={"model": "m"})


@pytest.mark.parametrize("task", TASKS)
def test_files_are_whole(task: str, evaluated: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    out, records = evaluated
    record = json.loads((out / f"{task}.json").read_text())
    assert record == records[task]
    assert (record["schema"], record["task"], record["protocol"]) == (2, task, "harness")
    assert record["n_items"] == record["n_available"] == record["n_eligible"] == len(ITEMS[task])
    assert record["n_complete"] is None
    assert record["items_hash"] == sha256(out / f"{task}.parquet")
    assert record["digests"] == {"model": "m"}
    assert set(record["versions"]) == {"lm_eval", "transformers", "torch", "peft", "datasets"}
    assert record["step"] == STEP["evaluate"]
    assert record["data"] == toy_benchmark(task).data.model_dump(mode="json")
    assert record["task_hash"] == find_task("harness", task).digest
    assert record["n_truncated"] == 0
    assert record["seconds"] > 0
    items = pq.read_table(out / f"{task}.parquet").to_pylist()
    shown = [item for item in items if item["filter"] == record["filter"]]
    assert [item["doc_id"] for item in shown] == list(range(len(ITEMS[task])))
    assert record["score"] == pytest.approx(100 * sum(item["value"] for item in shown) / len(shown))
    assert all(len(item[key]) == 64 for item in items for key in ("doc_hash", "prompt_hash", "target_hash"))
    assert len(items) == len(shown) * (2 if task == "gsm8k" else 1)
    assert (shown[0]["cluster"] == shown[0]["doc_hash"]) == (task != "squadv2")
    shown_metric = f"{record['metric']},{record['filter']}"
    assert record["metrics"][shown_metric] == {"score": record["score"], "stderr": record["stderr"]}


def test_other_metrics_are_there(evaluated: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    metrics = {task: set(record["metrics"]) for task, record in evaluated[1].items()}
    assert metrics["arc_easy"] == {"acc,none", "acc_norm,none"}
    assert metrics["gsm8k"] == {"exact_match,strict-match", "exact_match,flexible-extract"}
    assert {"exact,none", "f1,none", "HasAns_f1,none", "NoAns_f1,none"} <= metrics["squadv2"]


def test_scores_of_known_answers(
    toy_model: Path, data: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From answers to JSON and Parquet, worked by hand: the toy model itself is never right."""
    from prunegrid.evaluation.language_model import LanguageModel

    said = {
        "gsm8k": ["So #### 4", "It is 6", "600"],
        "squadv2": [" The milk.", " unanswerable", " fish live"],
        "squadv2_prunegrid": [" The milk.", " unanswerable", " fish live"],
        "triviaqa": [" FE", " dog", " h2o"],
    }
    values = {
        "gsm8k": [1, 1, 0],
        "squadv2": [1, 0, 2 / 3],
        "squadv2_prunegrid": [1, 1, 2 / 3],
        "triviaqa": [1, 0, 1],
    }
    data = data | {"squadv2_prunegrid": data["squadv2"]}
    turns = iter(said.values())
    monkeypatch.setattr(LanguageModel, "generate_until", lambda self, requests, **_: next(turns))
    records = evaluate(toy_model, tmp_path, benchmarks={task: toy_benchmark(task) for task in said}, data=data)
    for task, expected in values.items():
        table = pq.read_table(tmp_path / f"{task}.parquet").to_pylist()
        assert [row["value"] for row in table if row["filter"] == records[task]["filter"]] == expected
        assert records[task]["score"] == pytest.approx(100 * sum(expected) / 3)
    assert records["gsm8k"]["metrics"]["exact_match,strict-match"]["score"] == pytest.approx(100 / 3)
    for task, no_answer in (("squadv2", 0), ("squadv2_prunegrid", 100)):
        squad = {key: value["score"] for key, value in records[task]["metrics"].items()}
        assert squad["HasAns_f1,none"] == pytest.approx(500 / 6)
        assert (squad["NoAns_f1,none"], squad["exact,none"]) == (no_answer, pytest.approx((100 + no_answer) / 3))
    assert records["triviaqa"]["stderr"] == pytest.approx(100 / 3)
    responses = pq.read_table(tmp_path / "gsm8k.parquet")["response"].to_pylist()
    assert responses == ["4", "[invalid]", "[invalid]", "4", "6", "600"], "strict-match, then flexible-extract"


def test_options_against_a_loop(toy_model: Path, data: dict[str, Path], tmp_path: Path) -> None:
    """acc and acc_norm from one forward per option, log-probabilities summed in float64, on random items."""
    import random

    import torch

    from prunegrid.models import load_tokenizer

    draw = random.Random(0)
    nouns = ["milk", "sand", "iron", "water", "cat", "fish", "house", "red", "wood", "sea"]
    rows: list[dict[str, Any]] = [
        {
            "question": f"What is {draw.choice(nouns)} {i}?",
            "choices": {
                "text": [" ".join(draw.sample(nouns, draw.randint(1, 4))) for _ in range(n)],
                "label": list("12345"[:n]),
            },
            "answerKey": str(draw.randint(1, n)),
        }
        for i in range(12)
        for n in [draw.randint(3, 5)]
    ]
    path = write_jsonl(tmp_path / "arc.jsonl", rows)
    record = evaluate(
        toy_model, tmp_path, benchmarks={"A": toy_benchmark("arc_easy")}, data={"A": path}, batch_tokens=500
    )["A"]

    model, tokenizer = load_model(toy_model, None, "float32", "cpu"), load_tokenizer(toy_model)

    def log_probability(prompt: str, option: str) -> float:
        ids = torch.tensor([tokenizer.encode(prompt + option)])
        start = len(tokenizer.encode(prompt))
        with torch.no_grad():
            log_probs = model(ids).logits[0].double().log_softmax(-1)
        return float(log_probs[start - 1 : -1].gather(1, ids[0, start:, None]).sum())

    summed, per_character = [], []
    for row in rows:
        scores = [
            log_probability(f"Question: {row['question']}\nAnswer:", f" {text}") for text in row["choices"]["text"]
        ]
        normed = [score / len(text) for score, text in zip(scores, row["choices"]["text"], strict=True)]
        gold = int(row["answerKey"]) - 1
        summed.append(float(scores.index(max(scores)) == gold))
        per_character.append(normed.index(max(normed)) == gold)
    assert pq.read_table(tmp_path / "A.parquet")["value"].to_pylist() == summed
    assert record["metrics"]["acc_norm,none"]["score"] == pytest.approx(100 * sum(per_character) / len(rows))
    assert len(set(summed)) == 2
    responses = [json.loads(text) for text in pq.read_table(tmp_path / "A.parquet")["response"].to_pylist()]
    assert [len(scores) for scores in responses] == [len(row["choices"]["text"]) for row in rows]
    assert responses[-1] == pytest.approx(scores, abs=1e-3), "in nats"


def test_again_is_identical(
    toy_model: Path, data: dict[str, Path], tmp_path: Path, evaluated: tuple[Path, dict[str, dict[str, Any]]]
) -> None:
    """Scores do not change with a second run, nor with which other benchmarks are asked."""
    out, records = evaluated
    repeated = evaluate(
        toy_model,
        tmp_path,
        benchmarks={task: toy_benchmark(task) for task in ("squadv2", "arc_easy")},
        data=data,
        batch_tokens=4096,
        digests={"model": "m"},
    )
    for task, record in repeated.items():
        assert {**record, "seconds": 0} == {**records[task], "seconds": 0}
        assert pq.read_table(tmp_path / f"{task}.parquet") == pq.read_table(out / f"{task}.parquet")


def test_limit_and_two_benchmarks_of_one_task(toy_model: Path, data: dict[str, Path], tmp_path: Path) -> None:
    benchmarks = {
        "first": toy_benchmark("arc_easy", 1),
        "more": toy_benchmark("arc_easy", 3),
        "all": toy_benchmark("arc_easy", 99),
    }
    records = evaluate(toy_model, tmp_path, benchmarks=benchmarks, data=dict.fromkeys(benchmarks, data["arc_easy"]))
    assert [(r["n_items"], r["limit"], r["n_available"]) for r in records.values()] == [
        (1, 1, 4),
        (3, 3, 4),
        (4, 99, 4),
    ]
    assert records["first"]["stderr"] is None
    assert records["more"]["stderr"] is not None


def test_parquet_gives_the_same_items(data: dict[str, Path], tmp_path: Path) -> None:
    path, ref = tmp_path / "squad.parquet", DataRef(path="squad.parquet")
    pq.write_table(pa.Table.from_pylist(ITEMS["squadv2"]), path)
    items = read_items(path, find_task("harness", "squadv2"), ref)
    assert items == read_items(data["squadv2"], find_task("harness", "squadv2"), ref)
    assert "id" not in items.docs[0]


def test_rows_stop_on_their_own(toy_model: Path) -> None:
    """Row-wise stopping gives the text of lm-eval's own loop, where rows end on different strings."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from prunegrid.evaluation.harness import wrap

    ours = wrap(load_model(toy_model, None, "float32", "cpu"), toy_model, 8192)
    stock = HFLM(pretrained=ours.model, tokenizer=ours.tokenizer, backend="causal", batch_size=8)
    prompts = [f"Question: {row['question']}\nAnswer:" for rows in ITEMS.values() for row in rows[:2]]

    def answers(model: HFLM, *stops: str) -> list[str]:
        setting = {"until": list(stops), "do_sample": False, "max_gen_toks": 24}
        requests = [Instance("generate_until", {}, (prompt, dict(setting)), 0) for prompt in prompts]
        return list(model.generate_until(requests, disable_tqdm=True))

    stopped = answers(ours, "&", "9")
    assert stopped == answers(stock, "&", "9")
    assert stopped not in (answers(ours, "&"), answers(ours, "9")), "rows must end on either string"
    special = list(zip(answers(ours, "<pad>"), answers(stock, "<pad>"), strict=True))
    assert all(theirs.startswith(text) for text, theirs in special)
    assert any(theirs != text for text, theirs in special), "lm-eval no longer keeps text behind a special stop"


def test_a_template_is_compiled_once() -> None:
    """Compiling it for every item, as lm-eval does, took as long as a small model's answers."""
    from lm_eval import utils

    from prunegrid.evaluation import harness

    assert harness.utils is utils
    assert [utils.apply_template("{{a}} + 1", {"a": number}) for number in (1, 2)] == ["1 + 1", "2 + 1"]
    assert utils.env.from_string("{{a}} + 1") is utils.env.from_string("{{a}} + 1")


def test_generation_config_of_the_base_is_not_followed(toy_model: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, GenerationConfig

    model = AutoModelForCausalLM.from_pretrained(toy_model)
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=0.7, repetition_penalty=1.3, eos_token_id=[1, 0]
    )
    model.save_pretrained(tmp_path)
    kept = load_model(tmp_path, None, "float32", "cpu").generation_config
    assert kept.eos_token_id == [1, 0]
    assert kept.to_diff_dict().keys().isdisjoint({"do_sample", "temperature", "repetition_penalty"})


def test_adapter_is_merged(toy_model: Path, tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    base = load_model(toy_model, None, "float32", "cpu")
    adapted = get_peft_model(base, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)).eval()
    adapted.save_pretrained(str(tmp_path))
    ids = torch.arange(20)[None]
    with torch.no_grad():
        merged = load_model(toy_model, tmp_path, "float32", "cpu")(ids).logits
        assert torch.allclose(merged, adapted(ids).logits, atol=1e-4)
        assert not torch.allclose(merged, load_model(toy_model, None, "float32", "cpu")(ids).logits, atol=1e-2)


def test_adapter_of_another_model_is_refused(toy_model: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import load_file, save_file

    with refused(tmp_path, "adapter_model.safetensors"):
        load_model(toy_model, tmp_path, "float32", "cpu")
    base = load_model(toy_model, None, "float32", "cpu")
    get_peft_model(base, LoraConfig(r=2, target_modules="all-linear")).save_pretrained(str(tmp_path))
    weights = tmp_path / "adapter_model.safetensors"
    save_file({name.replace("layers", "blocks"): w for name, w in load_file(weights).items()}, weights)
    with refused(tmp_path, "missing adapter keys"):
        load_model(toy_model, tmp_path, "float32", "cpu")


def test_prompts_that_are_cut_are_counted(toy_model: Path, tmp_path: Path) -> None:
    long = {**ITEMS["squadv2"][0], "context": "Cats drink milk. " * 400}
    path = write_jsonl(tmp_path / "squad.jsonl", [ITEMS["squadv2"][1], long])
    record = evaluate(toy_model, tmp_path, benchmarks={"S": toy_benchmark("squadv2")}, data={"S": path})["S"]
    assert record["n_truncated"] == 1


def test_a_task_that_cannot_be_answered_as_written() -> None:
    from prunegrid.evaluation.harness import check_length

    greedy = {"until": ["x"], "do_sample": False, "max_gen_toks": 32}
    check_length("B", greedy, 33)
    with refused("B: generation_kwargs.max_gen_toks", "context of 32 tokens"):
        check_length("B", greedy, 32)


def test_known_tasks() -> None:
    assert set(known_tasks("harness")) == {*TASKS, "math", "squadv2_prunegrid", "squad_answerable"}
    copied = {"gsm8k_4shot", "squadv2_plausible", "arc_easy_vllm_divisor", "arc_challenge_vllm_divisor"}
    assert set(known_tasks("paper")) == {*TASKS, "math", *copied}
    with refused("evaluation.protocol", "nonesuch", fix="harness, paper"):
        known_tasks("nonesuch")


def test_errors_come_before_the_model(tmp_path: Path, data: dict[str, Path]) -> None:
    nowhere = tmp_path / "no-model"

    def run(task: str, path: Path) -> None:
        evaluate(nowhere, tmp_path, benchmarks={"B": toy_benchmark(task)}, data={"B": path})

    with refused("protocol harness", "nonesuch", fix="arc_challenge, arc_easy"):
        run("nonesuch", data["arc_easy"])
    file = tmp_path / "d.jsonl"
    with refused(f"{file}: item 0", "answers.text", "question, answer, title, context", fix="title, context, question"):
        run("squadv2", write_jsonl(file, [{**ITEMS["gsm8k"][0], "title": "t", "context": "c"}]))
    with refused(file):
        run("gsm8k", write_jsonl(file, []))
    file.write_text('{"question": "x", "answer": "#### 1"}\n{"question": ')
    with refused(f"{file}:2"):
        run("gsm8k", file)
    with refused("evaluate: data of C"):
        evaluate(nowhere, tmp_path, benchmarks={"C": toy_benchmark("gsm8k")}, data={})
