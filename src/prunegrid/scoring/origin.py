"""Where the tokenizer and the data behind a folder of scores are.

`prunegrid score` writes both into the folder itself; the workflow has them beside it, in `models/` and `data/` of its
results folder.
"""

import shlex
from pathlib import Path
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_json
from prunegrid.experiment import layout


def tokenizer_dir(scores: Path) -> Path:
    """The folder of the tokenizer, its chat template included."""
    root = results_folder(scores)
    folders = [scores / layout.TOKENIZER, *([root / layout.base_model(scores.resolve().name)] if root else [])]
    return _existing(scores, "tokenizer", [folder / "tokenizer.json" for folder in folders]).parent


def data_file(scores: Path) -> Path:
    """The data set that was scored, with its texts."""
    root, files = results_folder(scores), [scores / layout.DATA]
    if root:
        files.append(root / layout.dataset(read_json(root / layout.EXPERIMENT)["dataset"]["name"]))
    return _existing(scores, "data set", files)


def model_name(scores: Path, meta: dict[str, Any]) -> str:
    """The scored model as `--model` takes it: a folder, or an id of the hub with its commit."""
    if source := meta.get("model"):
        return shlex.quote(f"{source['source']}@{source['commit']}" if source["commit"] else source["source"])
    root = results_folder(scores)
    return shlex.quote(str(root / layout.base_model(scores.resolve().name))) if root else "DIR"


def _existing(scores: Path, kind: str, files: list[Path]) -> Path:
    for file in files:
        if file.is_file():
            return file
    problem = f"the {kind} that was scored is missing ({' or '.join(map(str, files))})"
    raise PrunegridError(scores, problem, "score again, or copy it there")


def results_folder(scores: Path) -> Path | None:
    """`results/<experiment>` if `scores` is `results/<experiment>/scores/<model>`; None for scores of one's own."""
    scores = scores.resolve()
    root = scores.parent.parent
    is_inside = root / layout.scores(scores.name) == scores and (root / layout.EXPERIMENT).is_file()
    return root if is_inside else None
