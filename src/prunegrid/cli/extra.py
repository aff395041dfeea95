"""Add an optional score that some pruners read, or scores of your own from a file."""

import argparse
from pathlib import Path
from typing import Any, get_args

from prunegrid.cli.arguments import add_forward_arguments, dtype
from prunegrid.core.errors import PrunegridError
from prunegrid.core.gpus import use_device
from prunegrid.experiment import layout
from prunegrid.experiment.score_file import Direction
from prunegrid.pruners.columns import EXTRAS, REFERENCE_EXTRAS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    names = f"the score: {', '.join(EXTRAS)}; with --from a name of your choice"
    parser.add_argument("name", metavar="NAME", help=names)
    parser.add_argument("--scores", type=Path, required=True, help="what `prunegrid score` wrote")
    parser.add_argument("--model", help="the model that was scored with: a folder or a hub id (not with --from)")
    scores = ", ".join(sorted(REFERENCE_EXTRAS))
    parser.add_argument("--reference", help=f"the reference model, for {scores}")
    add_forward_arguments(parser)
    _add_file_arguments(parser.add_argument_group("scores of your own"))


def _add_file_arguments(group: Any) -> None:
    """The keys of the section `scores` of an experiment."""
    identity = "column that says whose score a row is: sample_id, row (and turn), a carried one; row=NAME; order"
    missing = "samples without a score: an error, or the worst"
    group.add_argument("--from", dest="file", metavar="FILE", help="JSON lines or Parquet with a score for each sample")
    group.add_argument("--column", help="where the scores are, a.b for b within a (default: NAME, or score)")
    group.add_argument("--id", action="append", default=[], metavar="NAME", help=identity)
    group.add_argument("--direction", choices=get_args(Direction), default="highest", help="which are the better ones")
    group.add_argument("--missing", choices=["refuse", "last"], default="refuse", help=missing)
    group.add_argument("--source", default="", help="who made them, and with what: kept with the scores")


def run(options: argparse.Namespace) -> None:
    if options.file is not None:
        _import(options)
        return
    if options.model is None:
        raise PrunegridError("--model", "is missing", "name the model that was scored with, or a file: --from FILE")

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


def _import(options: argparse.Namespace) -> None:
    from prunegrid.api.scores import add_scores

    if options.model or options.reference:
        raise PrunegridError("--from", "reads a file, and no model", "leave --model and --reference out")
    pairs = dict(text.split("=", 1) if "=" in text else (text, text) for text in options.id)
    ids: Any = options.id[0] if len(options.id) == 1 and options.id[0] in pairs else pairs or None
    settings = {name: getattr(options, name) for name in ("column", "direction", "missing", "source")}
    add_scores(options.scores, options.name, options.file, id=ids, **settings)
