"""Merge a trained adapter into its base model."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--adapter", type=Path, required=True, help="folder of the adapter, such as trained/.../model")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--dtype", choices=["float32", "bfloat16"], default="float32", help="precision of the merged weights"
    )


def run(options: argparse.Namespace) -> None:
    from prunegrid.models import merge_adapter

    merge_adapter(options.model, options.adapter, options.out, options.dtype)
    print(options.out)
