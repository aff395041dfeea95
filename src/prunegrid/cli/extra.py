"""Add an optional score that some pruners read."""

import argparse
from pathlib import Path

from prunegrid.cli.arguments import add_forward_arguments, dtype
from prunegrid.core.gpus import use_device
from prunegrid.experiment import layout
from prunegrid.pruners.columns import EXTRAS, REFERENCE_EXTRAS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=list(EXTRAS), help="the score")
    parser.add_argument("--model", required=True, help="the model that was scored with: a folder or a hub id")
    parser.add_argument("--scores", type=Path, required=True, help="what `prunegrid score` wrote")
    scores = ", ".join(sorted(REFERENCE_EXTRAS))
    parser.add_argument("--reference", help=f"the reference model, for {scores}")
    add_forward_arguments(parser)


def run(options: argparse.Namespace) -> None:
    import torch

    from prunegrid.experiment.training import Scoring
    from prunegrid.models.hub import find_model
    from prunegrid.scoring.extra import write_extra

    torch.set_num_threads(options.threads)
    settings = Scoring(batch_tokens=options.batch_tokens, dtype=dtype(options))
    out = options.scores / layout.EXTRA / layout.extra_name(options.name)
    model, _ = find_model(options.model)
    reference = find_model(options.reference)[0] if options.reference else None
    with use_device(options.device):
        write_extra(options.name, options.scores, model, out, settings, options.device, reference)
    print(out)
