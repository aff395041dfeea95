"""What it costs to look for duplicates and contamination, beside the library datasketch, and how many are found.

    python benchmarks/duplicates.py [--sizes 10000 100000 1000000] [--ways exact near contamination datasketch]

A file of generated rows (a prompt of 40 and a response of 80 words) is looked through, in a process of its own for each
way. Every tenth row is an earlier one with one changed word (similarity 0.92, its response 0.88): `left out` should be
a tenth for `near` and `datasketch`, 0 for `exact`; for `contamination`, whose items are the first 1,000 rows, 1,000.
datasketch (pip install datasketch) holds its index in memory, 3 KB a row: leave it out with 10^6 rows. The last line is
one JSON object.
"""

import argparse
import json
import math
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from children import measured

PROGRAM = Path(__file__).with_name("programs") / "find_duplicates.py"
WAYS = ("exact", "near", "contamination", "datasketch")
WORDS = [f"word{i}" for i in range(5000)]
DISTANCE = 7  # rows before a copy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**4, 10**5, 10**6])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS[:3])
    options = parser.parse_args()
    runs = []
    print(f"{'way':14} {'rows':>10} {'left out':>9} {'CPU s':>8} {'us a row':>9} {'start MB':>9} {'peak MB':>8}")
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "rows.jsonl"
            with file.open("w") as lines:
                lines.writelines(json.dumps(row) + "\n" for row in rows(size))
            for way in options.ways:
                row = run(way, file, folder)
                runs.append(row)
                print(
                    f"{way:14} {row['rows']:10,} {row['left_out']:9,} {row['cpu_seconds']:8.1f} "
                    f"{1e6 * row['cpu_seconds'] / row['rows']:9,.0f} {row['start_mb']:9,.0f} {row['peak_mb']:8,.0f}",
                    flush=True,
                )
    print_growth(runs)
    print(json.dumps({"benchmark": "duplicates", "runs": runs}))


def rows(number: int) -> Iterator[dict[str, str]]:
    draw, earlier = random.Random(0), []
    for i in range(number):
        if i % 10 == 9:
            prompt, response = ([*words] for words in earlier[-DISTANCE])
            response[40] = f"other{i}"
        else:
            prompt, response = draw.choices(WORDS, k=40), draw.choices(WORDS, k=80)
        earlier = [*earlier[-9:], (prompt, response)]
        yield {"prompt": " ".join(prompt), "response": " ".join(response)}


def run(way: str, file: Path, folder: str) -> dict[str, Any]:
    return measured(way, [PROGRAM, way, file, folder])


def print_growth(runs: list[dict[str, Any]]) -> None:
    """CPU time as a power of the rows, bytes a row between the sizes, and each way beside `near` at each size."""
    for way in dict.fromkeys(row["way"] for row in runs):
        for small, large in zip(sizes := [row for row in runs if row["way"] == way], sizes[1:], strict=False):
            power = math.log(large["cpu_seconds"] / small["cpu_seconds"], large["rows"] / small["rows"])
            memory = (large["peak_mb"] - small["peak_mb"]) * 2**20 / (large["rows"] - small["rows"])
            print(f"{way}, {small['rows']:,} to {large['rows']:,}: rows^{power:.2f}, {memory:.0f} bytes a row")
    for base in (row for row in runs if row["way"] == "near"):
        for row in runs:
            if row["rows"] == base["rows"] and row is not base:
                ratio = row["cpu_seconds"] / base["cpu_seconds"]
                print(f"{row['rows']:,} rows, {row['way']}: {ratio:.2f} x the CPU time of near")


if __name__ == "__main__":
    main()
