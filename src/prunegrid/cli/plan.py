"""Estimate an experiment's jobs, hours, disk and memory before it runs."""

import argparse
from pathlib import Path

from prunegrid.cli.arguments import EXPERIMENT, whole_number
from prunegrid.core.errors import PrunegridError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", type=Path, help=EXPERIMENT)
    parser.add_argument("--samples", type=whole_number(1), help="of a training set that is not on this disk")
    parser.add_argument("--tokens-per-sample", type=whole_number(1), help="prompt and response together, on average")


def run(options: argparse.Namespace) -> None:
    from prunegrid.experiment.locate import find
    from prunegrid.plan.jobs import read_basis
    from prunegrid.plan.report import report

    experiment, root = find(options.experiment)
    if experiment.seed_rule:
        from prunegrid.statistics import seed_count

        print(seed_count.sentence(experiment, root))
        experiment = seed_count.grown(experiment, root)
    if (options.samples is None) != (options.tokens_per_sample is None):
        raise PrunegridError("--samples and --tokens-per-sample", "go together", "give both, or neither")
    print(report(read_basis(experiment, root, options.samples, options.tokens_per_sample)))
