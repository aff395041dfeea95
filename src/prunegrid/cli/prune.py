"""Choose the samples and tokens to keep, from scores."""

import argparse
import json
from pathlib import Path
from typing import Any

from prunegrid.cli.arguments import named_value, whole_number
from prunegrid.core.ratios import read_amount

PAIRS = "sample pruner + token pruner, such as random+ppl or my_module:mine+ppl, or a joint pruner, such as qtuning"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    out = "folder for selection.parquet and selection.json; existing ones are replaced"
    parser.add_argument("--scores", type=Path, required=True, help="folder that `prunegrid score` wrote")
    parser.add_argument(
        "--match",
        type=Path,
        metavar="FILE",
        help="another selection (its folder or selection.json): keep as many samples and tokens as it does",
    )
    parser.add_argument("--model", type=Path, help="check that the scores belong to the model in this folder")
    parser.add_argument("--out", type=Path, required=True, help=out)
    parser.add_argument("--json", action="store_true", help="print selection.json instead of sentences")
    add_pruning_arguments(parser)


def add_pruning_arguments(parser: argparse.ArgumentParser) -> None:
    """What decides a selection, besides the scores."""
    forms = "a share (0.125), a percentage (12.5%%) or a count (5000, 20M)"
    parser.add_argument("--pair", required=True, help=PAIRS)
    parser.add_argument(
        "--samples", "--sample-ratio", default="100%", metavar="RATIO", help=f"samples to keep: {forms}; default: all"
    )
    tokens = f"response tokens of the kept samples to keep: {forms}; default: all"
    parser.add_argument("--tokens", "--token-ratio", default="100%", metavar="RATIO", help=tokens)
    parser.add_argument("--seed", type=whole_number(0), default=0, help="seed of random choices")
    units, unit_help = ("turn", "conversation"), "choose single answers, or whole conversations"
    parser.add_argument("--unit", choices=units, default="turn", help=unit_help)
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="option of a pruner; repeatable"
    )


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
