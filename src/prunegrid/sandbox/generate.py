"""Generate the sandbox's data sets from a seed.

python -c "from prunegrid.sandbox.generate import write_world; write_world('world', seed=0)"
"""

import json
from pathlib import Path

from prunegrid.core.files import Record, replacing
from prunegrid.sandbox.benchmarks import benchmark_rows
from prunegrid.sandbox.corpus import pretraining_rows
from prunegrid.sandbox.data_sets import DATA_SETS, PRETRAINING, SFT
from prunegrid.sandbox.sft import sft_rows
from prunegrid.sandbox.world import make_world


def write_world(out: Path, seed: int) -> None:
    """Write every data set as `org/name/config/split.jsonl` under `out`; the same bytes for the same seed."""
    world = make_world(seed)
    sft = sft_rows(world, seed)
    files = {
        PRETRAINING: pretraining_rows(world, seed),
        SFT: sft,
        **benchmark_rows(world, seed, {row["prompt"] for row in sft}),
    }
    assert files.keys() == set(DATA_SETS), f"{sorted(files)} are not {sorted(DATA_SETS)}"
    for path, rows in files.items():
        _write_jsonl(Path(out) / f"{path}.jsonl", rows)


def _write_jsonl(path: Path, rows: list[Record]) -> None:
    with replacing(path) as temporary:
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        temporary.write_text(lines, encoding="utf-8", newline="\n")
