"""Estimate an experiment's jobs, hours, disk and memory before it runs."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from prunegrid.cli.arguments import EXPERIMENT, whole_number
from prunegrid.core.errors import PrunegridError

if TYPE_CHECKING:
    from prunegrid.experiment.config import Experiment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", type=Path, help=EXPERIMENT)
    parser.add_argument(
        "--samples", type=whole_number(1), help="number of samples of a training set that is not on this disk"
    )
    parser.add_argument(
        "--tokens-per-sample", type=whole_number(1), help="average number of tokens of prompt and response together"
    )


def run(options: argparse.Namespace) -> None:
    from prunegrid.experiment.locate import find
    from prunegrid.plan.jobs import read_basis
    from prunegrid.plan.report import report

    experiment, root = find(options.experiment)
    if (options.samples is None) != (options.tokens_per_sample is None):
        raise PrunegridError("--samples and --tokens-per-sample", "must be given together", "give both or neither")
    if experiment.seed_rule:
        experiment = _with_more_seeds(experiment, root)
    print(report(read_basis(experiment, root, options.samples, options.tokens_per_sample)))


def _with_more_seeds(experiment: "Experiment", root: Path) -> "Experiment":
    """The experiment as the next run makes it; prints how many seeds its question takes."""
    from prunegrid.plan.counts import benchmark_size
    from prunegrid.statistics import expectation, seed_count

    print(seed_count.sentence(experiment, root))
    if seed_count.seed_count(experiment, root) is None:
        items = [benchmark_size(experiment, name, root).items for name in experiment.evaluation.benchmarks]
        print(expectation.sentence(experiment, items))
    print()
    return seed_count.grown(experiment, root)
