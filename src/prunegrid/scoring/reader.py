"""Read a scores directory (design: contract `scores`) into the arrays that pruners take.

Only the columns that a pruner needs are read, never the token ids.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from prunegrid.core import ragged
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import column_names, parquet_metadata, read_json, read_parquet, repair, stream_parquet
from prunegrid.core.versions import SCORES_SCHEMA
from prunegrid.pruners.arrays import Scores, missing
from prunegrid.pruners.method import Needs

__all__ = ["Scores", "check_digests", "extra_digests", "read_meta", "read_samples", "read_scores", "token_blocks"]

DIGESTS = b"prunegrid"

NOTHING = Needs(samples={}, tokens={})
BLOCK_TOKENS = 2**22


def read_scores(directory: Path, needs: Needs = NOTHING) -> Scores:
    """The samples of `directory` with the columns needed, from the two tables or `extra/<column>.parquet`."""
    samples = read_samples(directory, needs)
    columns: dict[str, list[NDArray[np.floating[Any]]]] = {name: [] for name in needs.tokens}
    for block in token_blocks(directory, samples, needs):
        for name in columns:
            columns[name].append(block.tokens[name])
    return replace(samples, tokens={name: np.concatenate(parts) for name, parts in columns.items()})


def read_samples(directory: Path, needs: Needs = NOTHING) -> Scores:
    """The samples of `directory` in the file's order, with the per-sample columns needed and no tokens."""
    path = directory / "samples.parquet"
    ids, prompt, lengths, truncated = _always(path)
    columns: dict[str, ragged.Floats] = {}
    for source, names in _sources(directory, path, "sample", needs.samples).items():
        table = read_parquet(source, ["sample_id", *names])
        _same_rows(table, ids, source)
        columns |= {name: _floats(table[name]) for name in names}
    return Scores(
        sample_id=ids,
        response_tokens=lengths,
        truncated=truncated.astype(bool),
        offsets=ragged.offsets_from_lengths(lengths),
        samples=columns,
        prompt_tokens=prompt,
    )


def token_blocks(directory: Path, samples: Scores, needs: Needs = NOTHING) -> Iterator[Scores]:
    """Consecutive blocks of the `samples` as read, with the token columns needed.

    Only a block of about `BLOCK_TOKENS` tokens is in memory at a time, whatever the size of the file, of its
    row groups or of a response.
    """
    path = directory / "tokens.parquet"
    sources = {path: [], **_sources(directory, path, "token", needs.tokens)}
    sizes = _block_sizes(samples.response_tokens)
    streams = [stream_parquet(source, ["sample_id", *names], sizes) for source, names in sources.items()]
    start = 0
    for size, *tables in zip_longest(sizes, *streams, fillvalue=0):
        block = samples.take(np.arange(start, start + size))
        columns = {}
        for (source, names), table in zip(sources.items(), tables, strict=True):
            _same_rows(table, block.sample_id, source)
            for name in names:
                columns[name] = _flat(table[name], block, f"{directory}: token column {name}")
        yield replace(block, tokens=columns)
        start += size


def _block_sizes(lengths: ragged.Ints) -> list[int]:
    """Rows of each block: as many as have about `BLOCK_TOKENS` tokens, a row counting for 32 of its own."""
    block_n = np.cumsum(lengths + 32) // BLOCK_TOKENS
    sizes: list[int] = np.unique(block_n, return_counts=True)[1].tolist()
    return sizes


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
    if np.any(np.diff(ids) <= 0) and len(np.unique(ids)) < len(ids):
        raise PrunegridError(f"{path}: a sample_id stands there twice; {repair(path)}")
    if np.any(lengths < 1):
        raise PrunegridError(f"{path}: sample_id {ids[lengths < 1][0]} has no response tokens; leave it out")
    return columns


def _sources(directory: Path, path: Path, kind: str, wanted: dict[str, str]) -> dict[Path, list[str]]:
    """Which of the wanted columns each file holds: the table `path`, or `extra/<column>.parquet`."""
    sources: dict[Path, list[str]] = {}
    present = column_names(path) if wanted else []
    for name, pruner in wanted.items():
        source = path if name in present else directory / "extra" / f"{name}.parquet"
        if not source.exists():
            reason = read_meta(directory).get("left_out", {}).get(name, "")
            raise PrunegridError(f"{path}: {missing(kind, name, pruner, present, reason)}")
        if source != path:
            check_digests(read_meta(directory), _made_from(source), f"{source}, beside these scores")
        sources.setdefault(source, []).append(name)
    return sources


def extra_digests(directory: Path, needs: Needs) -> dict[str, dict[str, str]]:
    """What each optional score that is needed was made from: digests of the scores' own and of a reference model."""
    files = {name: directory / "extra" / f"{name}.parquet" for name in {**needs.samples, **needs.tokens}}
    return {name: _made_from(file) for name, file in sorted(files.items()) if file.exists()}


def _made_from(extra: Path) -> dict[str, str]:
    """The digests that `prunegrid.scoring.extra` writes into the file; none in a hand-made one."""
    digests: dict[str, str] = json.loads(parquet_metadata(extra).get(DIGESTS, b"{}"))
    return digests


def _same_rows(table: pa.Table | None, ids: ragged.Ints, path: Path) -> None:
    if not table or not np.array_equal(table["sample_id"].to_numpy(), ids):
        raise PrunegridError(f"{path}: its sample_id are not those of samples.parquet in the same order; score again")


def _floats(column: pa.ChunkedArray) -> ragged.Floats:
    """float64 [n]; a null is NaN, which the pruner's check reports."""
    values: ragged.Floats = column.cast(pa.float64()).to_numpy()
    return values


def _flat(column: pa.ChunkedArray, block: Scores, where: str) -> NDArray[np.floating[Any]]:
    """The values [T] of a list column whose lists must have the responses' lengths [n]."""
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        raise PrunegridError(f"{where} is {column.type}, not lists of numbers; write one list a sample")
    lengths = block.response_tokens
    wrong = np.flatnonzero(pc.fill_null(pc.list_value_length(column), -1).to_numpy() != lengths)
    if len(wrong):
        row = wrong[0]
        raise PrunegridError(
            f"{where} of sample_id {block.sample_id[row]} has not the {lengths[row]} values of response_tokens"
        )
    return np.concatenate([chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks])
