"""Check what this machine can run, and what an experiment lacks here."""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", type=Path, nargs="?", help="config.yaml, experiments/mine.yaml, ...")


def run(options: argparse.Namespace) -> None:
    from prunegrid.doctor import examine

    if not examine(options.experiment):
        sys.exit(1)
