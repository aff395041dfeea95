"""What stands below the table: what it can detect, how and by which versions it was asked, which config and code."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd

from prunegrid import __version__, io
from prunegrid.config import Experiment
from prunegrid.grid import cells
from prunegrid.statistics.power import detectable


def footer(experiment: Experiment, directory: Path, frame: pd.DataFrame, compared: pd.DataFrame) -> list[str]:
    """Sentences on what the table can detect, protocol and items, versions, config and code."""
    records = _records(experiment, directory, frame)
    asked = [_asked(experiment, records), _incomplete(records)] if records else []
    return [*filter(None, [_detects(compared), *asked]), _made(experiment)]


def _detects(compared: pd.DataFrame) -> str:
    """The minimum detectable effects of the table's median row, of those with the most seeds."""
    effects = detectable(compared[compared["n_seeds"] == compared["n_seeds"].max()], by=()).dropna(subset="mde")
    if effects.empty:
        return ""
    noise = "items and seeds" if effects["n_seeds"].iloc[0] > 1 else "item noise only"
    shown = ", ".join(f"{name} {mde:.1f}" for name, mde in zip(effects["benchmark"], effects["mde"], strict=True))
    return (
        f"Smallest true difference that one comparison finds with 80 % power (5 %, two-sided, {noise}, the median row, "
        f"before correction), points: {shown}."
    )


def config_digest(experiment: Experiment) -> str:
    """SHA-256 of the validated config as canonical JSON: the same whatever file it was written in."""
    return io.sha256(json.dumps(experiment.model_dump(mode="json"), sort_keys=True))


def commit() -> str:
    """The git commit that this package is checked out from, and whether files differ from it."""
    here = Path(__file__).parent
    found = _git(here, "rev-parse", "--short=12", "HEAD")
    if not found or not _git(here, "ls-files", Path(__file__).name):
        return "no git checkout"
    changed = _git(here, "status", "--porcelain", "--untracked-files=no", "--", "..")
    return f"commit {found}{', with local changes' if changed else ''}"


def _git(folder: Path, *arguments: str) -> str:
    try:
        run = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""


def _records(experiment: Experiment, directory: Path, frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """A record of each benchmark; all that are shown agree in what is told here (`evaluation.alike`)."""
    done = frame[frame["status"] == "done"]
    found: dict[str, dict[str, Any]] = {}
    for cell in cells(experiment):
        own = done[(done["model"] == cell.model) & (done["variant"] == cell.variant)]
        for name in own["benchmark"].unique():
            path = directory / "evaluation" / cell.model / cell.path / f"{name}.json"
            if name not in found and path.exists():
                found[name] = io.read_json(path)
    return {name: found[name] for name in experiment.evaluation.benchmarks if name in found}


def _asked(experiment: Experiment, records: dict[str, dict[str, Any]]) -> str:
    items = ", ".join(f"{name} {record['n_items']}" for name, record in records.items())
    first = next(iter(records.values()))
    versions = ", ".join(f"{name} {version}" for name, version in first["versions"].items())
    return f"Protocol {experiment.evaluation.protocol}, {first['dtype']}; items: {items}. Evaluated with {versions}."


def _incomplete(records: dict[str, dict[str, Any]]) -> str:
    """Which benchmarks were asked fewer items than the complete data has."""
    lacking = [
        f"{name} {record['n_items']} of {record['n_complete']}"
        for name, record in records.items()
        if record.get("n_complete") and record["n_items"] < record["n_complete"]
    ]
    return f"Not all items were asked: {', '.join(lacking)}." if lacking else ""


def _made(experiment: Experiment) -> str:
    digest = config_digest(experiment)[:12]
    return f"Config {digest} ({experiment.experiment}); table by prunegrid {__version__}, {commit()}."
