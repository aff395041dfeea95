"""Score a training set under a model, once."""

import argparse
import json
from functools import partial
from pathlib import Path

from prunegrid.cli.arguments import add_data_arguments, add_forward_arguments, dataset_from, whole_number
from prunegrid.experiment.sections import USUAL_DTYPE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, help="folder with safetensors and tokenizer, or org/name[@revision]")
    parser.add_argument("--data", type=Path, required=True, help="JSONL or Parquet: prompt/response, messages, ...")
    parser.add_argument("--out", type=Path, required=True, help="scores directory to write (with data.parquet)")
    parser.add_argument("--max-length", type=whole_number(8), default=2048, help="cut-off, tokens of prompt + response")
    add_data_arguments(parser)
    devices = "a process for each: ids of GPUs (0,1), cpu, or cuda for a GPU that is free (default: --device)"
    shards = "parts that are stored as they are scored (default: of about a minute each)"
    parser.add_argument("--devices", type=lambda text: text.split(","), metavar="A,B", help=devices)
    parser.add_argument("--shards", type=whole_number(1), help=shards)
    parser.add_argument("--chat-template", metavar="X", help="replaces the model's own: Jinja, a file, or a name")
    parser.add_argument("--chat-template-kwargs", type=json.loads, metavar="JSON", help='{"enable_thinking": false}')
    add_forward_arguments(parser)


def run(options: argparse.Namespace) -> None:
    import torch

    from prunegrid.data.datasets import write_dataset
    from prunegrid.experiment.sections import Scoring
    from prunegrid.scoring.devices import device_kind
    from prunegrid.scoring.user_data import score_data

    torch.set_num_threads(options.threads)
    devices = options.devices or [options.device]
    dtype = options.dtype or USUAL_DTYPE[device_kind(devices)]
    meta = score_data(
        options.model,
        partial(write_dataset, dataset_from(options), str(options.data)),
        options.out,
        Scoring(max_length=options.max_length, batch_tokens=options.batch_tokens, dtype=dtype),
        devices=devices,
        shards=options.shards,
        threads=options.threads,
        chat_template=options.chat_template,
        chat_template_kwargs=options.chat_template_kwargs,
    )
    print(json.dumps(meta, indent=1))
