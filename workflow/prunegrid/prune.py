"""Prune: from a scores directory to `selection.parquet` and `selection.json` (design: contract `selection`).

`prunegrid prune --scores DIR --pair random+ppl --sample-ratio 0.25 --token-ratio 0.5 --out DIR`, or the
rule `prune`.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from prunegrid import __version__, draws, io
from prunegrid.pruners import Scores, Selection, check_ratio, filled, needs, select
from prunegrid.pruners.ragged import Ints
from prunegrid.scores import check_digests, read_meta, read_scores


def prune(
    scores_dir: Path,
    out_dir: Path,
    *,
    variant: str,
    method: str,
    options: dict[str, Any],
    sample_ratio: float,
    token_ratio: float,
    seed: int,
    expected_digests: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Write a cell's selection, whole or not at all; return what `selection.json` says. `seed`: cell's."""
    options = filled(method, options)
    check_ratio("sample_ratio", sample_ratio)
    check_ratio("token_ratio", token_ratio)
    meta = read_meta(scores_dir)
    check_digests(meta, expected_digests or {}, str(scores_dir))
    scores = read_scores(scores_dir, needs(method))
    pruning_seed = draws.derive(seed, "pruning")
    selection = select(scores, method, options, sample_ratio, token_ratio, pruning_seed)
    summary = {
        "variant": variant,
        "method": method,
        "options": options,
        "nominal": {"samples": sample_ratio, "tokens": token_ratio},
        **summarise(scores, selection),
        "seeds": {"cell": seed, "pruning": pruning_seed},
        "digests": meta.get("digests", {}),
        "version": __version__,
    }
    with io.replacing(out_dir / "selection.parquet") as temporary:
        io.write_parquet(temporary, selection_table(selection))
        io.write_json(out_dir / "selection.json", summary)
    return summary


def selection_table(selection: Selection) -> pa.Table:
    """The rows of `selection.parquet`, one a kept sample, in order of `sample_id`."""
    kept = pa.ListArray.from_arrays(selection.offsets.astype(np.int32), pa.array(selection.positions, pa.int32()))
    return pa.table(
        {
            "sample_id": pa.array(selection.sample_id, pa.int64()),
            "weight": pa.array(selection.weight, pa.float32()),
            "kept": kept,
            "quadrant": pa.array(selection.quadrant, pa.int8()),
            "reason": pa.array(selection.reason.tolist(), pa.string()),
            "treated_as": pa.array(selection.treated_as, pa.int8()),
        }
    )


def summarise(scores: Scores, selection: Selection) -> dict[str, Any]:
    """What was really kept. `realised_token_ratio` is within the kept samples, `response_tokens` of all."""
    rows = np.flatnonzero(np.isin(scores.sample_id, selection.sample_id))
    kept_tokens, own_tokens = len(selection.positions), int(scores.response_tokens[rows].sum())
    return {
        "realised": {
            "samples": len(selection) / len(scores),
            "response_tokens": kept_tokens / int(scores.response_tokens.sum()),
            "all_tokens": _all_tokens(scores, rows, kept_tokens),
        },
        "realised_token_ratio": kept_tokens / own_tokens,
        "n_samples": len(scores),
        "n_kept_samples": len(selection),
        "kept_tokens": kept_tokens,
        "counts": {
            name: {str(value): count for value, count in sorted(Counter(column.tolist()).items())}
            for name, column in (
                ("quadrant", selection.quadrant),
                ("reason", selection.reason),
                ("treated_as", selection.treated_as),
            )
        },
        **selection.details,
    }


def _all_tokens(scores: Scores, rows: Ints, kept_tokens: int) -> float | None:
    """(Prompt tokens of kept samples + kept response tokens) / all tokens; None without prompt lengths."""
    if scores.prompt_tokens is None:
        return None
    whole = int(scores.prompt_tokens.sum() + scores.response_tokens.sum())
    return (int(scores.prompt_tokens[rows].sum()) + kept_tokens) / whole
