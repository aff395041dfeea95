"""Scores with a selection by hand, and the rows of an export as its consumer's own loader reads them."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from prunegrid.core import files
from prunegrid.data.messages import MESSAGE, full_message
from prunegrid.exporters.export import export
from prunegrid.pruners import PruningSpec
from prunegrid.selection.cut import SCHEMA
from prunegrid.selection.summary import SelectionSummary, Totals

TOKEN_CONSUMERS = ["trl", "llamafactory", "axolotl", "open-instruct", "datasets", "jsonl"]


class Kept(NamedTuple):
    """A scored sample and what is kept of it; `kept` None: it is not in the selection."""

    prompt: list[int]
    response: list[int]
    kept: list[int] | None
    truncated: bool = False
    weight: float = 1.0
    continues: bool = False


def write_kept(folder: Path, samples: list[Kept], ids: list[int] | None = None, **places: list[int]) -> Path:
    """`scores/` and `pruned/` in `folder`; returns the latter, whose selection names the former."""
    ids = list(range(len(samples))) if ids is None else ids
    continues = [sample.continues for sample in samples]
    origin = {name: pa.array(values, pa.int64()) for name, values in places.items()}
    if any(continues):
        origin["continues"] = pa.array(continues)
    facts = {
        "sample_id": pa.array(ids, pa.int64()),
        "prompt_tokens": pa.array([len(sample.prompt) for sample in samples], pa.int32()),
        "response_tokens": pa.array([len(sample.response) for sample in samples], pa.int32()),
        "truncated": pa.array([sample.truncated for sample in samples]),
        **origin,
    }
    lists = pa.list_(pa.int32())
    tokens = {
        "sample_id": facts["sample_id"],
        "prompt_ids": pa.array([sample.prompt for sample in samples], lists),
        "response_ids": pa.array([sample.response for sample in samples], lists),
    }
    files.write_parquet(folder / "scores/samples.parquet", pa.table(facts))
    files.write_parquet(folder / "scores/tokens.parquet", pa.table(tokens))
    kept = {identifier: sample for identifier, sample in zip(ids, samples, strict=True) if sample.kept is not None}
    write_selection(folder / "pruned", kept)
    return folder / "pruned"


def write_selection(folder: Path, kept: dict[int, Kept], **changes: Any) -> None:
    """The selection of these samples, by `sample_id`, from `../scores`."""
    rows = [
        {"sample_id": identifier, "weight": sample.weight, "kept": sample.kept, "quadrant": 0, "treated_as": 0}
        for identifier, sample in sorted(kept.items())
    ]
    table = pa.Table.from_pylist([{**row, "reason": "random"} for row in rows], SCHEMA)
    files.write_parquet(folder / "selection.parquet", table)
    count, size = sum(len(row["kept"]) for row in rows), sum(len(sample.response) for sample in kept.values())
    summary = SelectionSummary.build(
        "static",
        PruningSpec(method="random+random", sample_ratio=0.5, token_ratio=0.5),
        Totals(len(rows), size, None, len(rows), count, size, None),
        {},
        match=None,
        counts={},
        selection=files.sha256(folder / "selection.parquet"),
        seeds={"cell": 0, "pruning": 1},
        digests={},
        extras={},
    )
    values = {**summary.model_dump(), "scores": "../scores", **changes}
    files.write_json(folder / "selection.json", values)


def write_data(scores: Path, conversations: list[dict[str, Any]]) -> None:
    """`data.parquet` of the scores; messages are (role, content) or (role, content, other fields)."""
    rows = [
        {
            **conversation,
            "messages": [
                full_message(role, content, **(rest[0] if rest else {}))
                for role, content, *rest in conversation["messages"]
            ],
        }
        for conversation in conversations
    ]
    fields = {"sample_id": pa.int64(), "messages": pa.list_(MESSAGE), "tools": pa.string()}
    files.write_parquet(scores / "data.parquet", pa.Table.from_pylist(rows, pa.schema(fields)))


def read_export(folder: Path, consumer: str) -> list[dict[str, Any]]:
    """The rows, as the consumer's own loader gives them."""
    from datasets import load_dataset, load_from_disk

    cache = str(folder.parent / "cache")
    if consumer == "trl":
        rows = load_dataset("parquet", data_files=str(folder / "train.parquet"), split="train", cache_dir=cache)
    elif consumer == "llamafactory":
        rows = load_from_disk(str(folder / "tokenized"))["train"]
    elif consumer == "open-instruct":
        rows = load_from_disk(str(folder / "tokenized"))
    elif consumer == "datasets":
        rows = load_from_disk(str(folder / "dataset"))
        assert rows.to_list() == pq.read_table(folder / "train.parquet").to_pylist()
    else:
        rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
        return rows
    return list(rows)


def exported(selection: Path, consumer: str, **options: Any) -> list[dict[str, Any]]:
    """The rows that an export to a new folder gives."""
    out = selection.parent / f"{consumer}-{len(list(selection.parent.iterdir()))}"
    export(selection, consumer, out, **options)
    return read_export(out, consumer)


def trained_ids(row: dict[str, Any]) -> list[int]:
    return [label for label in row["labels"] if label != -100]


def random_kept(n: int, eos: int, seed: int = 0) -> list[Kept]:
    """Samples of random ids below 200, half of them kept, a fifth cut off; `eos` ends those that are not."""
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(n):
        prompt, response = (rng.integers(10, 200, rng.integers(1, 12)).tolist() for _ in range(2))
        truncated = bool(rng.random() < 0.2)
        response = response if truncated else [*response, eos]
        positions = np.flatnonzero(rng.random(len(response)) < 0.5).tolist() or [0]
        kept = positions if truncated else sorted({*positions, len(response) - 1})
        samples.append(Kept(prompt, response, kept if rng.random() < 0.5 else None, truncated))
    return samples
