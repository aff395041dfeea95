"""Check a results folder: every digest from the table down to the data, and every number again."""

import argparse
import json
import sys

from prunegrid.cli.arguments import add_results_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_results_folder(parser)
    parser.add_argument("--deep", action="store_true", help="hash weights over 16 MiB, too, not only compare sizes")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(options: argparse.Namespace) -> None:
    from prunegrid.verification.report import as_json, report_lines
    from prunegrid.verification.verify import verify

    verification = verify(options.directory, options.deep)
    if options.json:
        print(json.dumps(as_json(options.directory, verification), indent=1, ensure_ascii=False))
    else:
        print("\n".join(report_lines(options.directory, verification)))
    if verification.problems:
        sys.exit(1)
