"""Write a base model with a trained adapter merged in."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--adapter", type=Path, required=True, help="folder of the adapter: trained/.../model")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")


def run(options: argparse.Namespace) -> None:
    from prunegrid.models import merge_adapter

    merge_adapter(options.model, options.adapter, options.out, options.dtype)
    print(options.out)
