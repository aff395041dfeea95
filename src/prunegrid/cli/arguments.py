"""Arguments that several commands share, and their types."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from prunegrid.core.errors import PrunegridError
from prunegrid.core.validation import validation_errors
from prunegrid.data.place import place
from prunegrid.experiment.dataset import BadRows, Dataset, Turns
from prunegrid.experiment.training import USUAL_DTYPE

EXPERIMENT = "config.yaml, experiments/mine.yaml, ... or results/<experiment>"


def add_forward_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--batch-tokens", type=whole_number(8), default=4096, help="tokens of a forward pass, padding included"
    )
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="default: bfloat16 on cuda, else float32")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where the model runs")
    threads = "CPU threads (default: one per core)"
    parser.add_argument("--threads", type=whole_number(1), default=os.cpu_count(), help=threads)


def dtype(options: argparse.Namespace) -> Any:
    return options.dtype or USUAL_DTYPE[options.device]


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """How rows of a user's data are read: the options of `dataset` in a config file."""
    turns = "answers of a conversation to train on: each as its own sample, only the last, or all in one sample"
    field = "name in your file of the field prompt, response, system or messages; repeatable"
    bad = "stop at an unreadable row, or skip and count it"
    parser.add_argument("--turns", choices=get_args(Turns), default="each", help=turns)
    parser.add_argument("--field", action="append", default=[], metavar="prompt=NAME", help=field)
    parser.add_argument("--ignore", default="", metavar="A,B", help="text fields to ignore")
    parser.add_argument("--on-bad-row", choices=get_args(BadRows), default="error", help=bad)
    carry = "columns to copy along, such as your ids"
    parser.add_argument("--carry", default="", metavar="A,B", help=carry)
    parser.add_argument("--drop-duplicates", action="store_true", help="drop samples whose messages occurred before")
    nearly = "also drop near duplicates (at least four in five 5-word sequences are the same)"
    parser.add_argument(
        "--drop-near-duplicates", action="store_const", const="near", dest="drop_duplicates", help=nearly
    )
    parser.add_argument(
        "--split", default="train", help="split of a data set on the hub, or of a folder with several splits"
    )
    parser.add_argument("--config", help="configuration of a data set on the hub")
    parser.add_argument("--revision", help="commit, branch or tag of a data set on the hub")


def dataset_from(options: argparse.Namespace) -> tuple[Dataset, str | None]:
    """The data set `options.data`, read as `add_data_arguments` says, and its path; None for one of the hub."""
    fields = dict(named_value(text, "--field", "--field prompt=NAME") for text in options.field)
    ignore, carry = (
        [name.strip() for name in text.split(",") if name.strip()] for text in (options.ignore, options.carry)
    )
    settings = {"turns": options.turns, "fields": fields, "ignore": ignore, "on_bad_row": options.on_bad_row}
    settings |= {"split": options.split, "config": options.config, "revision": options.revision}
    settings |= {"drop_duplicates": options.drop_duplicates, "carry": carry}
    hub, local = place(options.data)
    try:
        return Dataset.model_validate({"name": "data", "hub": hub, "path": local, **settings}), local
    except ValidationError as error:
        raise validation_errors(error, Dataset, "command line") from None


def add_results_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="results/<experiment>")


def whole_number(minimum: int) -> Callable[[str], int]:
    """The type of a whole number of at least `minimum`."""

    def count(text: str) -> int:
        if int(text) < minimum:
            raise argparse.ArgumentTypeError(f"{text} is too small; give at least {minimum}")
        return int(text)

    return count


def named_value(text: str, argument: str, example: str) -> tuple[str, str]:
    """`NAME=VALUE` as a pair."""
    name, equals, value = text.partition("=")
    if not equals:
        raise PrunegridError(f"{argument} {text}", "is not of the form NAME=VALUE", f"write it as in {example}")
    return name, value
