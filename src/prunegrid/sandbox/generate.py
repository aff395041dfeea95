"""Generate the sandbox's data sets from a seed.

python -c "from prunegrid.sandbox.generate import write_world; write_world('world', seed=0)"
"""

import json
from pathlib import Path
from typing import Literal

from prunegrid.core.files import Record, replacing
from prunegrid.sandbox.benchmarks import benchmark_rows
from prunegrid.sandbox.corpus import LONG_SHARES, SHARES, pretraining_rows
from prunegrid.sandbox.data_sets import DATA_SETS, PRETRAINING, SFT
from prunegrid.sandbox.long_answers import long_rows
from prunegrid.sandbox.problems import draw_long_sum, draw_sum
from prunegrid.sandbox.sft import sft_rows
from prunegrid.sandbox.world import make_world


def write_world(out: Path, seed: int, answers: Literal["short", "long"] = "short") -> None:
    """Write every data set as `org/name/config/split.jsonl` under `out`; the same bytes for the same arguments."""
    world = make_world(seed)
    rows, draw, shares = {"short": (sft_rows, draw_sum, SHARES), "long": (long_rows, draw_long_sum, LONG_SHARES)}[
        answers
    ]
    sft = rows(world, seed)
    files = {
        PRETRAINING: pretraining_rows(world, seed, draw, shares),
        SFT: sft,
        **benchmark_rows(world, seed, {row["prompt"] for row in sft}, draw),
    }
    assert files.keys() == set(DATA_SETS), f"{sorted(files)} are not {sorted(DATA_SETS)}"
    for path, records in files.items():
        _write_jsonl(Path(out) / f"{path}.jsonl", records)


def _write_jsonl(path: Path, rows: list[Record]) -> None:
    with replacing(path) as temporary:
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        temporary.write_text(lines, encoding="utf-8", newline="\n")
