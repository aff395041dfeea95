"""Compute the table's numbers again from its items, all or one."""

import argparse

from prunegrid.cli.arguments import add_results_folder
from prunegrid.core.errors import PrunegridError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_results_folder(parser)
    parser.add_argument("cell", nargs="?", help="model/cell, such as sandbox-1M/s0.125-t0.5/qtuning/seed0")
    parser.add_argument("benchmark", nargs="?", help="a column, such as GSM8K")


def run(options: argparse.Namespace) -> None:
    from prunegrid.table.trace import trace_score

    if options.cell is None:
        _verify(options)
    elif options.benchmark is None:
        raise PrunegridError(options.cell, "is a cell without a benchmark", "give both, or neither")
    else:
        print("\n".join(trace_score(options.directory, options.cell, options.benchmark)))


def _verify(options: argparse.Namespace) -> None:
    from prunegrid.table.verification import verify_table

    verified = verify_table(options.directory)
    print(
        f"{options.directory}: recomputed from {verified.values} item values: {verified.scores} scores, "
        f"{verified.averages} averages and {verified.deltas} deltas match results.parquet; "
        f"{verified.csv_numbers} scores, spreads and deltas match table.csv"
    )
    names = (str(file.relative_to(options.directory)) for file in verified.files)
    print(f"regenerated and identical: {', '.join(names)}")
