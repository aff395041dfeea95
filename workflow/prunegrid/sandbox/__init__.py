"""The default experiment's offline toy world: text generated from a seed, and a small model pre-trained on it.

python -c "from prunegrid.sandbox import write_world; write_world('world', seed=0)"
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .benchmarks import benchmark_rows
from .corpus import pretraining_rows
from .sft import sft_rows
from .world import make_world

__all__ = ["pretrain", "write_world"]


def write_world(out: Path, seed: int) -> None:
    """Write every data set as `org/name/config/split.jsonl` under `out`; the same bytes for the same seed."""
    world = make_world(seed)
    sft = sft_rows(world, seed)
    files = {
        "sandbox/pretrain/default/train": pretraining_rows(world, seed),
        "sandbox/sft/default/train": sft,
        **benchmark_rows(world, seed, {row["prompt"] for row in sft}),
    }
    for path, rows in files.items():
        _write_jsonl(Path(out) / f"{path}.jsonl", rows)


def _write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    """Written under a temporary name and renamed, so that a file that exists is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8", newline="\n"
    )
    temporary.replace(path)


def pretrain(world: Path, out: Path, *, seed: int, steps: int, **settings: Any) -> dict[str, float]:
    """Train tokenizer and model on `world`'s text and save them to `out`: see `pretraining.pretrain`.

    torch and transformers are imported only here.
    """
    from .pretraining import pretrain as run

    return run(world, out, seed=seed, steps=steps, **settings)
