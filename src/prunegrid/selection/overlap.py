"""How much two selections of the same data have in common."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prunegrid.core.errors import PrunegridError
from prunegrid.core.parts import find_table, read_parts
from prunegrid.core.ragged import Ints, flat_indices, offsets_from_lengths
from prunegrid.experiment import layout
from prunegrid.scoring.reader import check_digests
from prunegrid.selection.summary import SelectionSummary


class Overlap(NamedTuple):
    """Jaccard indices, size of the intersection by size of the union: of samples, and of tokens in common samples.

    `tokens` is None without a common sample.
    """

    samples: float
    tokens: float | None
    common_samples: int


def overlap(folder: Path, other: Path) -> Overlap:
    """Compare the selections in two folders; those of other data or tokens are refused."""
    _check_same_data(folder, other)
    files = (find_table(path / layout.SELECTION) for path in (folder, other))
    tables = [read_parts(file, ["sample_id", "kept"]).sort_by("sample_id") for file in files]
    ids, other_ids = (table["sample_id"].to_numpy() for table in tables)
    common, *rows = np.intersect1d(ids, other_ids, assume_unique=True, return_indices=True)
    union = len(ids) + len(other_ids) - len(common)
    tokens = _jaccard(*map(_token_keys, tables, rows)) if len(common) else None
    return Overlap(len(common) / union, tokens, len(common))


def _check_same_data(folder: Path, other: Path) -> None:
    first, second = (SelectionSummary.read(path / layout.SUMMARY) for path in (folder, other))
    fix = "compare selections of the same scores, or of the same data under models of one tokenizer"
    names = ("data", "tokenizer", "template")
    expected = {name: digest for name, digest in first.digests.items() if name in names}
    check_digests(other, second.digests, expected, fix)
    if first.unit == second.unit and first.n_samples != second.n_samples:
        problem = f"is a selection of {second.n_samples} samples, and {folder} is one of {first.n_samples}"
        raise PrunegridError(other, problem, fix)


def _token_keys(table: pa.Table, rows: Ints) -> Ints:
    """A number for each kept token of the samples `rows`: the sample's place among them, and the position."""
    lists = table["kept"].combine_chunks()
    offsets = offsets_from_lengths(lists.value_lengths().to_numpy().astype(np.int64))
    positions: NDArray[np.int32] = lists.flatten().to_numpy()[flat_indices(offsets, rows)]
    return np.repeat(np.arange(len(rows)), np.diff(offsets)[rows]) << 32 | positions.astype(np.int64)


def _jaccard(first: Ints, second: Ints) -> float:
    common = len(np.intersect1d(first, second, assume_unique=True))
    return common / (len(first) + len(second) - common)
