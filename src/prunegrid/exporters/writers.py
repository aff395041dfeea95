"""Write rows as Parquet, JSON lines, or the folder of `datasets.load_from_disk`, each read by old and new versions."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from prunegrid.core.files import Record, parquet_writer
from prunegrid.exporters.blocks import KeptRow

BATCH_TOKENS = 2**18

TOKENS = pa.schema(
    {"input_ids": pa.list_(pa.int32()), "attention_mask": pa.list_(pa.int8()), "labels": pa.list_(pa.int32())}
)
"""What TRL, LLaMA-Factory, axolotl and open-instruct take: labels are ids, or -100 where nothing is learned."""


def token_columns(row: KeptRow) -> Record:
    """The row's values of `TOKENS`."""
    ids = row.example.ids
    return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": row.example.labels}


def place_columns(row: KeptRow) -> Record:
    """Where the row's first kept answer stands in the source, and how many tokens are kept in all."""
    first = row.answers[0]
    return {
        "sample_id": first.sample_id,
        "row": row.row,
        "turn": first.turn,
        "kept_tokens": row.example.trainable,
    }


def tables(
    rows: Iterable[KeptRow], schema: pa.Schema = TOKENS, columns: Callable[[KeptRow], Record] = token_columns
) -> Iterator[pa.Table]:
    """The rows in tables of about `BATCH_TOKENS` tokens."""
    batch: list[Record] = []
    tokens = 0
    for row in rows:
        batch.append(columns(row))
        tokens += len(row.example.ids)
        if tokens >= BATCH_TOKENS:
            yield pa.Table.from_pylist(batch, schema)
            batch, tokens = [], 0
    if batch:
        yield pa.Table.from_pylist(batch, schema)


def write_parquet(path: Path, parts: Iterable[pa.Table], schema: pa.Schema = TOKENS) -> None:
    """Plain Arrow types: datasets before 4 cannot read the features that newer ones put into a file's metadata."""
    with parquet_writer(path, schema) as writer:
        for part in parts:
            writer.write_table(part)


def write_json_lines(path: Path, records: Iterable[Record]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def write_dataset_folder(folder: Path, parts: Iterable[pa.Table], schema: pa.Schema = TOKENS, split: str = "") -> None:
    """What `Dataset.save_to_disk` writes; with `split`, `DatasetDict.save_to_disk`. Read by datasets 3.6 to 5.2."""
    data = folder / split
    data.mkdir(parents=True)
    if split:
        (folder / "dataset_dict.json").write_text(json.dumps({"splits": [split]}))
    name = "data-00000-of-00001.arrow"
    with pa.OSFile(str(data / name), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        for part in parts:
            writer.write_table(part)
    info = {"citation": "", "description": "", "features": _features(schema), "homepage": "", "license": ""}
    state: dict[str, Any] = {
        "_data_files": [{"filename": name}],
        "_fingerprint": "0" * 16,
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": split or None,
    }
    (data / "dataset_info.json").write_text(json.dumps(info, indent=1))
    (data / "state.json").write_text(json.dumps(state, indent=1))


def _features(schema: pa.Schema) -> Record:
    """The columns' types as datasets names them; `Sequence` is the name that all its versions know."""

    def value(kind: pa.DataType) -> Record:
        return {"dtype": {"float": "float32"}.get(str(kind), str(kind)), "_type": "Value"}

    return {
        field.name: {"feature": value(field.type.value_type), "_type": "Sequence"}
        if pa.types.is_list(field.type)
        else value(field.type)
        for field in schema
    }
