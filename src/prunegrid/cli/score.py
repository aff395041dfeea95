"""Score a training set under a model, once."""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from prunegrid.cli.arguments import add_data_arguments, add_forward_arguments, dataset_from, dtype, whole_number
from prunegrid.core.errors import PrunegridError
from prunegrid.core.gpus import use_device
from prunegrid.experiment import layout

DATA_FILES = (layout.DATA, layout.DATA_COUNTS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, help="folder with safetensors, tokenizer, chat template")
    parser.add_argument("--data", type=Path, required=True, help="JSONL or Parquet: prompt/response, messages, ...")
    parser.add_argument("--out", type=Path, required=True, help="scores directory to write (with data.parquet)")
    parser.add_argument("--max-length", type=whole_number(8), default=2048, help="cut-off, tokens of prompt + response")
    add_data_arguments(parser)
    add_forward_arguments(parser)


def run(options: argparse.Namespace) -> None:
    import torch

    from prunegrid.core.files import replacing
    from prunegrid.data.datasets import write_dataset
    from prunegrid.experiment.sections import Scoring
    from prunegrid.models import load_tokenizer
    from prunegrid.models.folder import config_file
    from prunegrid.scoring.score import score

    _refuse_to_replace(options.out)
    torch.set_num_threads(options.threads)
    settings = Scoring(max_length=options.max_length, batch_tokens=options.batch_tokens, dtype=dtype(options))
    dataset = dataset_from(options)
    with use_device(options.device), tempfile.TemporaryDirectory() as work:
        data, counts = (Path(work, name) for name in DATA_FILES)
        write_dataset(dataset, str(options.data), data, counts)
        meta = score(options.model, data, options.out, settings, options.device)
        for name in DATA_FILES:
            with replacing(options.out / name) as temporary:
                shutil.copyfile(Path(work, name), temporary)
        with replacing(options.out / layout.TOKENIZER) as temporary:
            load_tokenizer(options.model).save_pretrained(temporary)
            shutil.copyfile(config_file(options.model), temporary / "config.json")  # says which tokenizer class it is
    print(json.dumps(meta, indent=1))


def _refuse_to_replace(out: Path) -> None:
    """Refuse a folder that is not a scores directory, and one whose extra scores would no longer match."""
    if (out / layout.EXTRA).is_dir():
        problem = "extra/ holds optional scores of the scores that would be replaced"
        raise PrunegridError(out, problem, "remove it, or give another --out")
    names = {layout.SAMPLES, layout.TOKENS, layout.META, layout.TOKENIZER, *DATA_FILES}
    foreign = sorted({file.name for file in out.iterdir()} - names) if out.is_dir() else []
    if foreign or out.is_file():
        problem = f"would be replaced, but is not a scores directory ({', '.join(foreign[:3]) or 'a file'})"
        raise PrunegridError(out, problem, "give another --out")
