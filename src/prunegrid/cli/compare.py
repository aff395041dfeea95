"""Compare results with the published ones, or audit the published ones."""

import argparse
from pathlib import Path

from prunegrid.cli.arguments import named_value
from prunegrid.core.errors import PrunegridError
from prunegrid.pruners.method import AUTHORS, PAPER


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", type=Path, nargs="?", help="results/<experiment> or a results.parquet")
    parser.add_argument(
        "--with",
        dest="other",
        type=Path,
        metavar="RESULTS",
        help="compare with these results instead of the published ones",
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="OURS=THEIRS",
        help="names of the same model in both results; repeatable",
    )
    parser.add_argument(
        "--reading",
        choices=(PAPER, AUTHORS),
        default=PAPER,
        help="use your variants of this reading; without results, show what the published rows were trained on in it",
    )
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="also write all rows and columns to this file")


def run(options: argparse.Namespace) -> None:
    from prunegrid.published import audit, audit_report, compare_report, expected_report

    notes: list[str] = []
    if options.results:
        models = dict(named_value(text, "--model", "LLaMA=LLaMA2-7B") for text in options.model)
        rows, notes = compare_report.compare_folders(options.results, options.other, models, options.reading)
        print(compare_report.markdown(rows, notes))
    elif options.other or options.model:
        raise PrunegridError("--with and --model", "compare results, but none are given", "give the results first")
    elif options.reading != PAPER:
        if options.out:
            raise PrunegridError("--out", "writes comparisons and the audit only", "leave it out")
        print(expected_report.report())
    else:
        rows = audit.audit()
        print(audit_report.report(rows))
    if options.out:
        compare_report.write_csv(rows, notes, options.out)
        print(f"\n{options.out}: written")
