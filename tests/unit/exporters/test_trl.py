"""TRL takes an export as it is: two training steps, and labels in its batches, token for token."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from prunegrid.exporters.export import export
from support.exported import Kept, random_kept, read_export, write_data, write_kept


@pytest.fixture(scope="module")
def eos(tiny_model: Path) -> int:
    identifier: int = json.loads((tiny_model / "config.json").read_text())["eos_token_id"]
    return identifier


@pytest.fixture
def selection(tmp_path: Path, tiny_model: Path, eos: int) -> Path:
    """Of random ids; the tokenizer's padding is its end of sequence."""
    selection = write_kept(tmp_path, random_kept(24, eos))
    shutil.copytree(tiny_model, tmp_path / "scores/tokenizer")
    return selection


def batches(rows: list[dict[str, Any]]) -> list[tuple[list[int], list[int]]]:
    return sorted((row["input_ids"], row["labels"]) for row in rows)


def trainer(model: Path, data: Path, out: Path, **settings: Any) -> Any:
    from datasets import load_dataset
    from trl import SFTConfig, SFTTrainer

    rows = load_dataset("parquet", data_files=str(data / "train.parquet"), split="train", cache_dir=str(out / "cache"))
    args = SFTConfig(
        output_dir=str(out), max_steps=2, use_cpu=True, report_to=[], save_strategy="no", bf16=False, **settings
    )
    return SFTTrainer(model=str(model), train_dataset=rows, args=args)


def trained_batches(trainer: Any) -> list[tuple[list[int], list[int]]]:
    """Ids and labels of each row of TRL's batches, without padding."""
    rows = []
    for batch in trainer.get_train_dataloader():
        for ids, labels, mask in zip(batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True):
            assert (labels[mask == 0] == -100).all()
            rows.append((ids[mask == 1].tolist(), labels[mask == 1].tolist()))
    return sorted(rows)


def test_trl_trains_on_every_label(tmp_path: Path, selection: Path, tiny_model: Path) -> None:
    summary = export(selection, "trl", tmp_path / "out")
    expected = batches(read_export(tmp_path / "out", "trl"))
    run = trainer(tiny_model, tmp_path / "out", tmp_path / "run", max_length=None)
    assert run.processing_class.pad_token_id == run.processing_class.eos_token_id
    assert trained_batches(run) == expected
    assert sum(label != -100 for _, labels in expected for label in labels) == summary.labels
    assert run.train().global_step == 2


def test_trl_packs_whole_rows_with_their_labels(tmp_path: Path, selection: Path, tiny_model: Path) -> None:
    summary = export(selection, "trl", tmp_path / "out")
    expected = read_export(tmp_path / "out", "trl")
    run = trainer(tiny_model, tmp_path / "out", tmp_path / "run", packing=True, max_length=2 * summary.longest)
    actual = []
    for pack in run.train_dataset:
        start = 0
        for length in pack["seq_lengths"]:
            actual.append((pack["input_ids"][start : start + length], pack["labels"][start : start + length]))
            start += length
    assert len(run.train_dataset) < len(expected)
    assert sorted(actual) == batches(expected)


def test_trl_learns_the_same_of_whole_samples_as_text(tmp_path: Path, tiny_model: Path) -> None:
    from datasets import load_dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    conversation = [("user", "What do cats drink?"), ("assistant", "Milk.")]
    turns = [{"role": role, "content": content} for role, content in conversation]
    ids = tokenizer.apply_chat_template(turns, tokenize=True, return_dict=False)
    prompt = tokenizer.apply_chat_template(turns[:1], tokenize=True, return_dict=False, add_generation_prompt=True)
    response = ids[len(prompt) :]
    selection = write_kept(tmp_path, [Kept(prompt, response, list(range(len(response))))])
    write_data(tmp_path / "scores", [{"sample_id": 0, "messages": conversation}])
    export(selection, "trl", tmp_path / "out", as_text=True)
    rows = load_dataset("json", data_files=str(tmp_path / "out/train.jsonl"), split="train", cache_dir=str(tmp_path))
    args = SFTConfig(output_dir=str(tmp_path / "run"), use_cpu=True, report_to=[], bf16=False, max_length=None)
    run = SFTTrainer(model=str(tiny_model), train_dataset=rows, args=args)
    assert trained_batches(run) == [(ids, [-100] * len(prompt) + response)]
