"""Collect a results folder and print its table."""

import argparse

from prunegrid.cli.arguments import add_results_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--against", metavar="ROW", help="what deltas are against: full, best, zero-shot, a variant")
    add_results_folder(parser)


def run(options: argparse.Namespace) -> None:
    from prunegrid.table.build import FORMATS, build, table_folder

    build(options.directory, options.against)
    out = table_folder(options.directory, options.against)
    print((out / "table.md").read_text())
    print(f"{out}: {', '.join(f'table.{ending}' for ending in FORMATS)}")
