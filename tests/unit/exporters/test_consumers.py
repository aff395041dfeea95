"""LLaMA-Factory and axolotl take an export as it is: their own loaders, in environments of their own.

The environments take gigabytes and minutes to make (`support.consumers`), so `make test-exhaustive` runs this.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest

from prunegrid.data.datasets import write_dataset
from prunegrid.experiment.dataset import Dataset
from prunegrid.experiment.training import Scoring
from prunegrid.exporters.export import export
from prunegrid.scoring.score import score
from prunegrid.selection.prune import prune
from support.consumers import consumer_rows
from support.exported import read_export
from support.handmade_scores import spec
from support.tiny_llama import write_tiny_model
from support.toy_tasks import write_jsonl

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]

MAX_LENGTH = 160
CHATML = (
    "{% for m in messages %}{% if not loop.first %}\n{% endif %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}"
    "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}\n<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "chatml", CHATML)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """Scores of 40 samples, two of them cut off, with tokenizer and texts."""
    folder = tmp_path_factory.mktemp("consumers")
    rows = [
        {"prompt": f"What is {i} + {i}?", "response": f"It is {2 * i}, as {'we ' * (i % 9)}know."} for i in range(40)
    ]
    rows[5]["response"] = rows[9]["response"] = "far too long " * 40
    source = write_jsonl(folder / "rows.jsonl", rows)
    write_dataset(Dataset(name="toy", path=str(source)), str(source), folder / "data.parquet", folder / "data.json")
    score(model, folder / "data.parquet", folder / "scores", Scoring(max_length=MAX_LENGTH, batch_tokens=2000))
    shutil.copyfile(folder / "data.parquet", folder / "scores/data.parquet")
    if not (folder / "scores/tokenizer").exists():
        shutil.copytree(model, folder / "scores/tokenizer")
    prune(folder / "scores", folder / "tokens", spec("random+ppl", 0.75, 0.5), seed=0)
    prune(folder / "scores", folder / "samples", spec("random+random", 0.5, 1.0), seed=0)
    return folder


@pytest.fixture(scope="module")
def conversations(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """Scores of conversations of one to three answers, in one sequence each."""
    folder = tmp_path_factory.mktemp("conversations")
    rows = []
    for i in range(12):
        turns = [(f"What is {i} + {turn}?", f"It is {i + turn}, I think.") for turn in range(1 + i % 3)]
        pairs = [({"role": "user", "content": q}, {"role": "assistant", "content": a}) for q, a in turns]
        rows.append({"messages": [message for pair in pairs for message in pair]})
    source = write_jsonl(folder / "rows.jsonl", rows)
    dataset = Dataset(name="toy", path=str(source), turns="all")
    write_dataset(dataset, str(source), folder / "scores/data.parquet", folder / "data.json")
    score(model, folder / "scores/data.parquet", folder / "scores", Scoring(max_length=400, batch_tokens=2000))
    shutil.copytree(model, folder / "scores/tokenizer")
    prune(folder / "scores", folder / "tokens", spec("random+ppl", 0.75, 0.5), seed=0)
    return folder


def labels(rows: list[dict[str, Any]]) -> list[tuple[list[int], list[int]]]:
    return sorted((row["input_ids"], row["labels"]) for row in rows)


@pytest.mark.parametrize("consumer", ["llamafactory", "axolotl"])
def test_consumer_trains_on_every_label(tmp_path: Path, scored: Path, model: Path, consumer: str) -> None:
    out = tmp_path / "out"
    summary = export(scored / "tokens", consumer, out, scores=scored / "scores")
    rows = consumer_rows(consumer, out, model)
    assert labels(rows) == labels(read_export(out, consumer))
    assert len(rows) == summary.rows
    assert sum(label != -100 for row in rows for label in row["labels"]) == summary.labels


def test_axolotl_packs_with_every_label(tmp_path: Path, scored: Path, model: Path) -> None:
    summary = export(scored / "tokens", "axolotl", tmp_path / "out", scores=scored / "scores")
    changes = {"sample_packing": True, "sequence_len": 2 * summary.longest}
    rows = consumer_rows("axolotl", tmp_path / "out", model, **changes)
    assert labels(rows) == labels(read_export(tmp_path / "out", "axolotl"))


@pytest.mark.parametrize("consumer", ["llamafactory", "axolotl"])
def test_consumer_learns_the_same_of_text(tmp_path: Path, scored: Path, model: Path, consumer: str) -> None:
    """LLaMA-Factory of whole samples, axolotl of pruned tokens: those that text can show."""
    selection = scored / {"llamafactory": "samples", "axolotl": "tokens"}[consumer]
    export(selection, "trl", tmp_path / "ids", scores=scored / "scores")
    summary = export(selection, consumer, tmp_path / "out", scores=scored / "scores", as_text=True)
    rows = consumer_rows(consumer, tmp_path / "out", model)
    assert len(rows) == summary.rows
    actual, expected = labels(rows), labels(read_export(tmp_path / "ids", "trl"))
    cut = [ids for ids, _ in expected if len(ids) == MAX_LENGTH]
    longer = [ids[:MAX_LENGTH] for ids, _ in (row for row in actual if row not in expected)]
    assert longer == (cut if consumer == "llamafactory" else [])


def test_axolotl_learns_the_same_of_conversations_as_text(tmp_path: Path, conversations: Path, model: Path) -> None:
    export(conversations / "tokens", "trl", tmp_path / "ids")
    summary = export(conversations / "tokens", "axolotl", tmp_path / "out", as_text=True)
    rows = consumer_rows("axolotl", tmp_path / "out", model)
    assert labels(rows) == labels(read_export(tmp_path / "ids", "trl"))
    assert sum(label != -100 for row in rows for label in row["labels"]) == summary.labels
