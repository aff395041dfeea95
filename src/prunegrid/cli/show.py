"""Show kept samples as text, with dropped tokens struck through."""

import argparse
import sys
from pathlib import Path

from prunegrid.cli.arguments import whole_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("selection", type=Path, help="folder that `prunegrid prune` wrote, or pruned/<cell> of a run")
    parser.add_argument(
        "--rows", type=whole_number(1), default=5, help="number of kept samples to show, from the first"
    )
    parser.add_argument(
        "--sample", type=int, nargs="+", default=[], metavar="ID", help="show these kept samples instead"
    )
    parser.add_argument("--scores", type=Path, help="the selection's scores, if they have moved")
    plain = "mark dropped text as [-dropped-], without colours; always so unless the output is a terminal"
    parser.add_argument("--plain", action="store_true", help=plain)


def run(options: argparse.Namespace) -> None:
    from prunegrid.api.show import show
    from prunegrid.selection.text import PLAIN, TERMINAL

    style = TERMINAL if sys.stdout.isatty() and not options.plain else PLAIN
    for text in show(options.selection, options.scores, options.rows, options.sample, style):
        print(text, end="\n\n")
