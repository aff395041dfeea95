"""Copy a results folder without texts and weights, so that it can be published."""

import argparse
from pathlib import Path

from prunegrid.cli.arguments import add_results_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new folder")
    add_results_folder(parser)


def run(options: argparse.Namespace) -> None:
    from prunegrid.report import build as report
    from prunegrid.results.redact import redact
    from prunegrid.table import build as table

    left_out = redact(options.directory, options.out)
    table.build(options.out)
    report.build(options.out, texts=False)
    print(f"{options.out}: copied without models, checkpoints, logs and {len(left_out)} files with texts")
