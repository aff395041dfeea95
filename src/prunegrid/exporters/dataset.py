"""A selection as a data set of `datasets`, in memory."""

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from prunegrid.exporters.rows import KeptRows
from prunegrid.exporters.writers import tables

if TYPE_CHECKING:
    import datasets


def to_datasets(
    selection: Path, *, scores: Path | None = None, removal: str = "mask", resample: bool = False
) -> "datasets.Dataset":
    """`input_ids`, `attention_mask` and `labels` of each row of the selection in the folder `selection`."""
    import datasets  # takes seconds

    rows = KeptRows(selection, scores, removal=removal, resample=resample)
    return datasets.Dataset(datasets.table.InMemoryTable(pa.concat_tables(tables(rows))))
