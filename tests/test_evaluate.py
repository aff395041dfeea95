"""Evaluation: whole runs of every task on a toy model, options scored against a loop, errors."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prunegrid.errors import PrunegridError
from prunegrid.evaluation.benchmarks import fields, read_items, read_task, task_hash
from prunegrid.evaluation.evaluate import evaluate, known_tasks, load_model
from prunegrid.sections import Benchmark, DataRef

TASKS = ["arc_challenge", "arc_easy", "gsm8k", "squadv2", "triviaqa"]
ARC = [
    ("What do cats drink?", ["milk", "red sand", "iron"], "ABC", "A"),
    ("Which is a metal?", ["wood", "iron", "milk", "sand", "a cat"], "12345", "2"),
    ("Where do fish live?", ["in sand", "in water", "in iron", "in a house"], "ABCD", "B"),
    ("What is red?", ["water", "milk", "sand", "iron when it rusts"], "1234", "4"),
]
ITEMS: dict[str, list[dict[str, Any]]] = {
    "arc_easy": [
        {"id": str(i), "question": q, "choices": {"text": texts, "label": list(labels)}, "answerKey": key}
        for i, (q, texts, labels, key) in enumerate(ARC)
    ],
    "gsm8k": [
        {"question": f"A cat eats {n} fish. How many fish do 2 cats eat?", "answer": f"2*{n}\n#### {2 * n:,}"}
        for n in (2, 3, 600)
    ],
    "squadv2": [
        {
            "id": str(i),
            "title": "Cats",
            "context": "Cats drink milk. Fish live in water.",
            "question": f"What do {who}?",
            "answers": {"text": answers, "answer_start": [0] * len(answers)},
        }
        for i, (who, answers) in enumerate(
            [("cats drink", ["milk", "the milk"]), ("irons eat", []), ("fish do", ["live"])]
        )
    ],
    "triviaqa": [
        {
            "question": "Which metal is red",
            "answer": {"value": "Iron", "aliases": ["Iron", "Fe"], "type": "x"},
        },
        {"question": "Who drinks milk", "answer": {"value": "Cat", "aliases": []}},
        {
            "question": "Where is the fish",
            "answer": {"value": "Water", "aliases": ["Water", "H2O", "the sea"]},
        },
    ],
}
ITEMS["arc_challenge"] = ITEMS["arc_easy"][:3]


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def ask(task: str, limit: int | None = None) -> Benchmark:
    return Benchmark(task=task, data=DataRef(path="unused.jsonl"), limit=limit)


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random 2-layer Llama whose byte-level tokenizer has 300 tokens; its answers are long and wrong."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.set_num_threads(1)
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<pad>", "<end>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        json.dumps(ITEMS),
        trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>", pad_token="<pad>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=1024,
        initializer_range=0.5,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    folder = tmp_path_factory.mktemp("toy")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("data")
    return {task: write_jsonl(folder / f"{task}.jsonl", rows) for task, rows in ITEMS.items()}


@pytest.fixture(scope="session")
def evaluated(
    toy_model: Path, data: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, dict[str, Any]]]:
    out = tmp_path_factory.mktemp("out")
    benchmarks = {task: ask(task) for task in TASKS}
    return out, evaluate(toy_model, out, benchmarks=benchmarks, data=data, batch_tokens=4096, digests={"model": "m"})


@pytest.mark.parametrize("task", TASKS)
def test_files_are_whole(task: str, evaluated: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    out, records = evaluated
    record = json.loads((out / f"{task}.json").read_text())
    assert record == records[task]
    assert (record["schema"], record["task"], record["protocol"]) == (1, task, "harness")
    assert record["n_items"] == record["n_available"] == len(ITEMS[task])
    assert record["digests"] == {"model": "m"}
    assert set(record["versions"]) == {"lm_eval", "transformers", "torch", "datasets"}
    assert record["task_hash"] == task_hash("harness", task)
    assert record["n_truncated"] == 0
    assert record["seconds"] > 0
    items = pq.read_table(out / f"{task}.parquet").to_pylist()
    shown = [item for item in items if item["filter"] == record["filter"]]
    assert [item["doc_id"] for item in shown] == list(range(len(ITEMS[task])))
    assert record["score"] == pytest.approx(100 * sum(item["value"] for item in shown) / len(shown))
    assert all(len(item[key]) == 64 for item in items for key in ("doc_hash", "prompt_hash", "target_hash"))
    assert len(items) == len(shown) * (2 if task == "gsm8k" else 1)
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
        "triviaqa": [" FE", " dog", " h2o"],
    }
    values = {"gsm8k": [1, 1, 0], "squadv2": [1, 1, 2 / 3], "triviaqa": [1, 0, 1]}
    turns = iter(said.values())
    monkeypatch.setattr(LanguageModel, "generate_until", lambda self, requests, **_: next(turns))
    records = evaluate(toy_model, tmp_path, benchmarks={task: ask(task) for task in said}, data=data)
    for task, expected in values.items():
        table = pq.read_table(tmp_path / f"{task}.parquet").to_pylist()
        assert [row["value"] for row in table if row["filter"] == records[task]["filter"]] == expected
        assert records[task]["score"] == pytest.approx(100 * sum(expected) / 3)
    assert records["gsm8k"]["metrics"]["exact_match,strict-match"]["score"] == pytest.approx(100 / 3)
    squad = {key: value["score"] for key, value in records["squadv2"]["metrics"].items()}
    assert squad["HasAns_f1,none"] == pytest.approx(500 / 6)
    assert (squad["NoAns_f1,none"], squad["exact,none"]) == (100, pytest.approx(200 / 3))
    assert records["triviaqa"]["stderr"] == pytest.approx(100 / 3)


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
    record = evaluate(toy_model, tmp_path, benchmarks={"A": ask("arc_easy")}, data={"A": path}, batch_tokens=500)["A"]

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


def test_again_is_identical(
    toy_model: Path, data: dict[str, Path], tmp_path: Path, evaluated: tuple[Path, dict[str, dict[str, Any]]]
) -> None:
    """Scores do not change with a second run, nor with which other benchmarks are asked."""
    out, records = evaluated
    again = evaluate(
        toy_model,
        tmp_path,
        benchmarks={task: ask(task) for task in ("squadv2", "arc_easy")},
        data=data,
        batch_tokens=4096,
        digests={"model": "m"},
    )
    for task, record in again.items():
        assert {**record, "seconds": 0} == {**records[task], "seconds": 0}
        assert pq.read_table(tmp_path / f"{task}.parquet") == pq.read_table(out / f"{task}.parquet")


def test_limit_and_two_benchmarks_of_one_task(toy_model: Path, data: dict[str, Path], tmp_path: Path) -> None:
    benchmarks = {"first": ask("arc_easy", 1), "more": ask("arc_easy", 3), "all": ask("arc_easy", 99)}
    records = evaluate(toy_model, tmp_path, benchmarks=benchmarks, data=dict.fromkeys(benchmarks, data["arc_easy"]))
    assert [(r["n_items"], r["limit"], r["n_available"]) for r in records.values()] == [
        (1, 1, 4),
        (3, 3, 4),
        (4, 99, 4),
    ]
    assert records["first"]["stderr"] is None
    assert records["more"]["stderr"] is not None


def test_parquet_gives_the_same_items(data: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "squad.parquet"
    pq.write_table(pa.Table.from_pylist(ITEMS["squadv2"]), path)
    wanted = fields(read_task("harness", "squadv2"))
    assert read_items(path, wanted) == read_items(data["squadv2"], wanted)
    assert "id" not in read_items(path, wanted).docs[0]


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

    with pytest.raises(PrunegridError, match="not an adapter of this model"):
        load_model(toy_model, tmp_path, "float32", "cpu")
    base = load_model(toy_model, None, "float32", "cpu")
    get_peft_model(base, LoraConfig(r=2, target_modules="all-linear")).save_pretrained(str(tmp_path))
    weights = tmp_path / "adapter_model.safetensors"
    save_file({name.replace("layers", "blocks"): w for name, w in load_file(weights).items()}, weights)
    with pytest.raises(PrunegridError, match="missing adapter keys"):
        load_model(toy_model, tmp_path, "float32", "cpu")


def test_prompts_that_are_cut_are_counted(toy_model: Path, tmp_path: Path) -> None:
    long = {**ITEMS["squadv2"][0], "context": "Cats drink milk. " * 400}
    path = write_jsonl(tmp_path / "squad.jsonl", [ITEMS["squadv2"][1], long])
    record = evaluate(toy_model, tmp_path, benchmarks={"S": ask("squadv2")}, data={"S": path})["S"]
    assert record["n_truncated"] == 1


def test_a_task_that_cannot_be_answered_as_written() -> None:
    from prunegrid.evaluation.harness import _check

    greedy = {"until": ["x"], "do_sample": False, "max_gen_toks": 32}
    _check("B", greedy, 33)
    with pytest.raises(PrunegridError, match="leaves no room for a prompt in the model's context of 32"):
        _check("B", greedy, 32)
    for wrong in ({"do_sample": True}, {"temperature": 0.5}):
        with pytest.raises(PrunegridError, match="decoded greedily"):
            _check("B", greedy | wrong, 1024)


def test_known_tasks() -> None:
    assert known_tasks("harness") == TASKS
    with pytest.raises(PrunegridError, match="protocol is 'nonesuch'"):
        known_tasks("nonesuch")


def test_errors_come_before_the_model(tmp_path: Path, data: dict[str, Path]) -> None:
    nowhere = tmp_path / "no-model"

    def run(task: str, path: Path) -> None:
        evaluate(nowhere, tmp_path, benchmarks={"B": ask(task)}, data={"B": path})

    with pytest.raises(PrunegridError, match="no task 'mmlu'; its tasks: arc_challenge, arc_easy"):
        run("mmlu", data["arc_easy"])
    with pytest.raises(PrunegridError, match=r"item 0 has no answers\.text; .*found: question, answer"):
        run(
            "squadv2",
            write_jsonl(tmp_path / "d.jsonl", [{**ITEMS["gsm8k"][0], "title": "t", "context": "c"}]),
        )
    with pytest.raises(PrunegridError, match=r"d\.jsonl: holds no rows"):
        run("gsm8k", write_jsonl(tmp_path / "d.jsonl", []))
    (tmp_path / "d.jsonl").write_text('{"question": "x", "answer": "#### 1"}\n{"question": ')
    with pytest.raises(PrunegridError, match=r"d\.jsonl: line 2 is not JSON"):
        run("gsm8k", tmp_path / "d.jsonl")
    with pytest.raises(PrunegridError, match="no data file for benchmark C"):
        evaluate(nowhere, tmp_path, benchmarks={"C": ask("gsm8k")}, data={})


REAL = {
    "arc_easy": "allenai/ai2_arc/ARC-Easy/validation.jsonl",
    "arc_challenge": "allenai/ai2_arc/ARC-Challenge/validation.jsonl",
    "gsm8k": "openai/gsm8k/main/test.jsonl",
    "squadv2": "rajpurkar/squad_v2/validation.jsonl",
    "triviaqa": "mandarjoshi/trivia_qa/rc.nocontext/validation.jsonl",
}


@pytest.mark.data
@pytest.mark.skipif("PRUNEGRID_DATA" not in os.environ, reason="PRUNEGRID_DATA names no mirror")
def test_real_items(toy_model: Path, tmp_path: Path) -> None:
    """Every item of the real files has what its task reads; two of each are asked."""
    files = {task: Path(os.environ["PRUNEGRID_DATA"], name) for task, name in REAL.items()}
    found = {task: path for task, path in files.items() if path.exists()}
    assert found
    for task, path in found.items():
        items = read_items(path, fields(read_task("harness", task)))
        assert len(items.docs) == items.available
        if task.startswith("arc"):
            assert all(doc["answerKey"] in doc["choices"]["label"] for doc in items.docs)
    records = evaluate(toy_model, tmp_path, benchmarks={task: ask(task, 2) for task in found}, data=found)
    assert {record["n_items"] for record in records.values()} == {2}
