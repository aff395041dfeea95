"""A config of a tiny model and nine samples, for runs under Snakemake."""

import json
from pathlib import Path
from typing import Any

from support.snakemake_runs import DEFAULT
from support.tiny_llama import write_tiny_model


def toy_config(folder: Path) -> dict[str, Any]:
    write_tiny_model(folder / "tiny")
    rows = [{"prompt": f"What is {i} + 1?", "response": f"{i} + 1 = {i + 1}."} for i in range(9)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {key: value for key, value in DEFAULT.items() if key != "sandbox"} | {
        "experiment": "toy",
        "models": {"m": {"path": str(folder / "tiny")}},
        "dataset": {"name": "d", "path": str(folder / "rows.jsonl")},
        "scoring": {"max_length": 64, "shards": 2},
        "evaluation": {"benchmarks": {"A": {"task": "arc_easy", "data": {"path": str(folder / "rows.jsonl")}}}},
    }
