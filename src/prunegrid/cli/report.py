"""Write one page to explore a results folder with, which opens from disk."""

import argparse
from pathlib import Path

from prunegrid.cli.arguments import add_results_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="FILE.html", help="write the page there (default: in the folder)")
    add_results_folder(parser)


def run(options: argparse.Namespace) -> None:
    from prunegrid.report.build import build

    print(build(options.directory, options.out))
