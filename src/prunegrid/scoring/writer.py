"""Write a scores folder: its three files at once, or gathered from the folders of its shards."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from prunegrid.core import file_sums
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import PARQUET, parquet_schema, parquet_writer, read_batches, read_json, replacing, write_json
from prunegrid.experiment import layout
from prunegrid.pruners.columns import HEAD_SCORES
from prunegrid.scoring.rendering import refused_answers, summed
from prunegrid.scoring.sequences import Sequences, Values

# Keys of a shard's meta that all shards must have in common, and those that add up.
COMMON_KEYS = ("schema", "digests", "dtype", "head", "max_length", "left_out", "extra")
SUM_KEYS = ("samples", "fully_cut", "truncated", "tokens", "positions", "seconds", "forward_seconds")
GROUP = 4096  # rows of a row group of tokens.parquet


def gather(shards: Sequence[Path], out: Path) -> dict[str, Any]:
    """Concatenate the folders of shards 1, 2, ... n as the scores `out`, a row group at a time; return the meta."""
    metas = [read_json(folder / layout.META) for folder in shards]
    _check_same(shards, metas)
    sums = {key: round(sum(meta[key] for meta in metas), 3) for key in SUM_KEYS}
    meta = {key: value for key, value in metas[0].items() if key not in ("shard", "rendering", "sha256")}
    meta |= sums | {"shards": len(metas)} | summed([meta.get("rendering", {}) for meta in metas])
    refuse_empty(meta, out)
    meta |= rates(meta)
    with _replacing_scores(out) as (samples, tokens, meta_file):
        for name, temporary in ((layout.SAMPLES, samples), (layout.TOKENS, tokens)):
            concatenate([folder / name for folder in shards], temporary)
        return _write_meta(meta_file, meta, samples, tokens)


def rates(meta: dict[str, Any]) -> dict[str, float]:
    """Share of forwarded positions that are padding, and (real) tokens forwarded per second."""
    padding = 1 - meta["tokens"] / meta["positions"] if meta["positions"] else 0.0
    speed = meta["tokens"] / meta["forward_seconds"] if meta["forward_seconds"] else 0.0
    return {"padding_waste": round(padding, 4), "tokens_per_second": round(speed, 1)}


def refuse_empty(meta: dict[str, Any], data: Path | str) -> None:
    if meta["samples"] == 0:
        refused = refused_answers(meta)
        problem = f"no sample has a response token within max_length {meta['max_length']}"
        problem += f" ({refused} are refused by the chat template)" if refused else ""
        raise PrunegridError(data, problem, "raise --max-length (scoring.max_length), or shorten the prompts")


def write_scores(out: Path, sequences: Sequences, values: Values, meta: dict[str, Any]) -> dict[str, Any]:
    """Write the scores of one shard or of all the data; return the meta, with the digests of the tables.

    `values`: one float32 for each response token, by column.
    """
    with _replacing_scores(out) as (samples, tokens, meta_file):
        pq.write_table(samples_table(sequences, values), samples, row_group_size=50_000, **PARQUET)
        with parquet_writer(tokens, tokens_table(sequences, values, 0, 0).schema) as writer:
            for start in range(0, len(sequences), GROUP):
                writer.write_table(tokens_table(sequences, values, start, start + GROUP))
        return _write_meta(meta_file, meta, samples, tokens)


def _write_meta(path: Path, meta: dict[str, Any], samples: Path, tokens: Path) -> dict[str, Any]:
    """Write the meta, with the SHA-256 of the two tables; return it."""
    sums = file_sums.hash_files([samples, tokens]).values()
    meta = meta | {"sha256": dict(zip((layout.SAMPLES, layout.TOKENS), sums, strict=True))}
    write_json(path, meta)
    return meta


def samples_table(sequences: Sequences, values: Values) -> pa.Table:
    nll_N, entropy_N = (sample_means(values[name], sequences) for name in HEAD_SCORES)
    continues_N = sequences.continues_N if sequences.continues_N is not None and sequences.continues_N.any() else None
    origin = {
        "row": (sequences.row_N, pa.int64()),
        "turn": (sequences.turn_N, pa.int32()),
        "continues": (continues_N, pa.bool_()),
    }
    return pa.table(
        {
            "sample_id": pa.array(sequences.sample_id_N, pa.int64()),
            **{name: pa.array(column, kind) for name, (column, kind) in origin.items() if column is not None},
            "prompt_tokens": pa.array(sequences.prompt_N, pa.int32()),
            "response_tokens": pa.array(sequences.response_N, pa.int32()),
            "truncated": pa.array(sequences.truncated_N, pa.bool_()),
            "nll": pa.array(nll_N, pa.float32()),
            "ppl": pa.array(np.exp(nll_N), pa.float32()),
            "entropy": pa.array(entropy_N, pa.float32()),
        }
    )


def tokens_table(sequences: Sequences, values: Values, start: int, end: int) -> pa.Table:
    """The samples from `start` up to `end`: their token ids, and for each column of `values` one list a sample."""
    offsets = sequences.offsets[start : end + 1]
    borders = np.stack([offsets[:-1], offsets[:-1] + sequences.prompt_N[start:end]], 1)
    # Prompts and responses alternate in `ids_T`: one list array has both, the even lists are prompts.
    lists = _lists(sequences.ids_T, np.append(borders, offsets[-1]))
    columns = {
        "sample_id": pa.array(sequences.sample_id_N[start:end], pa.int64()),
        "prompt_ids": lists.take(pa.array(np.arange(0, len(lists), 2))),
        "response_ids": lists.take(pa.array(np.arange(1, len(lists), 2))),
    }
    columns |= {name: list_column(sequences, column, start, end) for name, column in values.items()}
    return pa.table(columns)


def list_column(sequences: Sequences, values_T: NDArray[np.floating[Any]], start: int, end: int) -> pa.ListArray:
    """The values of the samples from `start` up to `end`, one list a sample."""
    return _lists(values_T, sequences.response_offsets[start : end + 1])


def sample_means(values_T: NDArray[np.float32], sequences: Sequences) -> NDArray[np.float64]:
    """float64[N]: each sample's mean over its response tokens."""
    sums: NDArray[np.float64] = np.add.reduceat(values_T, sequences.response_offsets[:-1], dtype=np.float64)
    return sums / sequences.response_N


def _lists(values: NDArray[Any], offsets: NDArray[np.int64]) -> pa.ListArray:
    """The stretches of `values` between `offsets`, as lists. A list column's offsets have 32 bits and begin at 0."""
    stretch = pa.array(values[offsets[0] : offsets[-1]])
    return pa.ListArray.from_arrays(pa.array(offsets - offsets[0], pa.int32()), stretch)


def _check_same(shards: Sequence[Path], metas: Sequence[dict[str, Any]]) -> None:
    """Refuse parts that are not shards 1, 2, ... n of one scoring pass."""
    numbers = [meta["shard"] for meta in metas]
    if numbers != [[number, len(metas)] for number in range(1, len(metas) + 1)]:
        problem = f"shards {numbers} are not 1 to {len(metas)} of {len(metas)}"
        raise PrunegridError(shards[0].parent, problem, "score all shards again")
    for folder, meta in zip(shards, metas, strict=True):
        if keys := [key for key in COMMON_KEYS if meta.get(key) != metas[0].get(key)]:
            problem = f"{', '.join(keys)} differ from those of {shards[0]}"
            fix = "score all shards again with the same model, data set and settings"
            raise PrunegridError(folder / layout.META, problem, fix)


def concatenate(parts: Sequence[Path], out: Path) -> None:
    """Write the rows of all parts in order, with one row group in memory at a time.

    A shard without a conversation of several answers has no column `continues`, which others may have.
    """
    schemas = [parquet_schema(part) for part in parts]
    schema = max(schemas, key=lambda schema: len(schema.names))
    with parquet_writer(out, schema) as writer:
        for part in parts:
            for batch in read_batches(part, GROUP):
                if "continues" in schema.names and "continues" not in batch.schema.names:
                    batch = batch.append_column("continues", pa.array([False] * len(batch))).select(schema.names)
                writer.write_batch(batch)


@contextmanager
def _replacing_scores(out: Path) -> Iterator[tuple[Path, Path, Path]]:
    """Temporary paths of the three files, renamed if the whole block succeeds.

    The meta is renamed last: it says that the tables beside it are complete.
    """
    with (
        replacing(out / layout.META) as meta,
        replacing(out / layout.SAMPLES) as samples,
        replacing(out / layout.TOKENS) as tokens,
    ):
        yield samples, tokens, meta
