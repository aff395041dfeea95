"""Choose samples and tokens from scores."""

import argparse
import json
from pathlib import Path
from typing import Any

from prunegrid.cli.arguments import named_value, whole_number
from prunegrid.core.ratios import read_amount

PAIRS = "sample+token pruner (random+ppl, my_module:mine+ppl), or qtuning"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    out = "folder for selection.parquet and selection.json, which are replaced if there"
    parser.add_argument("--scores", type=Path, required=True, help="what `prunegrid score` wrote")
    parser.add_argument("--match", type=Path, metavar="FILE", help="selection.json whose realised counts to keep")
    parser.add_argument("--model", type=Path, help="check that the scores belong to the model in this folder")
    parser.add_argument("--out", type=Path, required=True, help=out)
    parser.add_argument("--json", action="store_true", help="print selection.json, not sentences")
    add_pruning_arguments(parser)


def add_pruning_arguments(parser: argparse.ArgumentParser) -> None:
    """What decides a selection, besides the scores."""
    forms = "a share (0.125), a percentage (12.5%%) or a count (5000, 20M)"
    parser.add_argument("--pair", required=True, help=PAIRS)
    parser.add_argument(
        "--samples", "--sample-ratio", default="100%", metavar="RATIO", help=f"to keep: {forms}; default: all"
    )
    tokens = f"response tokens of the kept samples to keep: {forms}; default: all"
    parser.add_argument("--tokens", "--token-ratio", default="100%", metavar="RATIO", help=tokens)
    parser.add_argument("--seed", type=whole_number(0), default=0)
    units, unit_help = ("turn", "conversation"), "what a sample is: an answer, or all answers of a conversation"
    parser.add_argument("--unit", choices=units, default="turn", help=unit_help)
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of the pruner, repeatable")


def pruning(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `prunegrid.prune` that `add_pruning_arguments` reads."""
    return {
        "pair": options.pair,
        "samples": read_amount(options.samples, "--samples"),
        "tokens": read_amount(options.tokens, "--tokens"),
        "seed": options.seed,
        "unit": options.unit,
        "options": dict(map(_option, options.option)),
    }


def run(options: argparse.Namespace) -> None:
    from prunegrid.api.selection import prune

    kept = prune(options.scores, **pruning(options), match=options.match, model=options.model, out=options.out)
    print(json.dumps(kept.summary().model_dump(), indent=1) if options.json else kept)


def _option(text: str) -> tuple[str, Any]:
    """`neighbor_lambda=0` as name and value: JSON if it is, text otherwise."""
    name, value = named_value(text, "--option", "neighbor_lambda=0")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
