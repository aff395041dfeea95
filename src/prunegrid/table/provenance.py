"""What stands below the table: what it can detect, how and by which versions it was asked, which config and code."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd

from prunegrid import __version__
from prunegrid.core import files
from prunegrid.experiment import layout
from prunegrid.experiment.config import Experiment
from prunegrid.results import collect
from prunegrid.statistics.power import detectable


def footer(experiment: Experiment, directory: Path, frame: pd.DataFrame, compared: pd.DataFrame) -> list[str]:
    """Sentences on what the table can detect, protocol and items, versions, config and code."""
    records = _records(experiment, directory, frame)
    asked = [_asked(experiment, records), _incomplete(records), _cut(records)] if records else []
    return [*filter(None, [_detects(compared), *asked, _trusted(experiment)]), _made(experiment)]


def _detects(compared: pd.DataFrame) -> str:
    """The minimum detectable effects of the table's median row, of those with the most seeds."""
    effects = detectable(compared[compared["n_seeds"] == compared["n_seeds"].max()], by=()).dropna(subset="mde")
    if effects.empty:
        return ""
    noise = "items and seeds" if effects["n_seeds"].iloc[0] > 1 else "item noise only"
    sizes = zip(effects["benchmark"], effects["mde"], strict=True)
    shown = ", ".join(f"{name} {f'{mde:.1f}' if mde < 100 else 'more than 100'}" for name, mde in sizes)
    return (
        f"Smallest true difference that one comparison finds with 80 % power (5 %, two-sided, {noise}, the median row, "
        f"before correction), points: {shown}."
    )


def config_digest(experiment: Experiment) -> str:
    """SHA-256 of the validated config as canonical JSON: the same whatever file it was written in."""
    return files.sha256(json.dumps(experiment.model_dump(mode="json"), sort_keys=True))


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


def _records(experiment: Experiment, directory: Path, frame: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """The records that are shown, by benchmark; those of one agree in what is told here (`evaluation.alike`)."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in experiment.evaluation.benchmarks}
    for cell, name in collect.done(experiment, frame):
        if name != collect.AVERAGE:
            found[name].append(files.read_json(directory / layout.score(cell.name, name)))
    return {name: records for name, records in found.items() if records}


def _asked(experiment: Experiment, records: dict[str, list[dict[str, Any]]]) -> str:
    items = ", ".join(f"{name} {own[0]['n_items']}" for name, own in records.items())
    first = next(iter(records.values()))[0]
    versions = ", ".join(f"{name} {version}" for name, version in first["versions"].items())
    return f"Protocol {experiment.evaluation.protocol}, {first['dtype']}; items: {items}. Evaluated with {versions}."


def _incomplete(records: dict[str, list[dict[str, Any]]]) -> str:
    """Which benchmarks were asked fewer items than the complete data has."""
    lacking = [
        f"{name} {own[0]['n_items']} of {own[0]['n_complete']}"
        for name, own in records.items()
        if own[0].get("n_complete") and own[0]["n_items"] < own[0]["n_complete"]
    ]
    return f"Not all items were asked: {', '.join(lacking)}." if lacking else ""


def _cut(records: dict[str, list[dict[str, Any]]]) -> str:
    """In which benchmarks prompts did not fit the model's context."""
    most = {name: max(record.get("n_truncated", 0) for record in own) for name, own in records.items()}
    told = [f"{name} {count} of {records[name][0]['n_items']}" for name, count in most.items() if count]
    return (
        f"Prompts were cut on the left to fit the context, at most in a cell: {', '.join(told)} items." if told else ""
    )


def _trusted(experiment: Experiment) -> str:
    """Which models ran code that came with them, and why that was allowed."""
    reasons = {name: source.trust_remote_code for name, source in experiment.sources.items()}
    told = "; ".join(f"{name} ({reason})" for name, reason in reasons.items() if reason)
    return f"Models that ran code which came with them, and why: {told}." if told else ""


def _made(experiment: Experiment) -> str:
    digest = config_digest(experiment)[:12]
    return f"Config {digest} ({experiment.experiment}); table by prunegrid {__version__}, {commit()}."
