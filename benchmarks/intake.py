"""How rows are read from JSON: speed and peak memory of our reader beside `list(json)` and `datasets.load_dataset`.

    python benchmarks/intake.py [--sizes 100000 1000000] [--form lines|array] [--ways prunegrid write list datasets]

A file of generated rows (`instruction`, `input`, `output`, about 660 bytes a row) is read, in a process of its own for
each way, and `write` makes it the training set `data.parquet` as `prunegrid score` does. Memory is the process' peak
(ru_maxrss; `start` is what it had before it read); that of `datasets` has the pages of its cache, which it maps.
A list of 10^6 rows takes 1.1 GB: with 10^7, leave `list` out. The last line is one JSON object.
"""

import argparse
import json
import random
import tempfile
from pathlib import Path
from typing import Any

from children import measured

PROGRAM = Path(__file__).with_name("programs") / "read_rows.py"
WORDS = ("the", "model", "reads", "a", "row", "and", "learns", "its", "answer", "memory", "stays", "as", "it", "was")
WAYS = ("prunegrid", "write", "list", "datasets")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**5, 10**6])
    parser.add_argument("--form", choices=("lines", "array"), default="lines")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    options = parser.parse_args()
    runs = []
    print(f"{'way':10} {'rows':>11} {'seconds':>8} {'CPU s':>8} {'rows/CPU s':>10} {'start MB':>9} {'peak MB':>8}")
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            file = generate(Path(folder), size, options.form)
            for way in options.ways:
                row = {"way": way, "bytes": file.stat().st_size, **run(way, file, folder)}
                runs.append(row)
                print(
                    f"{way:10} {row['rows']:11,} {row['seconds']:8.1f} {row['cpu_seconds']:8.1f} "
                    f"{row['rows'] / row['cpu_seconds']:10,.0f} {row['start_mb']:9,.0f} {row['peak_mb']:8,.0f}",
                    flush=True,
                )
    print_ratios(runs)
    print(json.dumps({"benchmark": "intake", "form": options.form, "runs": runs}))


def generate(folder: Path, rows: int, form: str) -> Path:
    file = folder / ("rows.jsonl" if form == "lines" else "rows.json")
    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(5, 120))) for _ in range(1000)]
    with file.open("w") as lines:
        lines.write("" if form == "lines" else "[\n")
        for i in range(rows):
            row = {"instruction": f"{i}: {texts[i % 997]}", "input": "", "output": texts[i % 991]}
            lines.write(json.dumps(row) + ("\n" if form == "lines" or i == rows - 1 else ",\n"))
        lines.write("" if form == "lines" else "]\n")
    return file


def run(way: str, file: Path, folder: str) -> dict[str, Any]:
    return measured(way, [PROGRAM, way, file, folder])


def print_ratios(runs: list[dict[str, Any]]) -> None:
    """Each way's time and memory beside our reader's, at each size; and our memory's growth between the sizes."""
    ours = [row for row in runs if row["way"] == "prunegrid"]
    for own in ours:
        for row in runs:
            if row["rows"] == own["rows"] and row is not own:
                seconds, memory = row["cpu_seconds"] / own["cpu_seconds"], row["peak_mb"] / own["peak_mb"]
                print(f"{row['rows']:,} rows, {row['way']}: {seconds:.2f} x the CPU time, {memory:.1f} x the memory")
    for way in ("prunegrid", "write"):
        sizes = [row for row in runs if row["way"] == way]
        if len(sizes) > 1:
            growth = sizes[-1]["peak_mb"] - sizes[0]["peak_mb"]
            print(f"{way}: {sizes[-1]['rows'] / sizes[0]['rows']:.0f} x the rows take {growth:+.0f} MB")


if __name__ == "__main__":
    main()
