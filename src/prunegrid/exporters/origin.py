"""Where a selection comes from: its summary, and the scores that it was made from, checked against each other."""

from pathlib import Path

from prunegrid.core.errors import PrunegridError
from prunegrid.core.parts import find_table, parts_digest
from prunegrid.experiment import layout
from prunegrid.scoring.reader import ScoresFolder, check_digests
from prunegrid.selection.summary import SelectionSummary, prune_again


def read_summary(folder: Path) -> SelectionSummary:
    """The selection's `selection.json`, if `selection.parquet` is the file that it describes."""
    path, selection = folder / layout.SUMMARY, find_table(folder / layout.SELECTION)
    if not path.is_file():
        raise PrunegridError(folder, f"holds no {layout.SUMMARY}", "name a folder that `prunegrid prune` wrote")
    summary = SelectionSummary.read(path)
    if summary.mode == "dynamic":
        problem = "is of a dynamic cell, whose selection changes with every step"
        raise PrunegridError(path, problem, "export a static selection")
    if summary.selection not in (None, parts_digest(selection)):
        raise PrunegridError(selection, f"is not the file that {path} describes (SHA-256)", prune_again(path))
    return summary


def find_scores(folder: Path, summary: SelectionSummary, scores: Path | None) -> ScoresFolder:
    """The scores that the selection was made from: `scores`, or where `selection.json` or the results folder says."""
    recorded = folder / summary.scores if summary.scores else None
    path = scores or recorded or _workflow_scores(folder)
    if path is None:
        raise PrunegridError(folder, "does not say which scores it was made from", "name them with --scores")
    if not (path / layout.SAMPLES).is_file():
        raise PrunegridError(path, f"holds no {layout.SAMPLES}", "name the selection's scores with --scores")
    origin = ScoresFolder(path)
    check_digests(folder / layout.SUMMARY, summary.digests, origin.digests, "prune again, or name its own --scores")
    origin.check_files()
    return origin


def _workflow_scores(folder: Path) -> Path | None:
    """`scores/<model>` of the results folder, if `folder` is its `pruned/<model>/<cell>`."""
    folder = folder.resolve()
    for root in folder.parents:
        if (root / layout.EXPERIMENT).is_file() and folder.is_relative_to(root / "pruned"):
            return root / layout.scores(folder.relative_to(root / "pruned").parts[0])
    return None
