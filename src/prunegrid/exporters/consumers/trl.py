"""TRL's SFTTrainer: a column `labels` is used as it is (trl/trainer/sft_trainer.py); text as prompt and completion."""

from collections.abc import Iterator
from pathlib import Path

import yaml

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import Record
from prunegrid.exporters.consumer import Consumer
from prunegrid.exporters.rows import KeptRows
from prunegrid.exporters.summary import ExportSummary
from prunegrid.exporters.text import whole_rows
from prunegrid.exporters.writers import tables, write_json_lines, write_parquet

FILES = {"tokens": ("parquet", "train.parquet"), "text": ("json", "train.jsonl")}
USE = """\
With your model's folder or hub id as `model_name_or_path` in `train.yaml`, run `trl sft --config train.yaml`, or in
Python:

```python
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

rows = load_dataset("{kind}", data_files="{out}/{file}", split="train")
SFTTrainer(model="{model}", train_dataset=rows, args=SFTConfig(output_dir="out", max_length=None)).train()
```

Without `max_length=None` TRL cuts rows on the right at 1,024 tokens, and their ends of sequence go first. With
`packing=True`, give a `max_length` of at least {longest}, the longest row; leave `packing_strategy` at `bfd`.
"""


class Trl(Consumer):
    name, title, forms = "trl", "TRL", ("tokens", "text")

    def write(self, rows: KeptRows, folder: Path, form: str) -> Record:
        path = folder / FILES[form][1]
        if form == "text":
            write_json_lines(path, _completions(rows))
        else:
            write_parquet(path, tables(rows))
        return {}

    def settings(self, summary: ExportSummary) -> dict[str, str]:
        kind, file = FILES[summary.form]
        values = {
            "model_name_or_path": summary.model,
            "datasets": [{"path": kind, "data_files": f"{summary.out}/{file}"}],
            "max_length": None,
            "output_dir": "out",
        }
        return {"train.yaml": yaml.safe_dump(values, sort_keys=False)}

    def limit(self, longest: int, details: Record) -> str:
        return "max_length: null"

    def instructions(self, summary: ExportSummary) -> str:
        kind, file = FILES[summary.form]
        return USE.format(kind=kind, file=file, **summary.model_dump())


def _completions(rows: KeptRows) -> Iterator[Record]:
    """Conversations as `prompt` and `completion`, of which TRL learns the completion."""
    for text in whole_rows(rows):
        if not text.learns_last_only:
            problem = f"learns earlier answers of a conversation ({text.place}), and TRL's text learns the last"
            raise PrunegridError(rows.selection, problem, "export token ids")
        tools = {"tools": text.tools} if text.tools else {}
        yield {"prompt": text.messages[:-1], "completion": text.messages[-1:], **tools}


CONSUMER = Trl()
