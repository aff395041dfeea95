"""Data sets: found in a mirror, a file or on the hub, and brought to the contract's Parquet.

The training set becomes rows of `sample_id, conversation_id, messages` and carried columns; a benchmark's
items keep the hub's fields, in JSON lines.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_records, repair, replacing, sha256, sha256sum, write_json, write_parquet
from prunegrid.core.randomness import uniform
from prunegrid.experiment.sections import DataRef, Dataset

Row = dict[str, Any]
SANDBOX = "sandbox"
Messages = list[dict[str, str]]
ROLES = {"human": "user", "gpt": "assistant", "user": "user", "assistant": "assistant", "system": "system"}


def locate(ref: DataRef, mirror: str | Path | None) -> str | None:
    """The local file that holds `ref`, or None if it must come from the hub. A named path is not checked here."""
    if ref.path is not None:
        return ref.path
    file = None if mirror is None else ref.below(Path(mirror))
    return str(file) if file is not None and file.exists() else None


def read_rows(ref: DataRef, local: str | None) -> list[Row]:
    """The rows of a JSONL or Parquet file, or of the hub's data set; an unreadable line is a `PrunegridError`."""
    if local is None:
        from datasets import load_dataset

        if ref.sha256:
            raise PrunegridError(f"{ref.hub}: sha256 is of a file, which the hub has not; pin revision to a commit")
        return list(load_dataset(ref.hub, ref.config, split=ref.split, revision=ref.revision))
    if ref.sha256 and Path(local).is_file() and (found := sha256sum(Path(local))) != ref.sha256:
        raise PrunegridError(
            f"{local}: its SHA-256 is {found}, not the config's {ref.sha256}; fetch it again, or correct the config"
        )
    made_here = ref.hub is not None and ref.hub.startswith(f"{SANDBOX}/")
    return read_records(Path(local), repair(Path(local)) if made_here else "")


def write_dataset(dataset: Dataset, local: str | None, out: Path, counts: Path) -> None:
    """Write the training set to the contract's Parquet `out`, and to `counts` what was left out and why."""
    rows = read_rows(dataset, local)
    samples, left_out = samples_of(rows, dataset, local or str(dataset.hub))
    duplicates = _mark_duplicates(samples)
    if dataset.drop_duplicates:
        samples = [sample for sample, twice in zip(samples, duplicates, strict=True) if not twice]
        left_out["duplicate"] = sum(duplicates)
    available = len(samples)
    samples = _at_most(samples, dataset.max_samples)
    if not samples:
        raise PrunegridError(f"{local or dataset.hub}: no sample is left ({dict(left_out)} left out)")
    left_out["over_max_samples"] = available - len(samples)
    try:
        table = pa.Table.from_pylist(samples, _schema(samples, dataset.carry))
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError) as error:
        raise PrunegridError(
            f"{local or dataset.hub}: its texts and carried columns do not fit one type each ({error})"
        ) from None
    write_parquet(out, table)
    write_json(
        counts,
        {
            "source": dataset.model_dump(mode="json"),
            "file_digest": None if local is None else sha256(Path(local)),
            "digest": sha256(out),
            "rows": len(rows),
            "samples": len(samples),
            "left_out": dict(left_out),
            "duplicates": sum(duplicates),
        },
    )


def samples_of(rows: list[Row], dataset: Dataset, source: str) -> tuple[list[Row], Counter[str]]:
    """One sample an assistant turn; `sample_id` counts the source's assistant turns, so it outlives any filter.

    For data of one answer a row, `sample_id` is the row's number.
    """
    conversation = reader(rows[0], source)
    samples: list[Row] = []
    left_out: Counter[str] = Counter({"empty_response": 0, "empty_prompt": 0})
    sample_id = 0
    for number, row in enumerate(rows):
        for messages in _turns(_read(conversation, row, f"{source}: row {number + 1}")):
            reason = _unusable(messages)
            if reason:
                left_out[reason] += 1
            else:
                carried = {name: _carried(row, name, source) for name in dataset.carry}
                samples.append({"sample_id": sample_id, "conversation_id": number, "messages": messages, **carried})
            sample_id += 1
    return samples, left_out


def reader(row: Row, source: str) -> Callable[[Row], Messages]:
    """How to read a row as messages, told by its fields."""
    for needed, read in _READERS:
        if needed <= row.keys():
            return read
    known = "; ".join(" + ".join(sorted(needed)) for needed, _ in _READERS)
    raise PrunegridError(f"{source}: fields {', '.join(sorted(row))} are not understood; needed is one of: {known}")


def _read(conversation: Callable[[Row], Messages], row: Row, where: str) -> Messages:
    try:
        messages = conversation(row)
    except (KeyError, TypeError) as error:
        raise PrunegridError(f"{where}: {error} is missing or not understood; found {', '.join(sorted(row))}") from None
    for message in messages:
        if not isinstance(message["content"], str):
            raise PrunegridError(f"{where}: {message['role']} says {message['content']!r}, which is not text")
    return messages


def _messages(field: str) -> Callable[[Row], Messages]:
    def read(row: Row) -> Messages:
        return [
            {
                "role": ROLES[turn["role"] if "role" in turn else turn["from"]],
                "content": turn["content"] if "content" in turn else turn["value"],
            }
            for turn in row[field]
        ]

    return read


def _pair(prompt: str, extra: str | None, response: str) -> Callable[[Row], Messages]:
    def read(row: Row) -> Messages:
        asked = "\n\n".join(part for part in (row[prompt], row.get(extra or "")) if part)
        return [{"role": "user", "content": asked}, {"role": "assistant", "content": _text(row[response])}]

    return read


_READERS: list[tuple[set[str], Callable[[Row], Messages]]] = [
    ({"messages"}, _messages("messages")),
    ({"conversations"}, _messages("conversations")),
    ({"prompt", "response"}, _pair("prompt", None, "response")),
    ({"instruction", "output"}, _pair("instruction", "input", "output")),
    ({"instruction", "response"}, _pair("instruction", "context", "response")),
]


def _text(value: Any) -> Any:
    """An absent answer is an empty one, which is left out and counted."""
    return "" if value is None else value


def _turns(messages: Messages) -> Iterator[Messages]:
    """The conversation up to each of its assistant turns."""
    for i, message in enumerate(messages):
        if message["role"] == "assistant":
            yield messages[: i + 1]


def _unusable(messages: Messages) -> str | None:
    if not messages[-1]["content"].strip():
        return "empty_response"
    if not any(message["content"].strip() for message in messages[:-1]):
        return "empty_prompt"
    return None


def _carried(row: Row, name: str, source: str) -> Any:
    if name not in row:
        raise PrunegridError(f"{source}: no field {name} to carry; found: {', '.join(sorted(row))}")
    return row[name]


def _mark_duplicates(samples: list[Row]) -> list[bool]:
    """True where the same messages stood before."""
    seen: set[str] = set()
    marks = []
    for sample in samples:
        key = json.dumps(sample["messages"])
        marks.append(key in seen)
        seen.add(key)
    return marks


def _at_most(samples: list[Row], limit: int | None) -> list[Row]:
    """A uniform choice of `limit` samples, in order; a larger limit contains a smaller one."""
    if limit is None or limit >= len(samples):
        return samples
    ids = np.array([sample["sample_id"] for sample in samples])
    chosen = np.lexsort((ids, uniform(0, "max_samples", ids)))[:limit]
    return [samples[i] for i in sorted(chosen)]


def _schema(samples: list[Row], carry: list[str]) -> pa.Schema:
    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    carried = pa.Table.from_pylist([{name: s[name] for name in carry} for s in samples]).schema if carry else []
    fields = [("sample_id", pa.int64()), ("conversation_id", pa.int64()), ("messages", pa.list_(message))]
    return pa.schema([*(pa.field(*field) for field in fields), *carried])


def write_benchmark(ref: DataRef, local: str | None, out: Path) -> None:
    """Write a benchmark's items as JSON lines, fields as on the hub."""
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        for row in read_rows(ref, local):
            file.write(json.dumps(row, default=str) + "\n")
