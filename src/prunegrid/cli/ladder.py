"""Decompose the gap between two rows into what each difference of a ladder contributes."""

import argparse
import json
from pathlib import Path

from prunegrid.cli.arguments import add_results_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    rows = "two rows of the ladder, instead of those of its gap"
    parser.add_argument("--gap", nargs=2, metavar="ROW", help=rows)
    parser.add_argument("--json", action="store_true", help="print all numbers as JSON")
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="also write all numbers to this file")
    add_results_folder(parser)


def run(options: argparse.Namespace) -> None:
    from prunegrid.results.decomposition import decompose_folder, write_csv
    from prunegrid.table.ladder import text

    frame = decompose_folder(options.directory, options.gap)
    if options.json:
        print(json.dumps(json.loads(frame.to_json(orient="records")), indent=1))
    else:
        print(text(frame))
    if options.out:
        write_csv(frame, options.out)
        if not options.json:
            print(f"\n{options.out}: written")
