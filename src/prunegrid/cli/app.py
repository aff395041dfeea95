"""The `prunegrid` command: the workflow's steps on your own model and data.

prunegrid score --model DIR --data FILE --out DIR
prunegrid extra ifd --model DIR --scores DIR
prunegrid prune --scores DIR --pair qtuning --sample-ratio 0.125 --token-ratio 0.5 --seed 0 --out DIR
prunegrid merge --model DIR --adapter DIR --out DIR
prunegrid table results/sandbox --against full
prunegrid trace results/sandbox
prunegrid figures results/sandbox
prunegrid compare results/sandbox --model sandbox-1M=LLaMA2-7B
prunegrid doctor experiments/paper.yaml
prunegrid status experiments/paper.yaml
prunegrid plan experiments/paper.yaml
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prunegrid import __version__
from prunegrid.cli import own_data
from prunegrid.cli import plan as plan_command
from prunegrid.core.errors import PrunegridError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; a `PrunegridError` is one line on stderr and exit code 1."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except PrunegridError as error:
        sys.exit(f"prunegrid {options.command}: {error}")
    except BrokenPipeError:  # `| head` has read enough
        sys.stdout = None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="prunegrid", description="Prune a fine-tuning set: samples, then tokens.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    own_data.score_arguments(commands.add_parser("score", help="score a training set under a model, once"))
    own_data.extra_arguments(commands.add_parser("extra", help="add an optional score that some pruners read"))
    own_data.prune_arguments(commands.add_parser("prune", help="choose samples and tokens from scores"))
    own_data.merge_arguments(commands.add_parser("merge", help="write a base model with a trained adapter merged in"))
    _results_commands(commands)
    _compare_arguments(commands.add_parser("compare", help="set results beside the published ones; or audit those"))
    doctor = commands.add_parser("doctor", help="say what this machine can run, and what an experiment lacks here")
    doctor.add_argument("experiment", type=Path, nargs="?", help="config.yaml, experiments/mine.yaml, ...")
    doctor.set_defaults(run=_doctor)
    status = commands.add_parser("status", help="say which cells are done, failed, running, missing or stale, and why")
    status.add_argument("experiment", type=Path, help="config.yaml, experiments/mine.yaml, ... or results/<experiment>")
    status.set_defaults(run=_status)
    plan = commands.add_parser("plan", help="estimate an experiment's jobs, hours, disk and memory before it runs")
    plan_command.add_arguments(plan)
    return parser


def _results_commands(commands: Any) -> None:
    table = commands.add_parser("table", help="collect a results folder and print its table")
    table.add_argument("--against", metavar="ROW", help="what deltas are against: full, best, zero-shot, a variant")
    table.set_defaults(run=_table)
    trace = commands.add_parser("trace", help="compute the table's numbers again from its items, all or one")
    trace.set_defaults(run=_trace)
    figures = commands.add_parser("figures", help="draw the figures of a results folder")
    figures.set_defaults(run=_figures)
    for parser in (table, trace, figures):
        parser.add_argument("directory", type=Path, help="results/<experiment>")
    trace.add_argument("cell", nargs="?", help="model/cell, such as sandbox-1M/s0.125-t0.5/qtuning/seed0")
    trace.add_argument("benchmark", nargs="?", help="a column, such as GSM8K")


def _compare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", type=Path, nargs="?", help="results/<experiment> or a results.parquet")
    parser.add_argument("--with", dest="other", type=Path, metavar="RESULTS", help="instead of the published tables")
    parser.add_argument("--model", action="append", default=[], metavar="OURS=THEIRS", help="same model, repeatable")
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="write all rows and columns there, too")
    parser.set_defaults(run=_compare)


def _table(options: argparse.Namespace) -> None:
    from prunegrid.table.build import FORMATS, build, table_folder

    build(options.directory, options.against)
    out = table_folder(options.directory, options.against)
    print((out / "table.md").read_text())
    print(f"{out}: {', '.join(f'table.{ending}' for ending in FORMATS)}")


def _trace(options: argparse.Namespace) -> None:
    from prunegrid.table.trace import trace_score
    from prunegrid.table.verification import verify_table

    if options.cell is None:
        verified = verify_table(options.directory)
        print(
            f"{options.directory}: recomputed from {verified.values} item values: {verified.scores} scores, "
            f"{verified.averages} averages and {verified.deltas} deltas match results.parquet; "
            f"{verified.shown} scores, spreads and deltas match table.csv"
        )
        names = (str(file.relative_to(options.directory)) for file in verified.files)
        print(f"regenerated and identical: {', '.join(names)}")
    elif options.benchmark is None:
        raise PrunegridError("give a cell and a benchmark, or neither")
    else:
        print("\n".join(trace_score(options.directory, options.cell, options.benchmark)))


def _figures(options: argparse.Namespace) -> None:
    from prunegrid.figures.draw import draw_folder

    for file in draw_folder(options.directory):
        print(file)


def _compare(options: argparse.Namespace) -> None:
    from prunegrid.published import audit, audit_report, compare_report

    if not options.results and (options.other or options.model):
        raise PrunegridError("--with and --model compare results; give the results to compare first")
    if options.results:
        models = dict(own_data.named_value(text, "--model", "LLaMA=LLaMA2-7B") for text in options.model)
        found, said = compare_report.compare_folders(options.results, options.other, models)
        print(compare_report.markdown(found, said))
    else:
        found, said = audit.audit(), list[str]()
        print(audit_report.report(found))
    if options.out:
        compare_report.write_csv(found, said, options.out)
        print(f"\n{options.out}: written")


def _doctor(options: argparse.Namespace) -> None:
    from prunegrid.doctor import examine

    if not examine(options.experiment):
        sys.exit(1)


def _status(options: argparse.Namespace) -> None:
    from prunegrid.status.text import show

    if not show(options.experiment):
        sys.exit(1)


if __name__ == "__main__":
    main()
