"""How many seeds a question needs: `seeds: auto(MIN, MAX, detect=POINTS)`.

The noise of finished cells says with how many seeds a true difference of POINTS in Avg is marked four times in five.
Only the noise is looked at, never a difference, so the test keeps its level but for very little (an internal pilot:
Wittes and Brittain 1990, Statistics in Medicine 9:65; docs/reference/statistics.md has a simulation).
"""

import sys
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import pandas as pd

from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import layout, seed_rule
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.names import AVERAGE
from prunegrid.experiment.seed_rule import SeedRule
from prunegrid.statistics import deltas
from prunegrid.statistics.power import detectable


@dataclass(frozen=True)
class SeedCount:
    """What the finished cells say: the difference [points] that is found with `current` seeds, and with `needed`.

    `needed` is at most the rule's maximum; `detectable` is then more than the rule asks for.
    """

    current: int
    found_now: float
    needed: int
    detectable: float


def grown(experiment: Experiment, root: Path) -> Experiment:
    """The experiment with the seeds that the next run makes: as many as recorded, or as the finished cells imply."""
    experiment = seed_rule.recorded(experiment, root)
    count = seed_count(experiment, root)
    return seed_rule.with_count(experiment, count.needed) if count else experiment


def announced(experiment: Experiment, root: Path) -> Experiment:
    """`grown`, which says so: on standard error, for the output of `snakemake --dag` is read by programs."""
    experiment = seed_rule.recorded(experiment, root)
    print(f"prunegrid: {sentence(experiment, root, 'this run')}", file=sys.stderr, flush=True)
    return grown(experiment, root)


def seed_count(experiment: Experiment, root: Path) -> SeedCount | None:
    """None without a rule, and until every cell of the present seeds is finished and collected."""
    path = root / layout.DELTAS
    if experiment.seed_rule is None or not path.exists():
        return None
    try:
        frame = deltas.read(path)
    except PrunegridError:  # of another version, or damaged: the rule `collect` writes it anew
        return None
    current = len(experiment.seeds)
    if frame.empty or (frame["n_seeds"] != current).any():
        return None
    return _count(frame, current, seed_rule.parse(experiment.seed_rule))


def _count(frame: pd.DataFrame, current: int, rule: SeedRule) -> SeedCount | None:
    detectable = {seeds: _found(frame, seeds) for seeds in range(current, max(current, rule.most) + 1)}
    if any(map(isnan, detectable.values())):
        return None
    needed = next((seeds for seeds, points in detectable.items() if points <= rule.detect), max(detectable))
    return SeedCount(current, detectable[current], needed, detectable[needed])


def _found(frame: pd.DataFrame, seeds: int) -> float:
    """The difference in Avg [points] that is found with so many seeds at every model and budget."""
    return float(detectable(frame[frame["benchmark"] == AVERAGE], seeds=seeds)["mde"].max(skipna=False))


def sentence(experiment: Experiment, root: Path, run: str = "the next run") -> str:
    """What `status`, `plan` and the table say about the rule; empty without one. `run` is what makes more."""
    if experiment.seed_rule is None:
        return ""
    rule, current = seed_rule.parse(experiment.seed_rule), len(experiment.seeds)
    count = seed_count(experiment, root)
    if count is None:
        rest = f"the number needed to detect {rule.detect:g} points in {AVERAGE} is known once all cells are finished"
    elif count.needed > current:
        rest = (
            f"they detect {count.found_now:.1f} points in {AVERAGE}, {count.needed} would detect "
            f"{count.detectable:.1f}: {run} uses {count.needed}"
        )
    else:
        rest = f"they detect {count.found_now:.1f} points in {AVERAGE}, so no seed is added"
    return f"Seeds: {experiment.seed_rule}, now {current}; {rest}."
