"""Collect the results of a folder and print its table."""

import argparse

from prunegrid.cli.arguments import add_results_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--against", metavar="ROW", help="row that deltas are against: full, best, zero-shot or a variant"
    )
    add_results_folder(parser)


def run(options: argparse.Namespace) -> None:
    from prunegrid.table import terminal
    from prunegrid.table.build import FORMATS, build, table_folder

    table = build(options.directory, options.against)
    print(terminal.render(table))
    out = table_folder(options.directory, options.against)
    print(f"with everything: {out}/table.{{{','.join(FORMATS)}}}")
