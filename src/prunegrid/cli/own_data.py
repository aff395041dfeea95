"""The commands of `prunegrid` that run a step on your own model and data: score, extra, prune, merge."""

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.core.gpus import use_device
from prunegrid.experiment import layout
from prunegrid.experiment.sections import USUAL_DTYPE
from prunegrid.pruners.columns import EXTRAS


def score_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, help="folder with safetensors, tokenizer, chat template")
    parser.add_argument("--data", type=Path, required=True, help="JSONL or Parquet: prompt/response, messages, ...")
    parser.add_argument("--out", type=Path, required=True, help="scores directory to write (with data.parquet)")
    parser.add_argument("--max-length", type=_at_least(8), default=2048, help="cut-off of prompt + response, in tokens")
    _forward_arguments(parser)
    parser.set_defaults(run=_score)


def extra_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=list(EXTRAS), help="the score")
    parser.add_argument("--model", type=Path, required=True, help="the model that was scored with")
    parser.add_argument("--scores", type=Path, required=True, help="what `prunegrid score` wrote")
    parser.add_argument("--reference", type=Path, help="the reference model's folder, for reference_nll")
    _forward_arguments(parser)
    parser.set_defaults(run=_extra)


def _forward_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch-tokens", type=_at_least(8), default=4096, help="padded tokens a forward pass")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="default: bfloat16 on cuda, else float32")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=_at_least(1), default=os.cpu_count())


def prune_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scores", type=Path, required=True, help="what `prunegrid score` wrote")
    parser.add_argument(
        "--pair", required=True, help="sample+token pruner (random+ppl, my_module:mine+ppl), or qtuning"
    )
    parser.add_argument("--sample-ratio", type=float, required=True, help="fraction of samples to keep")
    parser.add_argument("--token-ratio", type=float, required=True, help="fraction of response tokens to keep")
    parser.add_argument("--seed", type=_at_least(0), default=0)
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of the pruner, repeatable")
    parser.add_argument("--match", type=Path, metavar="FILE", help="selection.json whose realised counts to keep")
    parser.add_argument("--model", type=Path, help="check that the scores belong to the model in this folder")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for selection.parquet and selection.json, which are replaced if there",
    )
    parser.set_defaults(run=_prune)


def merge_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--adapter", type=Path, required=True, help="folder of the adapter: trained/.../model")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.set_defaults(run=_merge)


def _merge(options: argparse.Namespace) -> None:
    from prunegrid.models import merge

    merge(options.model, options.adapter, options.out, options.dtype)
    print(options.out)


def _score(options: argparse.Namespace) -> None:
    import torch

    from prunegrid.core.files import replacing
    from prunegrid.data.datasets import write_dataset
    from prunegrid.experiment.sections import Dataset, Scoring
    from prunegrid.scoring.score import score

    _refuse_foreign(options.out)
    torch.set_num_threads(options.threads)
    settings = Scoring(max_length=options.max_length, batch_tokens=options.batch_tokens, dtype=_dtype(options))
    dataset = Dataset(name="data", path=str(options.data))
    with use_device(options.device), tempfile.TemporaryDirectory() as work:
        data = Path(work, "data.parquet")
        write_dataset(dataset, str(options.data), data, Path(work, "data.json"))
        meta = score(options.model, data, options.out, settings, options.device)
        for name in ("data.parquet", "data.json"):
            with replacing(options.out / name) as temporary:
                shutil.copyfile(Path(work, name), temporary)
    print(json.dumps(meta, indent=1))


def _extra(options: argparse.Namespace) -> None:
    import torch

    from prunegrid.experiment.sections import Scoring
    from prunegrid.scoring.extra import write_extra

    torch.set_num_threads(options.threads)
    settings = Scoring(batch_tokens=options.batch_tokens, dtype=_dtype(options))
    out = options.scores / layout.EXTRA / f"{options.name}.parquet"
    with use_device(options.device):
        write_extra(options.name, options.scores, options.model, out, settings, options.device, options.reference)
    print(out)


def _dtype(options: argparse.Namespace) -> Any:
    return options.dtype or USUAL_DTYPE[options.device]


def _refuse_foreign(out: Path) -> None:
    """Refuse a folder that holds anything but scores, and one whose extra scores would no longer belong to them."""
    ours = {layout.SAMPLES, layout.TOKENS, layout.META, "data.parquet", "data.json"}
    foreign = sorted(file.name for file in out.iterdir() if file.name not in ours) if out.is_dir() else []
    if (out / layout.EXTRA).is_dir():
        raise PrunegridError(
            f"{out}: extra/ holds scores that belong to those that would be replaced; remove it, or give another --out"
        )
    if foreign or out.is_file():
        raise PrunegridError(f"{out}: would be replaced, but is not a scores directory ({', '.join(foreign[:3])})")


def _at_least(least: int) -> Callable[[str], int]:
    def count(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is too small; give {least} or more")
        return int(text)

    return count


def _prune(options: argparse.Namespace) -> None:
    from prunegrid.models import describe
    from prunegrid.pruners import PruningSpec
    from prunegrid.selection.prune import prune

    if options.out.is_file():
        raise PrunegridError(f"{options.out}: is a file; --out is a folder")
    spec = PruningSpec(
        method=options.pair,
        options=dict(map(_option, options.option)),
        sample_ratio=options.sample_ratio,
        token_ratio=options.token_ratio,
    )
    summary = prune(
        options.scores,
        options.out,
        spec,
        options.seed,
        match=options.match / layout.SUMMARY if options.match and options.match.is_dir() else options.match,
        expected_digests=describe(options.model)["digests"] if options.model else None,
    )
    print(json.dumps(summary.model_dump(), indent=1))


def _option(text: str) -> tuple[str, Any]:
    """`neighbor_lambda=0` to a name and a value, which is JSON where it can be and text otherwise."""
    name, value = named_value(text, "--option", "neighbor_lambda=0")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def named_value(text: str, argument: str, example: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise PrunegridError(f"{argument} {text}: write NAME=VALUE, for example {example}")
    return name, value
