"""List which cells are done, failed, running, missing or stale, and why."""

import argparse
import sys
from pathlib import Path

from prunegrid.cli.arguments import EXPERIMENT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", type=Path, help=EXPERIMENT)


def run(options: argparse.Namespace) -> None:
    from prunegrid.experiment.locate import find
    from prunegrid.status.text import show

    experiment, root = find(options.experiment)
    if experiment.seed_rule:
        from prunegrid.statistics import seed_count

        print(seed_count.sentence(experiment, root))
    if not show(options.experiment):
        sys.exit(1)
