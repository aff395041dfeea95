"""open-instruct: `LocalDatasetTransformationCache` reads `<dataset_local_cache_dir>/<dataset_config_hash>` by
`load_from_disk`, without tokenising (open_instruct/dataset_transformation.py).
"""

from pathlib import Path

from prunegrid.core.files import Record
from prunegrid.exporters.consumer import Consumer
from prunegrid.exporters.rows import KeptRows
from prunegrid.exporters.summary import ExportSummary
from prunegrid.exporters.writers import tables, write_dataset_folder

USE = """\
open-instruct finds the rows in its own cache of tokenised data, if the entry is named:

```sh
python open_instruct/finetune.py --model_name_or_path {model} \\
    --dataset_local_cache_dir {out} --dataset_config_hash tokenized --dataset_cache_mode local
```

Leave `--dataset_skip_cache` out. `--dataset_mixer_list` and `--max_seq_length` are not read then: no row is cut, the
longest has {longest} tokens.
"""


class OpenInstruct(Consumer):
    name, title = "open-instruct", "open-instruct"

    def write(self, rows: KeptRows, folder: Path, form: str) -> Record:
        write_dataset_folder(folder / "tokenized", tables(rows))
        return {}

    def instructions(self, summary: ExportSummary) -> str:
        return USE.format(**summary.model_dump())


CONSUMER = OpenInstruct()
