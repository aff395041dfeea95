"""Calibrate the default rates with a run's own benchmark files, rule by rule.

The factor of a rule is the measured seconds of its finished jobs over their default estimates: a ratio of sums over the
jobs whose own ratio is within three times the median. A job that stalled on a loaded machine is ignored; a lasting
load does.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from prunegrid.core.files import read_json
from prunegrid.experiment import layout
from prunegrid.plan.jobs import PlannedJob
from prunegrid.plan.memory import TRAINING
from prunegrid.plan.workload import compute_seconds, seconds

OUTLIER = 3.0


@dataclass(frozen=True)
class Rates:
    """Each rule's factor over the default seconds of `device`, and the number of benchmark files behind it."""

    device: str
    factors: dict[str, float]
    files: dict[str, int]

    def seconds(self, job: PlannedJob) -> float:
        """How long the job takes."""
        return self._factor(job) * seconds(job.rule, job.workload, self.device)

    def gpu_seconds(self, job: PlannedJob) -> float:
        """How long it holds GPUs. On a shared GPU: its part of the time, or its compute time if that is longer."""
        if job.sharers == 1 or not job.gpus:
            return job.gpus * self.seconds(job)
        return max(self.seconds(job) / job.sharers, self._factor(job) * compute_seconds(job.workload, self.device))

    def _factor(self, job: PlannedJob) -> float:
        return self.factors.get(rule_family(job.rule), 1.0)


def calibrate(root: Path, jobs: list[PlannedJob], device: str) -> Rates:
    """Rates by the benchmark files of `jobs` below `root`; rules without any keep the defaults."""
    pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for job in jobs:
        measured = measured_seconds(root, job)
        if measured is not None:
            pairs[rule_family(job.rule)].append((measured, seconds(job.rule, job.workload, device)))
    factors = {rule: _factor(members) for rule, members in pairs.items()}
    return Rates(device, factors, {rule: len(members) for rule, members in pairs.items()})


def measured_seconds(root: Path, job: PlannedJob) -> float | None:
    """Seconds of the job by its benchmark file; None without one, and if the file is not of this whole job.

    That is a training with another number of steps than this configuration's, or one that resumed from a checkpoint.
    """
    file = root / job.step.benchmark
    if not (job.done and file.exists()):
        return None
    lines = [line for line in file.read_text().splitlines() if line.strip()]
    report = root / layout.training(job.step.job)
    if job.rule in TRAINING and report.exists():
        trained = read_json(report)
        if trained.get("steps") != round(job.workload.steps) or trained.get("resumed"):
            return None
    try:
        return float(json.loads(lines[-1])["s"])
    except (IndexError, ValueError, KeyError):  # Snakemake writes the file when the job ends
        return None


def rule_family(rule: str) -> str:
    """The rule whose factor applies: one program trains static and dynamic cells."""
    return rule.removesuffix("_dynamic")


def _factor(pairs: list[tuple[float, float]]) -> float:
    middle = median(measured / estimate for measured, estimate in pairs)
    usual = [pair for pair in pairs if middle / OUTLIER <= pair[0] / pair[1] <= middle * OUTLIER]
    return sum(measured for measured, _ in usual) / sum(estimate for _, estimate in usual)
