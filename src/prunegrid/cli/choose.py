"""Choose the samples to keep; `prunegrid cut` then cuts their tokens, in shards on several machines."""

import argparse
from pathlib import Path

from prunegrid.cli.prune import add_pruning_arguments, pruning


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scores", type=Path, required=True, help="folder that `prunegrid score` wrote")
    parser.add_argument(
        "--match",
        type=Path,
        metavar="FILE",
        help="another selection (its folder or selection.json): keep as many samples and tokens as it does",
    )
    parser.add_argument("--model", type=Path, help="check that the scores belong to the model in this folder")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for choice.parquet, on a disk that all machines share"
    )
    add_pruning_arguments(parser)


def run(options: argparse.Namespace) -> None:
    from prunegrid.api.shards import choose

    choice = choose(options.scores, **pruning(options), match=options.match, model=options.model, out=options.out)
    print(f"{choice}: cut its shards with `prunegrid cut {options.out} --shard 1/8`, 2/8 and so on, on any machine")
