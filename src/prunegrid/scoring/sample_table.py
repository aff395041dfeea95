"""The sample table as arrays: what every pruner needs of each answer, its columns, and which answers are a shard."""

from pathlib import Path

import numpy as np

from prunegrid.core import ragged
from prunegrid.core.columns import Stretch, read_columns
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import parquet_rows, parquet_schema, repair
from prunegrid.pruners.arrays import Scores

AHEAD = 65_536  # rows at a time in which the end of a conversation is looked for


def read_answers(path: Path, stretch: Stretch | None = None) -> Scores:
    """All answers (or those of a stretch), in the file's order, without further columns."""
    kinds = {"sample_id": np.int64, "prompt_tokens": np.int64, "response_tokens": np.int64, "truncated": np.bool_}
    columns = read_columns(path, kinds, stretch)
    ids, lengths = columns["sample_id"], columns["response_tokens"]
    # Almost always ascending, which is cheap to see; only otherwise are they sorted to look for duplicates.
    if np.any(ids[1:] <= ids[:-1]) and len(np.unique(ids)) < len(ids):
        raise PrunegridError(path, "a sample_id occurs twice", repair(path))
    if np.any(lengths < 1):
        raise PrunegridError(path, f"sample_id {ids[lengths < 1][0]} has no response tokens", "leave the sample out")
    return Scores(
        sample_id=ids,
        response_tokens=lengths,
        truncated=columns["truncated"],
        offsets=ragged.offsets_from_lengths(lengths),
        prompt_tokens=columns["prompt_tokens"],
    )


def first_answers(path: Path, stretch: Stretch | None = None) -> ragged.Ints:
    """The answers that begin a row of the source; the first one of a stretch does."""
    row_N = _rows_of_source(path, stretch)
    return np.flatnonzero(np.append(True, row_N[1:] != row_N[:-1])[: len(row_N)])


def shard_stretch(path: Path, shard: tuple[int, int], unit: str) -> Stretch:
    """Part i of n of the answers, `shard` (i, n), none longer than another by more than one.

    If conversations are the unit, one belongs to the part that its first answer is in.
    """
    rows = parquet_rows(path)
    stretch = Stretch.of(rows, shard)
    if unit == "turn":
        return stretch
    return Stretch(*(_next_conversation(path, row, rows) for row in stretch))


def _next_conversation(path: Path, row: int, rows: int) -> int:
    """The first answer from `row` on that begins a row of the source."""
    if row == 0:
        return 0
    for start in range(row, rows, AHEAD):
        row_N = _rows_of_source(path, Stretch(start - 1, min(start + AHEAD, rows)))
        if len(begun := np.flatnonzero(row_N[1:] != row_N[:-1])):
            return start + int(begun[0])
    return rows


def _rows_of_source(path: Path, stretch: Stretch | None) -> ragged.Ints:
    if "row" not in parquet_schema(path).names:
        raise PrunegridError(path, "has no column row, so its conversations are unknown", "score again")
    return read_columns(path, {"row": np.int64}, stretch)["row"]
