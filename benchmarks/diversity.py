"""How selectors over vectors grow, and what blocks cost: seconds, peak memory, quality against the exact choice.

    python benchmarks/diversity.py [--sizes 10000 100000 1000000] [--methods k-center semdedup ...] [--width 256]

Vectors (float16) are drawn around centres whose clusters have very different sizes and extents, and 5 % are nearly
copies of others; they are written to a file that is mapped into memory. Every method keeps 25 % of them in a process of
its own, whose own peak memory (VmHWM, pages of the mapped file among them) and CPU seconds are reported. Growth
exponent: the slope of log CPU seconds over log samples between the two largest sizes. At the smallest size greedy
selectors run exactly (`blocks: 1`) and in blocks, and a ratio of the two says what the blocks cost: of the largest
distance to a kept sample (k-center), of the sum of similarities (facility-location), of the distance of the means
(herding); a random choice is there to compare. The last line is one JSON object.
"""

import argparse
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from children import exponent, measured

PROGRAM = Path(__file__).with_name("programs") / "select_vectors.py"
METHODS = ["k-center", "semdedup", "herding", "facility-location", "d4", "diverse"]
RATIO, CHUNK = 0.25, 10_000
QUALITY = {"k-center": "radius", "facility-location": "similarity", "herding": "distance"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**4, 10**5, 10**6])
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--width", type=int, default=256)
    options = parser.parse_args()
    runs: list[dict[str, Any]] = []
    print(f"{'method':18} {'samples':>10} {'seconds':>9} {'CPU s':>8} {'peak MB':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for samples in sorted(options.sizes):
            file = Path(folder, f"{samples}.npy")
            write_vectors(file, samples, options.width)
            for method in options.methods:
                run = select(file, method)
                runs.append({"method": method, "samples": samples} | run)
                print(
                    f"{method:18} {samples:10,} {run['seconds']:9.1f} {run['cpu_seconds']:8.1f} {run['peak_mb']:8,.0f}",
                    flush=True,
                )
        growth = {method: grown([run for run in runs if run["method"] == method]) for method in options.methods}
        for name, slope in growth.items():
            print(f"{name}: CPU seconds grow as samples^{slope:.2f}" if slope else f"{name}: one size, no growth")
        qualities = compare_blocks(
            Path(folder, f"{min(options.sizes)}.npy"), [m for m in options.methods if m in QUALITY]
        )
    print(json.dumps({"benchmark": "diversity", "growth_exponent": growth, "runs": runs, "quality": qualities}))


def write_vectors(file: Path, samples: int, width: int) -> None:
    """float16[samples, width]: a Pareto share of the samples a cluster, a gamma-distributed extent a sample."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(max(4, samples // 500), width)).astype(np.float32)
    vectors = np.lib.format.open_memmap(file, "w+", np.float16, (samples, width))
    for start in range(0, samples, CHUNK):
        n = min(CHUNK, samples - start)
        cluster = (3 * rng.pareto(1.0, n)).astype(np.int64) % len(centres)
        part = centres[cluster] + rng.normal(size=(n, width)) * rng.gamma(2, 0.25, (n, 1))
        copies = rng.integers(n, size=n // 20)
        part[rng.permutation(n)[: len(copies)]] = part[copies] * 1.01
        vectors[start : start + n] = part
    vectors.flush()


def select(file: Path, method: str, **options: Any) -> dict[str, Any]:
    """Choose in a process of its own: what it took. The rows kept are written to `file.rows.npy`."""
    return measured(method, [PROGRAM, file, method, RATIO, json.dumps(options)])


def grown(runs: list[dict[str, Any]]) -> float | None:
    """Between the two largest sizes; None for one size."""
    return exponent(*runs[-2:], "cpu_seconds") if len(runs) > 1 else None


def compare_blocks(file: Path, methods: list[str]) -> dict[str, dict[str, float]]:
    """For each method its measure of the exact choice, of that in blocks of 1,000, and of a random one."""
    vectors = np.load(file).astype(np.float32)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    blocks = math.ceil(len(units) / 1000)
    found = {}
    for method in methods:
        chosen = {"exact": (method, {"blocks": 1}), "blocks": (method, {"blocks": blocks}), "random": ("random", {})}
        values = {}
        for name, (pruner, options) in chosen.items():
            select(file, pruner, **options)
            values[name] = quality(QUALITY[method], units, np.load(f"{file}.rows.npy"))
        found[method] = values | {"ratio": values["blocks"] / values["exact"]}
        print(
            f"{method}: {QUALITY[method]} " + ", ".join(f"{name} {value:.4f}" for name, value in found[method].items())
        )
    return found


def quality(measure: str, units: NDArray[np.float32], rows: NDArray[np.int64]) -> float:
    if measure == "distance":
        return float(np.linalg.norm(units[rows].mean(axis=0) - units.mean(axis=0)))
    parts = [units[start : start + 1000] @ units[rows].T for start in range(0, len(units), 1000)]
    cosine = np.concatenate([part.max(axis=1) for part in parts])
    return float(np.maximum(cosine, 0).sum() if measure == "similarity" else np.sqrt(2 - 2 * cosine.min()))


if __name__ == "__main__":
    main()
