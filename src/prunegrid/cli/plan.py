"""`prunegrid plan EXPERIMENT`: what an experiment will take, before it is paid for."""

import argparse
from pathlib import Path

from prunegrid.core.errors import PrunegridError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", type=Path, help="config.yaml, experiments/mine.yaml, ... or results/<experiment>")
    parser.add_argument("--samples", type=_positive, help="of a training set that is not on this disk")
    parser.add_argument("--tokens-per-sample", type=_positive, help="of its prompts and responses together, on average")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from prunegrid.experiment.locate import find
    from prunegrid.plan.jobs import read_basis
    from prunegrid.plan.report import report

    experiment, root = find(options.experiment)
    if (options.samples is None) != (options.tokens_per_sample is None):
        raise PrunegridError("--samples and --tokens-per-sample go together; give both, or neither")
    print(report(read_basis(experiment, root, options.samples, options.tokens_per_sample)))


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is too small; give 1 or more")
    return int(text)
