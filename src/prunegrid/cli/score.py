"""Score every sample and token of a training set with a model."""

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from prunegrid.cli.arguments import add_data_arguments, add_forward_arguments, dataset_from, whole_number
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_json
from prunegrid.experiment import layout
from prunegrid.experiment.dataset import Dataset
from prunegrid.experiment.training import USUAL_DTYPE
from prunegrid.pruners.columns import PASS_EXTRAS, REFERENCE_EXTRAS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", nargs="?", metavar="DATA", help="the data; the same as --data")
    parser.add_argument("--data", help="file, folder or glob (JSON, CSV, Parquet, ...), or a data set on the hub")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the scores; the same command resumes an interrupted pass"
    )
    parser.add_argument("--json", action="store_true", help="print meta.json instead of sentences")
    add_scoring_arguments(parser)


def add_scoring_arguments(parser: argparse.ArgumentParser) -> None:
    """The model, and how data are read and scored."""
    devices = "devices, one process each: GPU ids (0,1), cpu, or cuda for any free GPU (default: --device)"
    shards = "number of parts, each stored when it is scored (default: parts of at most one minute)"
    parser.add_argument(
        "--model", required=True, help="folder with safetensors and a tokenizer, or a hub id: org/name[@revision]"
    )
    parser.add_argument(
        "--max-length",
        type=whole_number(8),
        default=2048,
        help="truncate each sample to this many tokens, prompt and response together",
    )
    parser.add_argument("--devices", metavar="A,B", help=devices)
    parser.add_argument("--shards", type=whole_number(1), help=shards)
    parser.add_argument(
        "--chat-template",
        metavar="X",
        help="replace the model's chat template: Jinja, a file, or the name of one of its templates",
    )
    parser.add_argument(
        "--chat-template-kwargs",
        metavar="JSON",
        help='variables of the chat template, such as {"enable_thinking": false}',
    )
    names = sorted({*PASS_EXTRAS} - REFERENCE_EXTRAS)
    extra = f"also compute this optional score; repeatable: {', '.join(names)}"
    parser.add_argument("--extra", action="append", default=[], choices=names, metavar="NAME", help=extra)
    add_data_arguments(parser)
    add_forward_arguments(parser)


def run(options: argparse.Namespace) -> None:
    from prunegrid.selection.sentences import scoring_sentences

    if (options.data is None) == (options.source is None):
        problem = "no data are given" if options.data is None else f"differs from {options.source}"
        raise PrunegridError("--data", problem, "give the data once: prunegrid score DATA ...")
    options.data = options.data or options.source
    meta = score(options, options.out)
    counts = read_json(options.out / layout.DATA_COUNTS)
    print(json.dumps(meta, indent=1) if options.json else "\n".join(scoring_sentences(meta, counts)))


def score(options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Score `options.data` as `add_scoring_arguments` says, into the folder `out`; return the meta."""
    import torch

    from prunegrid.experiment.training import Scoring
    from prunegrid.scoring.devices import device_kind
    from prunegrid.scoring.user_data import score_data

    torch.set_num_threads(options.threads)
    devices = options.devices.split(",") if options.devices else [options.device]
    dtype: Any = options.dtype or USUAL_DTYPE[device_kind(devices)]
    try:
        return score_data(
            options.model,
            partial(_write_data, *dataset_from(options)),
            out,
            Scoring(
                max_length=options.max_length,
                batch_tokens=options.batch_tokens,
                dtype=dtype,
                extra=[*dict.fromkeys(options.extra)],
            ),
            devices=devices,
            shards=options.shards,
            threads=options.threads,
            chat_template=options.chat_template,
            chat_template_kwargs=_template_kwargs(options.chat_template_kwargs),
        )
    except KeyboardInterrupt:
        raise PrunegridError(out, "interrupted", "run the same command again to resume") from None


def _write_data(dataset: Dataset, local: str | None, file: Path, counts: Path) -> None:
    """Write the training set, and say what was read before the pass begins."""
    from prunegrid.data.counts import intake_lines
    from prunegrid.data.datasets import write_dataset

    write_dataset(dataset, local, file, counts)
    print("\n".join(intake_lines(read_json(counts))), file=sys.stderr, flush=True)


def _template_kwargs(text: str | None) -> dict[str, Any]:
    """The object that `--chat-template-kwargs` gives as JSON."""
    try:
        values = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        raise PrunegridError("--chat-template-kwargs", f"is not JSON ({error})", "write an object") from None
    if not isinstance(values, dict):
        raise PrunegridError("--chat-template-kwargs", f"is {text}, not an object", 'write {"name": value}')
    return values
