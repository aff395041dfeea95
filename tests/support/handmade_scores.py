"""A hand-made scores directory or `Scores`: the smallest that the contract allows, without a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from prunegrid.core import files
from prunegrid.pruners import PruningSpec, Scores
from prunegrid.scoring.token_means import MEANS, means
from prunegrid.scoring.vectors import write_vectors

TOKEN_COLUMNS = ("nll", "entropy", "fastv", "sparsevlm", "fastv_layer2", "reference_nll")

LATER_TOKEN_COLUMNS = ("nll_alone", "prompt_attention", "base_nll")


def scores(
    lengths: Sequence[int],
    *,
    sample_id: Sequence[int] | None = None,
    truncated: Sequence[bool] | None = None,
    samples: dict[str, Any] | None = None,
    tokens: dict[str, Any] | None = None,
) -> Scores:
    """`Scores` of responses of these lengths; `samples` columns [n], `tokens` columns flat [T]."""
    n = len(lengths)
    return Scores(
        sample_id=np.arange(n) if sample_id is None else np.asarray(sample_id),
        response_tokens=np.asarray(lengths, dtype=np.int64),
        truncated=np.zeros(n, bool) if truncated is None else np.asarray(truncated),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        samples={name: _column(column) for name, column in (samples or {}).items()},
        tokens={name: np.asarray(column, dtype=np.float64) for name, column in (tokens or {}).items()},
    )


def _column(values: Any) -> Any:
    """float64[n], or vectors float16[n, D]."""
    column = np.asarray(values)
    return column.astype(np.float16 if column.ndim == 2 else np.float64)


def random_scores(n: int, seed: int = 0, longest: int = 30) -> Scores:
    """All contract columns and the optional ones for n samples, with ties: values are rounded to a coarse grid."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest + 1, n)
    columns = {name: np.round(rng.gamma(2.0, 1.0, lengths.sum()), 1) for name in TOKEN_COLUMNS}
    later = np.random.default_rng([seed, 2])  # columns that came later, which change none of the others
    columns |= {name: np.round(later.gamma(2.0, 1.0, lengths.sum()), 1) for name in LATER_TOKEN_COLUMNS}
    outside = np.random.default_rng([seed, 3])
    columns["quality"] = np.round(outside.normal(size=lengths.sum()), 1)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    mean = {name: np.add.reduceat(columns[name], starts) / lengths for name in ("nll", "entropy")}
    given = scores(
        lengths.tolist(),
        sample_id=(rng.permutation(3 * n)[:n]).tolist(),
        truncated=(rng.random(n) < 0.2).tolist(),
        samples={
            "nll": mean["nll"],
            "entropy": mean["entropy"],
            "ppl": np.round(np.exp(mean["nll"]), 1),
            "ifd": np.round(rng.uniform(0.2, 1.3, n), 1),
            "s_ifd": np.round(later.uniform(0.2, 1.3, n), 1),
            "quality": np.round(outside.uniform(1, 5, n)),
            "hidden_mean": np.round(later.normal(size=(n, 4)), 1),
            "query_rank": np.random.default_rng([seed, 3]).permutation(n),
            "duplicate_rank": np.random.default_rng([seed, 2]).geometric(0.7, n) - 1,
            "compression_ratio": np.round(np.random.default_rng([seed, 4]).gamma(9.0, 0.15, n), 1),
        },
        tokens=columns,
    )
    derive(given)
    return given


def derive(given: Scores) -> None:
    """Add the columns that are made of other columns; of token ids there are fifty."""
    rng = np.random.default_rng(7)
    for name in ("mean_error", "upd"):
        given.samples[name] = means(MEANS[name](given.tokens, 50), given.offsets)
    given.samples["reference_loss"] = means(given.token("reference_nll"), given.offsets)
    ids = rng.integers(0, 50, given.offsets[-1])
    given.tokens["token_frequency"] = np.bincount(ids, minlength=50)[ids].astype(np.float64)


def sequence_scores(n: int, seed: int = 0, longest: int = 30) -> Scores:
    """`random_scores`, with the columns of whole sequences, of instructions and of a training's epochs."""
    given, rng = random_scores(n, seed, longest), np.random.default_rng([seed, 1])
    prompt, plain = rng.integers(1, longest, n), given.response_tokens - ~given.truncated
    ranks = []
    for before, after, cut in zip(prompt.tolist(), plain.tolist(), given.truncated.tolist(), strict=True):
        end = [] if cut else [rng.integers(before + after + 1)]  # no candidate: how many are before it
        ranks += [*rng.permutation(before + after)[:after].tolist(), *end]
    given.tokens["fastv_rank"] = np.array(ranks, dtype=np.float64)
    given.tokens["sparsevlm_kept"] = (rng.random(len(ranks)) < 0.3).astype(np.float64)
    given.samples["prompt_candidates"] = prompt.astype(np.float64)
    given.samples["instruction_characters"] = rng.integers(0, 20, n).astype(np.float64)
    for name in ("instruction_entropy", "sequence_entropy", "epoch_loss"):
        given.samples[name] = np.round(rng.gamma(2.0, 1.0, n), 1)
    return given


def write(directory: Path, given: Scores, prompt_tokens: int = 10, meta: dict[str, Any] | None = None) -> Path:
    """Write `samples.parquet` and `tokens.parquet`, without token ids, and columns of vectors; `meta.json` if given."""
    samples = {
        "sample_id": pa.array(given.sample_id, pa.int64()),
        "prompt_tokens": pa.array([prompt_tokens] * len(given), pa.int32()),
        "response_tokens": pa.array(given.response_tokens, pa.int32()),
        "truncated": pa.array(given.truncated),
        **{name: pa.array(column, pa.float32()) for name, column in given.samples.items() if column.ndim == 1},
    }
    tokens = {"sample_id": samples["sample_id"]}
    for name, column in given.tokens.items():
        tokens[name] = pa.ListArray.from_arrays(given.offsets.astype(np.int32), pa.array(column, pa.float32()))
    files.write_parquet(directory / "samples.parquet", pa.table(samples))
    files.write_parquet(directory / "tokens.parquet", pa.table(tokens))
    for name, column in given.samples.items():
        if column.ndim == 2:
            write_vectors(directory / "extra" / f"{name}.arrow", name, given.sample_id, column, {})
    if meta is not None:
        files.write_json(directory / "meta.json", meta)
    return directory


def write_extra(directory: Path, name: str, given: Scores, values: Sequence[float]) -> None:
    """Write `extra/<name>.parquet`: a per-sample column."""
    table = pa.table({"sample_id": pa.array(given.sample_id, pa.int64()), name: pa.array(values, pa.float32())})
    files.write_parquet(directory / "extra" / f"{name}.parquet", table)


def spec(method: str, sample_ratio: float = 0.5, token_ratio: float = 0.5, **options: Any) -> PruningSpec:
    return PruningSpec(method=method, options=options, sample_ratio=sample_ratio, token_ratio=token_ratio)
