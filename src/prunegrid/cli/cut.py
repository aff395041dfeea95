"""Cut the tokens of one shard of the samples that `prunegrid choose` chose."""

import argparse
import re
from pathlib import Path

SHARD = re.compile(r"(\d+)/(\d+)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="folder that `prunegrid choose` wrote; the shard is written there")
    parser.add_argument("--shard", type=_shard, required=True, metavar="I/N", help="shard I of N, such as 1/8")
    parser.add_argument("--scores", type=Path, help="the scores, if they have moved")


def run(options: argparse.Namespace) -> None:
    from prunegrid.api.selection import Selection
    from prunegrid.api.shards import cut

    number, shards = options.shard
    if missing := cut(options.folder, number, shards, options.scores):
        print(f"Cut shard {number} of {shards}; to be cut: {', '.join(map(str, missing))}")
    else:
        print(f"All {shards} shards are cut.\n{Selection.open(options.folder, options.scores)}")


def _shard(text: str) -> tuple[int, int]:
    digits = SHARD.fullmatch(text)
    if not digits:
        raise argparse.ArgumentTypeError(f"{text!r} is not a shard; give 1/8 for the first of eight")
    return int(digits[1]), int(digits[2])
