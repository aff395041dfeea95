"""Score the shards of a pass that no other process scores: `python -m prunegrid.scoring.worker FOLDER DEVICE THREADS`.

`prunegrid score --devices 0,1` starts one for each device. It ends when all shards are scored, or with its parent.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch

from prunegrid.core.errors import PrunegridError
from prunegrid.core.gpus import use_device
from prunegrid.core.progress import Progress
from prunegrid.experiment import layout
from prunegrid.models import load_model, load_tokenizer
from prunegrid.pruners.columns import FORWARD_EXTRAS
from prunegrid.scoring.nll import NllScorer
from prunegrid.scoring.pass_folder import PassFolder
from prunegrid.scoring.score import Scorer


def score_shards(folder: PassFolder, device: str, progress: Progress | None = None, loaded: Any = None) -> Any:
    """Score shards until none is missing; without `progress`, each has a line of its own. Ends with the parent.

    Returns the model: the one that was `loaded` already, or that this loaded for a shard.
    """
    scorer, parent = None, os.getppid()
    name = "responses alone" if folder.is_alone else "scoring"
    for number in folder.claims():
        if os.getppid() != parent:
            return loaded
        title = name if len(folder.shards) == 1 else f"{name}, shard {number} of {len(folder.shards)}"
        if progress:
            progress.rename(title)
        loaded = loaded or load_model(Path(folder.plan["model"]), folder.settings.dtype, device)
        scorer = scorer or make_scorer(folder, loaded)
        rows, batch_tokens = folder.sequences.take(folder.shards[number - 1]), folder.settings.batch_tokens
        try:
            folder.add(number, *scorer(rows, batch_tokens, progress or title))
        except torch.OutOfMemoryError:
            problem = f"has no memory for a batch of {batch_tokens} tokens, or of the longest sample"
            fix = "give a smaller --batch-tokens or --max-length, or free the device"
            raise PrunegridError(f"device {device}", problem, fix) from None
    return loaded


def make_scorer(folder: PassFolder, model: Any) -> Scorer | NllScorer:
    """What scores the shards of the folder under `model`."""
    if folder.is_alone:
        return NllScorer(model)
    extra = [name for name in folder.settings.extra if name in FORWARD_EXTRAS]
    special_ids = load_tokenizer(folder.path / layout.TOKENIZER).all_special_ids if extra else ()
    return Scorer(model, extra, special_ids)


def main() -> None:
    path, device, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    try:
        with use_device(device):
            score_shards(PassFolder(Path(path)), device)
    except PrunegridError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
