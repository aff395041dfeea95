"""Generate the sandbox's data sets from a seed.

python -c "from prunegrid.sandbox.generate import write_world; write_world('world', seed=0)"
"""

import json
from pathlib import Path
from typing import Literal

from prunegrid.core.files import Record, replacing
from prunegrid.sandbox.benchmarks import GSM8K, benchmark_rows, query_rows
from prunegrid.sandbox.corpus import LONG_SHARES, SHARES, pretraining_rows
from prunegrid.sandbox.data_sets import DATA_SETS, JUDGE, PRETRAINING, QUERIES, SFT
from prunegrid.sandbox.judge import grades
from prunegrid.sandbox.long_answers import long_rows
from prunegrid.sandbox.problems import draw_long_sum, draw_sum
from prunegrid.sandbox.sft import sft_rows
from prunegrid.sandbox.world import make_world

Answers = Literal["short", "long"]
KINDS = {"short": (sft_rows, draw_sum, SHARES), "long": (long_rows, draw_long_sum, LONG_SHARES)}


def write_world(out: Path, seed: int, answers: Answers = "short") -> None:
    """Write every data set as `org/name/config/split.jsonl` under `out`; the same bytes for the same arguments."""
    world = make_world(seed)
    rows, draw, shares = KINDS[answers]
    sft = rows(world, seed)
    files = {
        PRETRAINING: pretraining_rows(world, seed, draw, shares),
        SFT: sft,
        **benchmark_rows(world, seed, {row["prompt"] for row in sft}, draw),
    }
    assert files.keys() == set(DATA_SETS), f"{sorted(files)} are not {sorted(DATA_SETS)}"
    for path, records in files.items():
        _write_jsonl(Path(out) / f"{path}.jsonl", records)


def write_optional(out: Path, name: str, seed: int, answers: Answers = "short") -> None:
    """Write one of `OPTIONAL_SETS` to the file `out`, for the world of these arguments, which stays the same."""
    world = make_world(seed)
    rows, draw, _ = KINDS[answers]
    sft = rows(world, seed)
    if name == JUDGE:
        _write_jsonl(out, grades(sft, seed))
        return
    assert name == QUERIES, name
    prompts = {row["prompt"] for row in sft}
    tested = {row["question"] for row in benchmark_rows(world, seed, prompts, draw)[GSM8K]}
    _write_jsonl(out, query_rows(seed, prompts, tested, draw))


def _write_jsonl(path: Path, rows: list[Record]) -> None:
    with replacing(path) as temporary:
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        temporary.write_text(lines, encoding="utf-8", newline="\n")
