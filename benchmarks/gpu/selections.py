"""How much two selections differ, made by the same pruner from scores of two precisions."""

from pathlib import Path

import pyarrow.parquet as pq

from gpu import package

METHODS = ("random+ppl", "entropy+ppl", "entropy+fastv", "entropy+sparsevlm", "qtuning")
RATIOS = (0.5, 0.5)
Kept = dict[int, set[int]]  # token positions by sample


def kept(scores: Path, out: Path, method: str) -> Kept:
    table = pq.read_table(package.select(scores, out, method, *RATIOS), columns=["sample_id", "kept"])
    return {row["sample_id"]: set(row["kept"]) for row in table.to_pylist()}


def differing(one: Kept, other: Kept) -> dict[str, float]:
    """Of what either of the two keeps, the share that the other does not: of samples, and of tokens of common ones."""
    common = one.keys() & other.keys()
    tokens = sum(len(one[i] | other[i]) for i in common)
    shared = sum(len(one[i] & other[i]) for i in common)
    samples = len(one.keys() | other.keys())
    return {
        "samples": round(1 - len(common) / samples, 4),
        "tokens": round(1 - shared / tokens, 4) if tokens else 0.0,
    }
