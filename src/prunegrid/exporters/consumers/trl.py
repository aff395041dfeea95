"""TRL's SFTTrainer, which takes the column `labels` as it is (trl/trainer/sft_trainer.py)."""

from pathlib import Path

import yaml

from prunegrid.exporters.consumer import Consumer
from prunegrid.exporters.rows import KeptRows
from prunegrid.exporters.summary import ExportSummary
from prunegrid.exporters.writers import tables, write_parquet

DATA = "train.parquet"
USE = """\
`train.yaml` trains with TRL's command: put your model's folder or hub id in it, and run `trl sft --config train.yaml`.
In Python:

```python
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

rows = load_dataset("parquet", data_files="{out}/train.parquet", split="train")
args = SFTConfig(output_dir="out", max_length=None)
SFTTrainer(model="MODEL", train_dataset=rows, args=args).train()
```

`max_length` is null, because TRL cuts rows on the right at 1024 tokens otherwise, the end of the sequence first. The
longest row has {longest} tokens: for `packing=True` give at least that as `max_length`. Packing keeps labels.
"""


class Trl(Consumer):
    name, title = "trl", "TRL"

    def write(self, rows: KeptRows, folder: Path, form: str) -> None:
        write_parquet(folder / DATA, tables(rows))

    def settings(self, summary: ExportSummary) -> dict[str, str]:
        values = {
            "model_name_or_path": "MODEL",
            "datasets": [{"path": "parquet", "data_files": f"{summary.out}/{DATA}"}],
            "max_length": None,
            "output_dir": "out",
        }
        return {"train.yaml": yaml.safe_dump(values, sort_keys=False)}

    def limit(self, longest: int) -> str:
        return "max_length: null"

    def instructions(self, summary: ExportSummary) -> str:
        return USE.format(**summary.model_dump())


CONSUMER = Trl()
