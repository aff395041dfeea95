"""From estimates to seconds: default rates, set to the level of a run's own benchmark files, rule by rule.

The factor of a rule is the seconds that its finished jobs took over those that the defaults say of the same jobs: a
ratio of sums, of the jobs whose own ratio is within three times the median. So a job that stood still on a loaded
machine does not count, and a load that lasts does.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from prunegrid.core.files import read_json
from prunegrid.plan.jobs import PlannedJob
from prunegrid.plan.workload import compute_seconds, seconds

OUTLIER = 3.0


@dataclass(frozen=True)
class Rates:
    """Each rule's factor over the default rates of `device`, and the number of benchmark files behind it."""

    device: str
    factors: dict[str, float]
    files: dict[str, int]

    def seconds(self, job: PlannedJob) -> float:
        """How long the job takes."""
        return self._factor(job) * seconds(job.rule, job.workload, self.device)

    def gpu_seconds(self, job: PlannedJob) -> float:
        """How long it holds GPUs: of one that jobs share its part of the time, or as long as it computes."""
        if job.sharers == 1 or not job.gpus:
            return job.gpus * self.seconds(job)
        return max(self.seconds(job) / job.sharers, self._factor(job) * compute_seconds(job.workload, self.device))

    def _factor(self, job: PlannedJob) -> float:
        return self.factors.get(rule_family(job.rule), 1.0)


def calibrate(root: Path, jobs: list[PlannedJob], device: str) -> Rates:
    """From the benchmark files of `jobs` below `root`; the defaults for rules without any."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for job in jobs:
        took = measured_seconds(root, job)
        if took is not None:
            found[rule_family(job.rule)].append((took, seconds(job.rule, job.workload, device)))
    factors = {rule: _factor(pairs) for rule, pairs in found.items()}
    return Rates(device, factors, {rule: len(pairs) for rule, pairs in found.items()})


def measured_seconds(root: Path, job: PlannedJob) -> float | None:
    """Seconds of the job by its benchmark file; None without one, and where it tells of another or of half a job.

    Of a training: one that took other steps than this configuration's, or went on from a checkpoint.
    """
    file = root / f"benchmarks/{job.benchmark}.jsonl"
    if not (job.done and file.exists()):
        return None
    lines = [line for line in file.read_text().splitlines() if line.strip()]
    report = root / f"{job.benchmark.replace('train/', 'trained/', 1)}" / "training.json"
    if job.rule in ("train", "train_dynamic") and report.exists():
        told = read_json(report)
        if told.get("steps") != round(job.workload.steps) or told.get("resumed"):
            return None
    try:
        return float(json.loads(lines[-1])["s"])
    except (IndexError, ValueError, KeyError):  # cut short: its job has yet to end
        return None


def rule_family(rule: str) -> str:
    """Static and dynamic cells are trained by one program, and share a factor."""
    return rule.removesuffix("_dynamic")


def _factor(pairs: list[tuple[float, float]]) -> float:
    middle = median(took / said for took, said in pairs)
    usual = [(took, said) for took, said in pairs if middle / OUTLIER <= took / said <= middle * OUTLIER]
    return sum(took for took, _ in usual) / sum(said for _, said in usual)
