"""Trace one number of the table back to its items, its model and its baseline."""

import argparse

from prunegrid.cli.arguments import add_results_folder
from prunegrid.core.errors import PrunegridError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_results_folder(parser)
    parser.add_argument("cell", nargs="?", help="model/cell, such as sandbox-1M/s0.125-t0.5/qtuning/seed0")
    parser.add_argument("benchmark", nargs="?", help="column of the table, such as GSM8K")


def run(options: argparse.Namespace) -> None:
    from prunegrid.verification.trace import trace_score

    if options.cell is None:
        where = f"trace {options.directory}"
        raise PrunegridError(
            where, "no cell is given", f"check all of them with `prunegrid verify {options.directory}`"
        )
    if options.benchmark is None:
        raise PrunegridError(options.cell, "no benchmark is given", "give a cell and a benchmark")
    print("\n".join(trace_score(options.directory, options.cell, options.benchmark)))
