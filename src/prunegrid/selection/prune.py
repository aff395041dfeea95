"""Prune: from a scores directory to `selection.parquet` and `selection.json` (design: contract `selection`).

`prunegrid prune --scores DIR --pair random+ppl --sample-ratio 0.25 --token-ratio 0.5 --out DIR`, or the
rule `prune`. Samples are chosen from the sample table; tokens stream through block by block.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from prunegrid import __version__
from prunegrid.core import files, randomness
from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import layout
from prunegrid.pruners import (
    Choice,
    Draw,
    Match,
    PruningSpec,
    Scores,
    Selection,
    choose,
    keep,
    members,
    require_tokens,
)
from prunegrid.scoring.reader import ScoresFolder, check_digests

SCHEMA = pa.schema(
    {
        "sample_id": pa.int64(),
        "weight": pa.float32(),
        "kept": pa.list_(pa.int32()),
        "quadrant": pa.int8(),
        "reason": pa.string(),
        "treated_as": pa.int8(),
    }
)


def prune(
    scores_dir: Path,
    out_dir: Path,
    spec: PruningSpec,
    seed: int,
    *,
    match: Path | None = None,
    expected_digests: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Write a cell's selection, whole or not at all; return what `selection.json` says. `seed`: cell's.

    `match`: the `selection.json` whose realised counts a pair meets instead of the ratios.
    """
    spec = spec.complete()
    folder = ScoresFolder(scores_dir)
    folder.check_digests(expected_digests or {})
    scores = folder.read_samples(spec.needs)
    pruning_seed = randomness.derive_seed(seed, "pruning")
    counts = _counts_of(match, len(scores), folder) if match else None
    ordered = scores.ordered()
    chosen = choose(ordered, spec, Draw(pruning_seed), counts)
    with files.replacing(out_dir / layout.SELECTION) as temporary:
        _write(temporary, folder, scores, chosen, spec)
        summary = {
            "mode": "static",
            "variant": spec.variant,
            "method": spec.method,
            "options": spec.options,
            "match": files.read_json(match)["variant"] if match else None,
            "nominal": {"samples": spec.sample_ratio, "tokens": spec.token_ratio},
            **summarise(ordered, chosen),
            "selection": files.sha256(temporary),
            "foreign_pruners": foreign(spec.method),
            "seeds": {"cell": seed, "pruning": pruning_seed},
            "digests": folder.digests,
            "extras": folder.extra_digests(spec.needs),
            "version": __version__,
        }
        files.write_json(out_dir / layout.SUMMARY, summary)
    return summary


def _counts_of(path: Path, n: int, folder: ScoresFolder) -> Match:
    """The realised counts of another selection of the same n samples."""
    other = files.read_json(path)
    keys = ("variant", "n_samples", "n_kept_samples", "kept_tokens", "digests")
    if not isinstance(other, dict) or not set(keys) <= set(other):
        raise PrunegridError(f"{path}: is no selection.json that prune wrote (it has no {', '.join(keys)})")
    if other["n_samples"] != n:
        raise PrunegridError(f"{path}: is a selection of {other['n_samples']} samples, not of these {n}")
    check_digests(path, other["digests"], folder.digests, "prune again")
    return Match(other["n_kept_samples"], other["kept_tokens"])


def _write(path: Path, folder: ScoresFolder, scores: Scores, chosen: Choice, spec: PruningSpec) -> None:
    """Stream the selection to `path`, in order of `sample_id`.

    Only where the scores are in another order is the selection (not the scores) held in memory, to be sorted.
    """
    rows = chosen.rows if scores.is_ordered else np.argsort(scores.sample_id, kind="stable")[chosen.rows]
    by_file = np.argsort(rows, kind="stable")
    rows, chosen = rows[by_file], chosen.take(by_file)

    def blocks() -> Iterator[Scores]:
        return _kept_blocks(folder, scores, rows, spec)

    tables: Iterator[pa.Table] = map(selection_table, keep(chosen, blocks))
    if not scores.is_ordered:
        tables = iter([pa.concat_tables(tables).sort_by("sample_id")])
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)


def _kept_blocks(folder: ScoresFolder, scores: Scores, rows: NDArray[np.int64], spec: PruningSpec) -> Iterator[Scores]:
    """The samples `rows` (ascending rows of the file) with their tokens, block by block; all values are checked."""
    start = 0
    for block in folder.token_blocks(scores, spec.needs):
        require_tokens(block, spec)
        first, last = np.searchsorted(rows, [start, start + len(block)])
        if first < last:
            yield block.take(rows[first:last] - start)
        start += len(block)


def selection_table(selection: Selection) -> pa.Table:
    """Rows of `selection.parquet`, one a kept sample."""
    kept = pa.ListArray.from_arrays(selection.offsets.astype(np.int32), pa.array(selection.positions, pa.int32()))
    columns = [
        selection.sample_id,
        selection.weight,
        kept,
        selection.quadrant,
        selection.reason.tolist(),
        selection.treated_as,
    ]
    return pa.table(columns, schema=SCHEMA)


def summarise(scores: Scores, chosen: Choice) -> dict[str, Any]:
    """What was really kept. `realised_token_ratio` is within the kept samples, `response_tokens` of all."""
    kept_tokens, own_tokens = int(chosen.k.sum()), int(scores.response_tokens[chosen.rows].sum())
    return {
        "realised": {
            "samples": len(chosen) / len(scores),
            "response_tokens": kept_tokens / int(scores.response_tokens.sum()),
            "all_tokens": _all_tokens(scores, chosen, kept_tokens),
        },
        "realised_token_ratio": kept_tokens / own_tokens,
        "n_samples": len(scores),
        "n_kept_samples": len(chosen),
        "kept_tokens": kept_tokens,
        "counts": {
            name: {str(value): int(count) for value, count in zip(*np.unique(column, return_counts=True), strict=True)}
            for name, column in (
                ("quadrant", chosen.kept.quadrant),
                ("reason", chosen.kept.reason),
                ("treated_as", chosen.kept.treated_as),
            )
        },
        **chosen.details,
    }


def _all_tokens(scores: Scores, chosen: Choice, kept_tokens: int) -> float | None:
    """(Prompt tokens of kept samples + kept response tokens) / all tokens; None without prompt lengths."""
    if scores.prompt_tokens is None:
        return None
    whole = int(scores.prompt_tokens.sum() + scores.response_tokens.sum())
    return (int(scores.prompt_tokens[chosen.rows].sum()) + kept_tokens) / whole


def foreign(method: str) -> dict[str, Any]:
    """Of the pruners from outside the package: version, and the digest of the module's source."""
    return {
        pruner.name: {"module": pruner.function.__module__, "version": pruner.version, "source": pruner.source_digest}
        for pruner in members(method)
        if pruner.foreign
    }
