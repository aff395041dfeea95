"""When a config's contrasts were stated: how many cells were evaluated when a run first had them.

The workflow notes it before its first job, in `contrasts.json`. It is a note, no proof: the file can be removed, and an
evaluation can be made elsewhere.
"""

from pathlib import Path
from typing import Any

from prunegrid.core import files
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment


def record(experiment: Experiment, root: Path) -> None:
    """Note each contrast that is new, or is not as it was noted."""
    if not experiment.contrasts:
        return
    noted, fresh = _noted(root), _evaluated(experiment, root)
    for name, contrast in experiment.contrasts.items():
        content = contrast.model_dump(mode="json")
        if noted.get(name, {}).get("contrast") != content:
            noted[name] = {"contrast": content, **fresh}
    files.write_json(root / layout.STATEMENT, noted)


def remark(experiment: Experiment, root: Path, name: str) -> str:
    """What was noted of the contrast, in words."""
    note = _noted(root).get(name, {})
    if note.get("contrast") != experiment.contrasts[name].model_dump(mode="json"):
        return "not noted when"
    if not note["evaluated"]:
        return "before any cell was evaluated"
    return f"when {note['evaluated']} of {note['cells']} cells were evaluated"


def _noted(root: Path) -> dict[str, Any]:
    path = root / layout.STATEMENT
    return dict(files.read_json(path)) if path.exists() else {}


def _evaluated(experiment: Experiment, root: Path) -> dict[str, int]:
    """The number of cells, and of those with any evaluation."""
    cells, benchmarks = grid.cells(experiment), list(experiment.evaluation.benchmarks)
    done = [cell for cell in cells if any((root / layout.score(cell.name, name)).exists() for name in benchmarks)]
    return {"evaluated": len(done), "cells": len(cells)}
