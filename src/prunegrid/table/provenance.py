"""The sentences below a table: what it can detect, how its cells were evaluated, and by which config and code."""

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from prunegrid import __version__, pruners
from prunegrid.core import files
from prunegrid.data.contamination import contamination_sentence
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.names import AVERAGE
from prunegrid.experiment.variant import Variant
from prunegrid.results import collect
from prunegrid.statistics import seed_count
from prunegrid.statistics.power import detectable
from prunegrid.table.code_version import DIGITS, code_version

Records = dict[str, list[dict[str, Any]]]


def footer(experiment: Experiment, directory: Path, frame: pd.DataFrame, deltas: pd.DataFrame) -> list[str]:
    """What a sample is; what the table can detect; protocol, items, contamination; foreign code; config and code."""
    records = _records(experiment, directory, frame)
    evaluated = [_evaluated(experiment, records), _incomplete(records), _truncated(records)] if records else []
    code = [_plugins(experiment, directory, frame), _trusted(experiment)]
    detects = [_detects(deltas), seed_count.sentence(experiment, directory)]
    sentences = [
        _unit(experiment),
        _left_out(experiment, directory),
        *detects,
        *evaluated,
        _contamination(experiment, directory),
        *code,
    ]
    return [*filter(None, sentences), _versions(experiment)]


def _unit(experiment: Experiment) -> str:
    return "A sample is a conversation, with all of its answers." if experiment.unit == "conversation" else ""


def _left_out(experiment: Experiment, directory: Path) -> str:
    """How many samples the training set has, and how many were left out of it, by reason."""
    file = directory / layout.dataset_counts(experiment.dataset.name)
    counts = files.read_json(file) if file.exists() else {}
    if "samples" not in counts:
        return ""
    reasons = {**counts.get("rows_left_out", {}), **counts.get("left_out", {})}
    items = ", ".join(f"{number:,} {reason.replace('_', ' ')}" for reason, number in reasons.items() if number)
    return f"Training samples: {counts['samples']:,}; left out: {items or 'none'}."


def _detects(deltas: pd.DataFrame) -> str:
    """The minimum detectable effects of the table's median row, among the rows with the most seeds."""
    effects = detectable(deltas[deltas["n_seeds"] == deltas["n_seeds"].max()], keys=()).dropna(subset="mde")
    if effects.empty:
        return ""
    n_seeds = int(effects["n_seeds"].iloc[0])
    sizes = zip(effects["benchmark"], effects["mde"], strict=True)
    items = ", ".join(f"{name} {f'{mde:.1f}' if mde < 100 else 'more than 100'}" for name, mde in sizes)
    return f"The smallest true difference, in points, that {_found(n_seeds, effects['n_family'].max())}: {items}."


def _found(n_seeds: int, n_family: float) -> str:
    """By what such a difference is found: the test that makes the marks where there is one."""
    if n_seeds == 1:
        return "has an interval without 0 four times in five (item noise only, median row)"
    if pd.isna(n_family):
        return "has an interval without 0 four times in five (items and seeds, median row, not corrected)"
    family = f", corrected over the {n_family:.0f} rows of its column" if n_family > 1 else ""
    return f"is marked four times in five (items and seeds, median row{family})"


def config_digest(experiment: Experiment) -> str:
    """SHA-256 of the validated config as canonical JSON: independent of the file that it was written in."""
    return files.sha256(json.dumps(experiment.model_dump(mode="json"), sort_keys=True))


def _records(experiment: Experiment, directory: Path, frame: pd.DataFrame) -> Records:
    """The evaluation records behind the table, by benchmark. Those of one benchmark agree (`results.comparability`)."""
    records: Records = {name: [] for name in experiment.evaluation.benchmarks}
    for cell, name in collect.done(experiment, frame):
        if name != AVERAGE:
            records[name].append(files.read_json(directory / layout.score(cell.name, name)))
    return {name: members for name, members in records.items() if members}


def _evaluated(experiment: Experiment, records: Records) -> str:
    items = ", ".join(f"{name} {members[0]['n_items']}" for name, members in records.items())
    asked = [members[0] for name, members in records.items() if name in experiment.evaluation.asked]
    imported = ", ".join(name for name in records if name in experiment.evaluation.imported)
    imports = f" Imported, not evaluated here: {imported}." if imported else ""
    if not asked:
        return f"Items: {items}.{imports}"
    first = asked[0]
    versions = ", ".join(f"{name} {version}" for name, version in first["versions"].items())
    place = f"Protocol {experiment.evaluation.protocol}, {first['dtype']}"
    return f"{place}; items: {items}. Evaluated with {versions}.{imports}"


def _incomplete(records: Records) -> str:
    """The benchmarks that were evaluated on fewer items than the complete data has."""
    sizes = {name: (members[0]["n_items"], members[0].get("n_complete")) for name, members in records.items()}
    partial = [f"{name} {items} of {total}" for name, (items, total) in sizes.items() if total and items < total]
    return f"Not all items were evaluated: {', '.join(partial)}." if partial else ""


def _truncated(records: Records) -> str:
    """The benchmarks in which prompts did not fit the model's context."""
    counts = {name: max(record.get("n_truncated", 0) for record in members) for name, members in records.items()}
    items = ", ".join(f"{name} {count} of {records[name][0]['n_items']}" for name, count in counts.items() if count)
    return f"Prompts were truncated on the left to fit the context, at most in a cell: {items} items." if items else ""


def _contamination(experiment: Experiment, directory: Path) -> str:
    """What the check of the training set found, if it is asked for and done."""
    file = directory / layout.CONTAMINATION
    return contamination_sentence(files.read_json(file)) if experiment.contamination and file.exists() else ""


def _plugins(experiment: Experiment, directory: Path, frame: pd.DataFrame) -> str:
    """Pruners from outside the package, with the digest of the source that each selection was made with."""
    items = dict.fromkeys(
        f"{name} ({pruner['module']}, sha256 {pruner['source'][:DIGITS]})"
        for summary in _plugin_selections(experiment, directory, frame)
        for name, pruner in summary.get("foreign_pruners", {}).items()
    )
    return f"Pruners from outside the package: {', '.join(items)}." if items else ""


def _plugin_selections(experiment: Experiment, directory: Path, frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """`selection.json` of each evaluated cell that such a pruner selected for."""
    for cell in dict.fromkeys(cell for cell, _ in collect.done(experiment, frame)):
        if cell.budget and _plugin_files(experiment.variant(cell.variant)):
            yield files.read_json(directory / grid.selection_summary(experiment, cell))


def _plugin_files(variant: Variant) -> list[Path]:
    """The files of the variant's pruners from outside the package."""
    members = pruners.all_pruners(variant.method, variant.options)
    return [Path(inspect.getfile(pruner.function)) for pruner in members if pruner.foreign]


def _trusted(experiment: Experiment) -> str:
    """The models that ran code of their own, and why that was allowed."""
    reasons = {name: source.trust_remote_code for name, source in experiment.sources.items()}
    items = "; ".join(f"{name} ({reason})" for name, reason in reasons.items() if reason)
    return f"Models that ran custom code, and why: {items}." if items else ""


def _versions(experiment: Experiment) -> str:
    digest = config_digest(experiment)[:DIGITS]
    code = code_version(file for variant in experiment.variants for file in _plugin_files(variant))
    return f"Config {digest} ({experiment.experiment}); table by prunegrid {__version__}, {code}."
