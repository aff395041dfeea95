"""Load training data: files, data sets of the hub, Python objects; with what was left out, and why."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from prunegrid.core.files import parquet_schema, read_json, read_parquet
from prunegrid.core.validation import validation_errors
from prunegrid.data.counts import intake_lines
from prunegrid.data.datasets import write_dataset
from prunegrid.data.place import place
from prunegrid.experiment import layout
from prunegrid.experiment.dataset import BadRows, Dataset, Duplicates, Turns

if TYPE_CHECKING:
    import pandas as pd


class Data:
    """A training set as prunegrid read it: `data.parquet` and `data.json` in a temporary folder that lives as long.

    `counts` says how many rows were read, how many answers they have, and what was left out, by reason.
    """

    def __init__(self, temporary: "tempfile.TemporaryDirectory[str]") -> None:
        self.temporary = temporary
        self.file, self.counts_file = (Path(temporary.name) / name for name in (layout.DATA, layout.DATA_COUNTS))
        self.counts: dict[str, Any] = read_json(self.counts_file)

    def __len__(self) -> int:
        rows: int = self.counts["samples"]
        return rows

    def __repr__(self) -> str:
        return "\n".join(intake_lines(self.counts))

    def write(self, file: Path, counts: Path) -> None:
        """Copy `data.parquet` and `data.json`."""
        shutil.copyfile(self.file, file)
        shutil.copyfile(self.counts_file, counts)

    @property
    def columns(self) -> list[str]:
        names: list[str] = parquet_schema(self.file).names
        return names

    def to_pandas(self) -> "pd.DataFrame":
        """A row for each sample: `sample_id`, `row` and `turn` of the source, `messages`, `tools`, carried columns."""
        frame: pd.DataFrame = read_parquet(self.file).to_pandas()
        return frame


@dataclass(frozen=True)
class Source:
    """Training data that is not read yet: how its rows are read, and what is local of it (a path, Python objects)."""

    dataset: Dataset
    local: Any

    def write(self, file: Path, counts: Path) -> None:
        """Read the data, and write `data.parquet` and `data.json`."""
        write_dataset(self.dataset, self.local, file, counts)


def find_source(source: Any, **settings: Any) -> Source:
    """`source` with the settings of `load`, checked; nothing is read."""
    hub, local = place(source)
    origin = {"hub": hub} if hub else {"path": str(local) if isinstance(local, str | Path) else "rows"}
    try:
        return Source(Dataset.model_validate({"name": "data", **origin, **settings}), local)
    except ValidationError as error:
        raise validation_errors(error, Dataset, "data") from None


def load(
    source: Any,
    *,
    turns: Turns = "each",
    fields: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    on_bad_row: BadRows = "error",
    carry: Sequence[str] = (),
    max_samples: int | None = None,
    drop_duplicates: Duplicates = False,
    split: str = "train",
    config: str | None = None,
    revision: str | None = None,
) -> Data:
    """Read a training set, as `prunegrid score --data` does.

    `source` is a file, folder or glob; an id of the hub (`org/name`, with `config`, `split`, `revision`); a
    `datasets.Dataset`; a DataFrame; or a list of dicts. The other arguments are the keys of `dataset` in a config file:
    `turns` says which answers of a conversation are learned (each, last, all), `fields` what the source calls prompt,
    response, system or messages, `ignore` which fields with text need not be read, `on_bad_row` whether a row that
    cannot be read is an error or is skipped and counted, `carry` which columns are copied along.
    """
    origin = find_source(
        source,
        turns=turns,
        fields=dict(fields or {}),
        ignore=list(ignore),
        on_bad_row=on_bad_row,
        carry=list(carry),
        max_samples=max_samples,
        drop_duplicates=drop_duplicates,
        split=split,
        config=config,
        revision=revision,
    )
    temporary = tempfile.TemporaryDirectory(prefix="prunegrid-")
    origin.write(*(Path(temporary.name) / name for name in (layout.DATA, layout.DATA_COUNTS)))
    return Data(temporary)
