"""Hugging Face datasets: a folder for `load_from_disk` and a Parquet file, with where each row stands in the source."""

from pathlib import Path

import pyarrow as pa

from prunegrid.core.files import Record, read_batches
from prunegrid.exporters.blocks import KeptRow
from prunegrid.exporters.consumer import Consumer
from prunegrid.exporters.rows import KeptRows
from prunegrid.exporters.summary import ExportSummary
from prunegrid.exporters.writers import (
    TOKENS,
    place_columns,
    tables,
    token_columns,
    write_dataset_folder,
    write_parquet,
)

PLACES = {
    "sample_id": pa.int64(),
    "row": pa.int64(),
    "turn": pa.int32(),
    "weight": pa.float32(),
    "kept_tokens": pa.int32(),
}
SCHEMA = pa.schema([*TOKENS, *(pa.field(name, kind) for name, kind in PLACES.items())])
USE = """\
```python
from datasets import load_dataset, load_from_disk

rows = load_from_disk("{out}/dataset")
rows = load_dataset("parquet", data_files="{out}/train.parquet", split="train")  # the same
```

`row` and `turn` say where the answer is in the source, `sample_id` is its number there, and `kept_tokens` how many
of its tokens have a label; of a conversation with several kept answers, the first three are those of the first. Before
training, keep the columns that trainers know:
`rows.select_columns(["input_ids", "attention_mask", "labels"])`. The longest row has {longest} tokens.
"""


class Datasets(Consumer):
    name, title = "datasets", "Hugging Face datasets"

    def write(self, rows: KeptRows, folder: Path, form: str) -> Record:
        parquet = folder / "train.parquet"
        write_parquet(parquet, tables(rows, SCHEMA, _columns), SCHEMA)
        parts = (pa.Table.from_batches([batch], SCHEMA) for batch in read_batches(parquet, 1024))
        write_dataset_folder(folder / "dataset", parts, SCHEMA)
        return {}

    def instructions(self, summary: ExportSummary) -> str:
        return USE.format(**summary.model_dump())


def _columns(row: KeptRow) -> Record:
    return token_columns(row) | place_columns(row) | {"weight": row.example.weight}


CONSUMER = Datasets()
