"""Choose samples and tokens from scores."""

import argparse
import json
from pathlib import Path
from typing import Any

from prunegrid.cli.arguments import named_value, whole_number
from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import layout


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pairs = "sample+token pruner (random+ppl, my_module:mine+ppl), or qtuning"
    out = "folder for selection.parquet and selection.json, which are replaced if there"
    parser.add_argument("--scores", type=Path, required=True, help="what `prunegrid score` wrote")
    parser.add_argument("--pair", required=True, help=pairs)
    parser.add_argument("--sample-ratio", type=float, required=True, help="fraction of samples to keep")
    parser.add_argument("--token-ratio", type=float, required=True, help="fraction of response tokens to keep")
    parser.add_argument("--seed", type=whole_number(0), default=0)
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of the pruner, repeatable")
    parser.add_argument("--match", type=Path, metavar="FILE", help="selection.json whose realised counts to keep")
    parser.add_argument("--model", type=Path, help="check that the scores belong to the model in this folder")
    parser.add_argument("--out", type=Path, required=True, help=out)


def run(options: argparse.Namespace) -> None:
    from prunegrid.models import describe
    from prunegrid.pruners import PruningSpec
    from prunegrid.selection.prune import prune

    if options.out.is_file():
        raise PrunegridError(options.out, "is a file, and --out is a folder", "give another one")
    ratios = {"sample_ratio": options.sample_ratio, "token_ratio": options.token_ratio}
    spec = PruningSpec(method=options.pair, options=dict(map(_option, options.option)), **ratios)
    match = options.match / layout.SUMMARY if options.match and options.match.is_dir() else options.match
    digests = describe(options.model)["digests"] if options.model else None
    summary = prune(options.scores, options.out, spec, options.seed, match=match, expected_digests=digests)
    print(json.dumps(summary.model_dump(), indent=1))


def _option(text: str) -> tuple[str, Any]:
    """`neighbor_lambda=0` as name and value: JSON if it is, text otherwise."""
    name, value = named_value(text, "--option", "neighbor_lambda=0")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
