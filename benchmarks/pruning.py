"""How pruning grows with the data: samples/s and peak memory at 10^5, 10^6, 10^7 generated samples.

    python benchmarks/pruning.py [--sizes 100000 1000000] [--methods qtuning random+ppl] [--response-tokens 100]
    python benchmarks/pruning.py --methods random+ppl --options '{"pool": "batch"}'

Scores of about 100 response tokens a sample are generated (gamma-distributed NLL; PPL and entropy correlated) in a
temporary folder: 4 bytes a token, so 10^7 samples take 6 GB of disk. Every method prunes them (25 % x 50 %) in a
process of its own, whose own peak memory (VmHWM) is reported. Growth exponent: the slope of log CPU seconds
over log samples between the smallest and the largest size. The last line is one JSON object.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from children import exponent, measured

BLOCK_TOKENS = 5_000_000
RATIOS = {"sample_ratio": 0.25, "token_ratio": 0.5}
PROGRAM = Path(__file__).with_name("programs") / "prune_scores.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    parser.add_argument("--methods", nargs="+", default=["qtuning", "random+ppl"])
    parser.add_argument("--options", default="{}", help="of every method, as JSON")
    parser.add_argument("--response-tokens", type=int, default=100, help="of a sample, on average")
    options = parser.parse_args()
    runs = []
    print(f"{'method':12} {'samples':>10} {'tokens':>13} {'seconds':>8} {'CPU s':>8} {'samples/s':>10} {'peak MB':>8}")
    for samples in sorted(options.sizes):
        with tempfile.TemporaryDirectory() as folder:
            tokens = generate(Path(folder, "scores"), samples, options.response_tokens)
            for method in options.methods:
                row = {
                    "method": method,
                    "samples": samples,
                    "tokens": tokens,
                    **run(Path(folder), method, options.options),
                }
                runs.append(row)
                print(
                    f"{method:12} {samples:10,} {tokens:13,} {row['seconds']:8.1f} {row['cpu_seconds']:8.1f} "
                    f"{samples / row['seconds']:10,.0f} {row['peak_mb']:8,.0f}",
                    flush=True,
                )
    growth = {method: grown([row for row in runs if row["method"] == method]) for method in options.methods}
    for method, slope in growth.items():
        print(f"{method}: CPU seconds grow as samples^{slope:.2f}" if slope else f"{method}: one size, no growth")
    print(json.dumps({"benchmark": "pruning", "ratios": RATIOS, "growth_exponent": growth, "runs": runs}))


def generate(scores: Path, samples: int, response_tokens: int) -> int:
    """Write a scores directory of `samples` samples block by block; return its number of response tokens."""
    scores.mkdir()
    size = BLOCK_TOKENS // response_tokens
    writers: dict[str, pq.ParquetWriter] = {}
    total = 0
    for start in range(0, samples, size):
        tables, tokens = block(start, min(size, samples - start), response_tokens)
        total += tokens
        for name, table in tables.items():
            if name not in writers:
                writers[name] = pq.ParquetWriter(scores / f"{name}.parquet", table.schema, compression="none")
            writers[name].write_table(table, row_group_size=4096)
    for writer in writers.values():
        writer.close()
    return total


def block(start: int, n: int, response_tokens: int) -> tuple[dict[str, pa.Table], int]:
    rng = np.random.default_rng(start)
    lengths = rng.integers(response_tokens // 2, response_tokens * 3 // 2 + 1, n)
    nll_T = rng.standard_gamma(1.5, lengths.sum(), dtype=np.float32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    nll_N = np.add.reduceat(nll_T, offsets[:-1], dtype=np.float64) / lengths
    samples = sample_table(start, lengths, nll_N, rng)
    lists = pa.ListArray.from_arrays(offsets.astype(np.int32), pa.array(nll_T))
    return {"samples": samples, "tokens": pa.table({"sample_id": samples["sample_id"], "nll": lists})}, int(
        lengths.sum()
    )


def sample_table(start: int, lengths: np.ndarray, nll_N: np.ndarray, rng: np.random.Generator) -> pa.Table:
    """The samples from number `start` on, with what the pruners read of each."""
    n = len(lengths)
    return pa.table(
        {
            "sample_id": pa.array(np.arange(start, start + n)),
            "prompt_tokens": pa.array(np.full(n, 40, np.int32)),
            "response_tokens": pa.array(lengths.astype(np.int32)),
            "truncated": pa.array(rng.random(n) < 0.02),
            "nll": pa.array(nll_N.astype(np.float32)),
            "ppl": pa.array(np.exp(nll_N).astype(np.float32)),
            "entropy": pa.array((nll_N + rng.normal(0, 0.1, n)).astype(np.float32)),
        }
    )


def run(folder: Path, method: str, options: str) -> dict[str, float]:
    return measured(method, [PROGRAM, folder / "scores", folder / "out", method, *RATIOS.values(), options])


def grown(rows: list[dict[str, float]]) -> float | None:
    return exponent(rows[0], rows[-1], "cpu_seconds") if len(rows) > 1 else None


if __name__ == "__main__":
    main()
