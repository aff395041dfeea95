"""The three files of a scores folder: written at once, and gathered from the parts that shards have scored."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import parquet_schema, read_batches, read_json, replacing, write_json
from prunegrid.experiment import layout
from prunegrid.pruners.columns import HEAD_SCORES
from prunegrid.scoring.sequences import Sequences, Values

SAME = ("schema", "digests", "dtype", "head", "max_length", "left_out")
SUMS = ("samples", "fully_cut", "truncated", "tokens", "positions", "seconds", "forward_seconds")
GROUP = 4096


def gather(shards: Sequence[Path], out: Path) -> dict[str, Any]:
    """Put the folders of shards 1, 2, ... n together as the scores `out`, a row group at a time; return the meta."""
    metas = [read_json(folder / layout.META) for folder in shards]
    _check_same(shards, metas)
    sums = {key: round(sum(meta[key] for meta in metas), 3) for key in SUMS}
    meta = {key: value for key, value in metas[0].items() if key != "shard"} | sums | {"shards": len(metas)}
    refuse_empty(meta, out)
    meta |= rates(meta)
    with _three(out) as (samples, tokens, written):
        for name, temporary in ((layout.SAMPLES, samples), (layout.TOKENS, tokens)):
            _concatenate([folder / name for folder in shards], temporary)
        write_json(written, meta)
    return meta


def rates(meta: dict[str, Any]) -> dict[str, float]:
    """Share of forwarded positions that are padding, and (real) tokens forwarded per second."""
    padding = 1 - meta["tokens"] / meta["positions"] if meta["positions"] else 0.0
    speed = meta["tokens"] / meta["forward_seconds"] if meta["forward_seconds"] else 0.0
    return {"padding_waste": round(padding, 4), "tokens_per_second": round(speed, 1)}


def refuse_empty(meta: dict[str, Any], data: Path) -> None:
    if meta["samples"] == 0:
        raise PrunegridError(f"{data}: no sample keeps a response token under max_length {meta['max_length']}")


def write_scores(out: Path, rows: Sequences, values: Values, meta: dict[str, Any]) -> None:
    """The files of one shard, or of all the data. `values`: one float32 a response token, by column."""
    with _three(out) as (samples, tokens, written):
        pq.write_table(samples_table(rows, values), samples, compression="zstd", row_group_size=50_000)
        with pq.ParquetWriter(tokens, tokens_table(rows, values, 0, 0).schema, compression="zstd") as writer:
            for start in range(0, len(rows), GROUP):
                writer.write_table(tokens_table(rows, values, start, start + GROUP))
        write_json(written, meta)


def samples_table(rows: Sequences, values: Values) -> pa.Table:
    nll_N, entropy_N = (sample_means(values[name], rows) for name in HEAD_SCORES)
    return pa.table(
        {
            "sample_id": pa.array(rows.sample_id_N, pa.int64()),
            "prompt_tokens": pa.array(rows.prompt_N, pa.int32()),
            "response_tokens": pa.array(rows.response_N, pa.int32()),
            "truncated": pa.array(rows.truncated_N, pa.bool_()),
            "nll": pa.array(nll_N, pa.float32()),
            "ppl": pa.array(np.exp(nll_N), pa.float32()),
            "entropy": pa.array(entropy_N, pa.float32()),
        }
    )


def tokens_table(rows: Sequences, values: Values, start: int, end: int) -> pa.Table:
    """The samples from `start` up to `end`: token ids, and of each of `values` a list a sample."""
    offsets = rows.offsets[start : end + 1]
    borders = np.stack([offsets[:-1], offsets[:-1] + rows.prompt_N[start:end]], 1)
    both = _lists(rows.ids_T, np.append(borders, offsets[-1]))
    columns = {
        "sample_id": pa.array(rows.sample_id_N[start:end], pa.int64()),
        "prompt_ids": both.take(pa.array(np.arange(0, len(both), 2))),
        "response_ids": both.take(pa.array(np.arange(1, len(both), 2))),
    }
    columns |= {name: list_column(rows, column, start, end) for name, column in values.items()}
    return pa.table(columns)


def list_column(rows: Sequences, values_T: NDArray[np.floating[Any]], start: int, end: int) -> pa.ListArray:
    """The values of the samples from `start` up to `end`, a list a sample."""
    return _lists(values_T, rows.response_offsets[start : end + 1])


def sample_means(values_T: NDArray[np.float32], rows: Sequences) -> NDArray[np.float64]:
    """float64[N]: means over each sample's response tokens."""
    sums: NDArray[np.float64] = np.add.reduceat(values_T, rows.response_offsets[:-1], dtype=np.float64)
    return sums / rows.response_N


def _lists(values: NDArray[Any], offsets: NDArray[np.int64]) -> pa.ListArray:
    """A list column over a stretch of `values`; its own offsets are 32 bits wide."""
    own = pa.array(values[offsets[0] : offsets[-1]])
    return pa.ListArray.from_arrays(pa.array(offsets - offsets[0], pa.int32()), own)


def _check_same(shards: Sequence[Path], metas: Sequence[dict[str, Any]]) -> None:
    """Refuse parts that are not shards 1, 2, ... n of one scoring pass."""
    found = [meta["shard"] for meta in metas]
    if found != [[number, len(metas)] for number in range(1, len(metas) + 1)]:
        raise PrunegridError(
            f"{shards[0].parent}: shards {found} are not 1 to {len(metas)} of {len(metas)}; score again"
        )
    for folder, meta in zip(shards, metas, strict=True):
        differing = [key for key in SAME if meta[key] != metas[0][key]]
        if differing:
            raise PrunegridError(
                f"{folder / layout.META}: {', '.join(differing)} differ from those of {shards[0]}; "
                "score all shards again with one model, data set and setting"
            )


def _concatenate(parts: Sequence[Path], out: Path) -> None:
    """The rows of all parts in order, a row group in memory at a time."""
    with pq.ParquetWriter(out, parquet_schema(parts[0]), compression="zstd") as writer:
        for part in parts:
            for batch in read_batches(part, GROUP):
                writer.write_batch(batch)


@contextmanager
def _three(out: Path) -> Iterator[tuple[Path, Path, Path]]:
    """Temporary names of the three files, renamed if all of the block succeeds, the meta last."""
    with (
        replacing(out / layout.META) as meta,
        replacing(out / layout.SAMPLES) as samples,
        replacing(out / layout.TOKENS) as tokens,
    ):
        yield samples, tokens, meta
