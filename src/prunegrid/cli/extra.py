"""Add an optional score to a folder of scores: one that prunegrid computes, or your own from a file."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

from prunegrid.cli.arguments import add_data_arguments, add_forward_arguments, dataset_from, dtype
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_json
from prunegrid.core.gpus import use_device
from prunegrid.experiment import layout
from prunegrid.experiment.score_file import Direction
from prunegrid.pruners.columns import EXTRAS, QUERY_EXTRAS, REFERENCE_EXTRAS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    names = f"name of the score: {', '.join(EXTRAS)}; with --from, a name of your choice"
    parser.add_argument("name", metavar="NAME", help=names)
    parser.add_argument("--scores", type=Path, required=True, help="folder that `prunegrid score` wrote")
    parser.add_argument("--model", help="the model that made the scores: a folder or a hub id (not with --from)")
    scores = ", ".join(sorted(REFERENCE_EXTRAS))
    parser.add_argument("--reference", help=f"reference model, for {scores}")
    queries = ", ".join(sorted(QUERY_EXTRAS))
    parser.add_argument("--query", dest="data", help=f"query set, for {queries}: a file, or a data set on the hub")
    add_data_arguments(parser)
    add_forward_arguments(parser)
    _add_file_arguments(parser.add_argument_group("scores of your own"))


def _add_file_arguments(group: Any) -> None:
    """The keys of the section `scores` of an experiment."""
    identity = "column that identifies the sample: sample_id, row (and turn), or a carried one; row=NAME renames it; "
    identity += "order: the n-th row belongs to the n-th row of the data"
    missing = "samples without a score: stop with an error, or rank them last"
    group.add_argument(
        "--from", dest="file", metavar="FILE", help="file with a score for each sample: JSON lines or Parquet"
    )
    group.add_argument("--column", help="column of the scores; a.b is field b of column a (default: NAME, or score)")
    group.add_argument("--id", action="append", default=[], metavar="NAME", help=identity)
    group.add_argument("--direction", choices=get_args(Direction), default="highest", help="which scores are better")
    group.add_argument("--missing", choices=["refuse", "last"], default="refuse", help=missing)
    group.add_argument("--source", default="", help="who made the scores, and how; stored with them")


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
    with use_device(options.device), _query_set(options) as query:
        write_extra(options.name, options.scores, model, out, settings, options.device, reference, query=query)
    print(out)


@contextmanager
def _query_set(options: argparse.Namespace) -> Iterator[Path | None]:
    """The query set as a training set is stored, as long as it is needed; None without one."""
    from prunegrid.data.counts import intake_lines
    from prunegrid.data.datasets import write_dataset

    if options.data is None:
        yield None
        return
    dataset, local = dataset_from(options)
    with TemporaryDirectory() as folder:
        data, counts = Path(folder, layout.DATA), Path(folder, layout.DATA_COUNTS)
        write_dataset(dataset, local, data, counts)
        print("\n".join(intake_lines(read_json(counts))), file=sys.stderr, flush=True)
        yield data


def _import(options: argparse.Namespace) -> None:
    from prunegrid.api.scores import add_scores

    if options.model or options.reference or options.data:
        raise PrunegridError("--from", "reads a file, and no model", "leave --model, --reference and --query out")
    pairs = dict(text.split("=", 1) if "=" in text else (text, text) for text in options.id)
    ids: Any = options.id[0] if len(options.id) == 1 and options.id[0] in pairs else pairs or None
    settings = {name: getattr(options, name) for name in ("column", "direction", "missing", "source")}
    add_scores(options.scores, options.name, options.file, id=ids, **settings)
