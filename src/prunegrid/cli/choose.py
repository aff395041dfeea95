"""Choose samples from scores, for shards that `prunegrid cut` cuts on several machines."""

import argparse
from pathlib import Path

from prunegrid.cli.prune import add_pruning_arguments, pruning


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scores", type=Path, required=True, help="what `prunegrid score` wrote")
    parser.add_argument("--match", type=Path, metavar="FILE", help="selection.json whose realised counts to keep")
    parser.add_argument("--model", type=Path, help="check that the scores belong to the model in this folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for choice.parquet, which all machines see")
    add_pruning_arguments(parser)


def run(options: argparse.Namespace) -> None:
    from prunegrid.api.shards import choose

    choice = choose(options.scores, **pruning(options), match=options.match, model=options.model, out=options.out)
    print(f"{choice}: cut its shards with `prunegrid cut {options.out} --shard 1/8`, 2/8 and so on, on any machine")
