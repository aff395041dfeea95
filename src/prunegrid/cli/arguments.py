"""Arguments that several commands share, and their types."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.experiment.sections import USUAL_DTYPE

EXPERIMENT = "config.yaml, experiments/mine.yaml, ... or results/<experiment>"


def add_forward_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch-tokens", type=whole_number(8), default=4096, help="padded tokens a forward pass")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="default: bfloat16 on cuda, else float32")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=whole_number(1), default=os.cpu_count())


def dtype(options: argparse.Namespace) -> Any:
    return options.dtype or USUAL_DTYPE[options.device]


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
