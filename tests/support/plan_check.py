"""How near the plan's seconds are to what a real run took: jobs' seconds summed, not the clock."""

from pathlib import Path

from prunegrid.experiment.config import Experiment
from prunegrid.plan.calibrate import Rates, calibrate, measured_seconds
from prunegrid.plan.jobs import PlannedJob, jobs, read_basis


def measured_jobs(experiment: Experiment, root: Path) -> list[PlannedJob]:
    """The jobs whose seconds are known."""
    return [job for job in jobs(read_basis(experiment, root)) if measured_seconds(root, job) is not None]


def total(root: Path, some: list[PlannedJob], level: Rates) -> tuple[float, float]:
    """Seconds that the plan says of these jobs, and that they took."""
    return sum(map(level.seconds, some)), sum(measured_seconds(root, job) or 0.0 for job in some)


def calibrated_by_all(experiment: Experiment, root: Path) -> tuple[float, float]:
    """Of a finished run, by its own benchmark files: what `prunegrid plan` prints, and what it took."""
    actual = measured_jobs(experiment, root)
    return total(root, actual, calibrate(root, actual, experiment.device))


def calibrated_by_a_third(experiment: Experiment, root: Path) -> tuple[float, float]:
    """Of two thirds of the cells' jobs, by the third that ends first, fourth, seventh, ... of each rule."""
    cells = [
        job for job in measured_jobs(experiment, root) if job.rule in ("prune", "train", "train_dynamic", "evaluate")
    ]
    ended = sorted(cells, key=lambda job: (root / job.step.benchmark).stat().st_mtime)
    by_rule = {rule: [job for job in ended if job.rule == rule] for rule in {job.rule for job in cells}}
    first = [job for own in by_rule.values() for job in own[::3]]
    rest = [job for job in cells if job not in first]
    return total(root, rest, calibrate(root, first, experiment.device))


def estimate_by_default_rates(experiment: Experiment, root: Path) -> tuple[float, float]:
    """Without any benchmark file."""
    return total(root, measured_jobs(experiment, root), Rates(experiment.device, {}, {}))
