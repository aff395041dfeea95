"""Write a selection in the format of a trainer."""

import argparse
from pathlib import Path
from typing import Any

CONSUMERS = "trl, llamafactory, axolotl, open-instruct, datasets, openai or jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("selection", type=Path, help="folder that `prunegrid prune` wrote, or pruned/<cell> of a run")
    parser.add_argument("--out", type=Path, help="folder to write (default: export/<to> in the selection's folder)")
    parser.add_argument("--scores", type=Path, help="the selection's scores, if they have moved")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON")
    add_export_arguments(parser)


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """The trainer, and the form of what it gets."""
    removal = "mask: pruned tokens stay in the input without a label; drop: they are removed"
    parser.add_argument("--to", required=True, help=f"trainer: {CONSUMERS}")
    parser.add_argument("--removal", choices=["mask", "drop"], default="mask", help=removal)
    parser.add_argument("--resample", action="store_true", help="draw rows in proportion to their weights (InfoBatch)")
    parser.add_argument(
        "--as", dest="form", choices=["tokens", "text"], default="tokens", help="write token ids, or text"
    )


def form(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `export` that say what a trainer gets."""
    return {"removal": options.removal, "resample": options.resample, "as_text": options.form == "text"}


def run(options: argparse.Namespace) -> None:
    from prunegrid.exporters.export import export
    from prunegrid.exporters.report import report

    out = options.out or options.selection / "export" / options.to
    summary = export(options.selection, options.to, out, scores=options.scores, **form(options))
    print(summary.model_dump_json(indent=1) if options.json else report(summary))
