"""How choosing alone grows: CPU seconds and peak memory of `choose` over 10^6, 10^7 and 10^8 generated sample rows.

    python benchmarks/choosing.py [--sizes 1000000 10000000] [--methods random+random loss+ppl qtuning]

Only a sample table is generated (28 bytes a row, 3 GB of disk for 10^8), in a temporary folder: no token is read before
shards are cut. Every method chooses 25 % of the samples in a process of its own, whose own peak memory (VmHWM) is
reported, and writes its choice file. Growth exponents: slopes of log CPU seconds and log peak memory over log samples
between the two largest sizes; bytes a row: what the peak grows by between them. The last line is one JSON object.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from children import exponent, measured
from pruning import sample_table

BLOCK = 2**20
PROGRAM = Path(__file__).with_name("programs") / "choose_scores.py"
RATIOS = ["0.25", "0.5"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**6, 10**7, 10**8])
    parser.add_argument("--methods", nargs="+", default=["random+random", "loss+ppl", "qtuning"])
    options = parser.parse_args()
    runs = []
    print(f"{'method':14} {'samples':>11} {'seconds':>8} {'CPU s':>8} {'peak MB':>8} {'choice MB':>9}")
    for samples in sorted(options.sizes):
        with tempfile.TemporaryDirectory() as folder:
            generate(Path(folder, "scores"), samples)
            for method in options.methods:
                row = {"method": method, "samples": samples, **run(Path(folder), method)}
                runs.append(row)
                print(
                    f"{method:14} {samples:11,} {row['seconds']:8.1f} {row['cpu_seconds']:8.1f} {row['peak_mb']:8,.0f} "
                    f"{row['choice_mb']:9,.0f}",
                    flush=True,
                )
    growth = {method: grown([row for row in runs if row["method"] == method]) for method in options.methods}
    for method, slopes in growth.items():
        print(
            f"{method}: {', '.join(f'{name} {value:.2f}' for name, value in slopes.items()) or 'one size, no growth'}"
        )
    print(json.dumps({"benchmark": "choosing", "growth": growth, "runs": runs}))


def generate(scores: Path, samples: int) -> None:
    """Write a sample table block by block, and a token table without rows."""
    scores.mkdir()
    writer = None
    for start in range(0, samples, BLOCK):
        table = block(start, min(BLOCK, samples - start))
        writer = writer or pq.ParquetWriter(scores / "samples.parquet", table.schema, compression="none")
        writer.write_table(table, row_group_size=2**17)
    assert writer is not None
    writer.close()
    pq.write_table(pa.table({"sample_id": pa.array([], pa.int64())}), scores / "tokens.parquet")


def block(start: int, n: int) -> pa.Table:
    rng = np.random.default_rng(start)
    return sample_table(start, rng.integers(50, 151, n), rng.gamma(150.0, 0.01, n), rng)


def run(folder: Path, method: str) -> dict[str, float]:
    return measured(method, [PROGRAM, folder / "scores", folder / "choice.parquet", method, *RATIOS])


def grown(rows: list[dict[str, float]]) -> dict[str, float]:
    """The exponents of time and memory between the two largest sizes, and the bytes that a row adds to the peak."""
    if len(rows) < 2:
        return {}
    small, large = rows[-2:]
    slopes = {name: exponent(small, large, name) for name in ("cpu_seconds", "peak_mb")}
    added = (large["peak_mb"] - small["peak_mb"]) * 2**20 / (large["samples"] - small["samples"])
    return slopes | {"bytes_a_row": added}


if __name__ == "__main__":
    main()
