"""Read a scores directory (design: contract `scores`) into the arrays that pruners take.

Only the columns that a pruner needs are read, never the token ids.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from prunegrid.errors import PrunegridError
from prunegrid.io import read_json, read_parquet, repair
from prunegrid.pruners import ragged
from prunegrid.pruners.arrays import Scores, missing
from prunegrid.pruners.method import Needs
from prunegrid.versions import SCORES_SCHEMA

__all__ = ["Scores", "check_digests", "read_meta", "read_scores"]

NOTHING = Needs(samples={}, tokens={})


def read_scores(directory: Path, needs: Needs = NOTHING) -> Scores:
    """The samples of `directory` with the columns needed, from the two tables or `extra/<column>.parquet`."""
    samples, tokens = directory / "samples.parquet", directory / "tokens.parquet"
    ids, prompt, lengths, truncated = _always(samples)
    _same_rows(read_parquet(tokens, ["sample_id"]), ids, tokens)
    return Scores(
        sample_id=ids,
        response_tokens=lengths,
        truncated=truncated.astype(bool),
        offsets=ragged.offsets_of(lengths),
        samples={name: _floats(column) for name, column in _columns(samples, "sample", needs.samples, ids)},
        tokens={
            name: _flat(column, lengths, f"{directory}: token column {name}", ids)
            for name, column in _columns(tokens, "token", needs.tokens, ids)
        },
        prompt_tokens=prompt,
    )


def read_meta(directory: Path) -> dict[str, Any]:
    """`meta.json`, or nothing where a hand-made directory has none."""
    path = directory / "meta.json"
    if not path.exists():
        return {}
    meta: dict[str, Any] = read_json(path)
    if meta.get("schema", SCORES_SCHEMA) != SCORES_SCHEMA:
        raise PrunegridError(
            f"{path}: schema {meta['schema']}, but this one reads {SCORES_SCHEMA}; score again, or use the "
            f"prunegrid that wrote it ({meta.get('version', 'version not recorded')})"
        )
    return meta


def check_digests(meta: dict[str, Any], expected: dict[str, str], source: str = "the scores") -> None:
    """Refuse scores of another model, tokenizer, template or data set; an absent digest is not checked."""
    found = meta.get("digests", {})
    differing = [name for name, digest in expected.items() if found.get(name, digest) != digest]
    if differing:
        pairs = ", ".join(f"{name} {found[name][:12]} instead of {expected[name][:12]}" for name in differing)
        raise PrunegridError(
            f"{source}: made for another {' and '.join(differing)} ({pairs}); remove it and score again, "
            f"or go back to the {' and '.join(differing)} that it was made for"
        )


def _always(path: Path) -> list[NDArray[Any]]:
    """sample_id, prompt_tokens, response_tokens and truncated, int64 [n]: what every pruner needs."""
    names = ["sample_id", "prompt_tokens", "response_tokens", "truncated"]
    table = read_parquet(path, names)
    for name in names:
        if table[name].null_count:
            raise PrunegridError(f"{path}: column {name} has nulls; {repair(path)}")
    columns = [table[name].cast(pa.int64()).to_numpy() for name in names]
    ids, lengths = columns[0], columns[2]
    if len(np.unique(ids)) < len(ids):
        raise PrunegridError(f"{path}: a sample_id stands there twice; {repair(path)}")
    if np.any(lengths < 1):
        raise PrunegridError(f"{path}: sample_id {ids[lengths < 1][0]} has no response tokens; leave it out")
    return columns


def _columns(path: Path, kind: str, wanted: dict[str, str], ids: ragged.Ints) -> Iterator[tuple[str, Any]]:
    """Each wanted column (name, Arrow array), from `path` or else from `extra/` beside it."""
    present = pq.read_schema(path).names
    for name, pruner in wanted.items():
        source = path if name in present else path.parent / "extra" / f"{name}.parquet"
        if not source.exists():
            raise PrunegridError(f"{path}: {missing(kind, name, pruner, present)}")
        table = read_parquet(source, ["sample_id", name])
        _same_rows(table, ids, source)
        yield name, table[name]


def _same_rows(table: pa.Table, ids: ragged.Ints, path: Path) -> None:
    if not np.array_equal(table["sample_id"].to_numpy(), ids):
        raise PrunegridError(f"{path}: its sample_id are not those of samples.parquet in the same order; score again")


def _floats(column: pa.ChunkedArray) -> ragged.Floats:
    """float64 [n]; a null is NaN, which the pruner's check reports."""
    values: ragged.Floats = column.cast(pa.float64()).to_numpy()
    return values


def _flat(column: pa.ChunkedArray, lengths: ragged.Ints, where: str, ids: ragged.Ints) -> NDArray[np.floating[Any]]:
    """The values [T] of a list column whose lists must have the responses' lengths [n]."""
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        raise PrunegridError(f"{where} is {column.type}, not lists of numbers; write one list a sample")
    wrong = np.flatnonzero(pc.fill_null(pc.list_value_length(column), -1).to_numpy() != lengths)
    if len(wrong):
        row = wrong[0]
        raise PrunegridError(f"{where} of sample_id {ids[row]} has not the {lengths[row]} values of response_tokens")
    return np.concatenate([chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks])
