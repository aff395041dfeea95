"""Check a results folder: every digest and every number, from the table back to the data."""

import argparse
import json
import secrets
import sys

from prunegrid.cli.arguments import add_results_folder, whole_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_results_folder(parser)
    parser.add_argument(
        "--deep", action="store_true", help="also hash weights over 16 MiB; by default only their sizes are compared"
    )
    help_text = "re-evaluate N random items: load their models and compare the answers"
    parser.add_argument("--again", type=whole_number(1), default=0, metavar="N", help=help_text)
    parser.add_argument(
        "--seed", type=int, help="seed of --again, to draw the same items as an earlier check; default: random"
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(options: argparse.Namespace) -> None:
    from prunegrid.verification.report import as_json, report_lines
    from prunegrid.verification.verify import verify

    seed = secrets.randbelow(2**32) if options.seed is None else options.seed
    verification = verify(options.directory, options.deep, options.again, seed)
    if options.json:
        print(json.dumps(as_json(options.directory, verification), indent=1, ensure_ascii=False))
    else:
        print("\n".join(report_lines(options.directory, verification)))
    if verification.problems:
        sys.exit(1)
