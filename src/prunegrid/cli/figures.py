"""Draw the figures of a results folder."""

import argparse

from prunegrid.cli.arguments import add_results_folder as add_arguments

__all__ = ["add_arguments", "run"]


def run(options: argparse.Namespace) -> None:
    from prunegrid.figures.draw import draw_folder

    for file in draw_folder(options.directory):
        print(file)
