"""The tokenizer that scores were made with, without the model: `plan` reads it, and loads no torch."""

from pathlib import Path

from prunegrid.experiment import layout
from prunegrid.models import load_tokenizer
from prunegrid.scoring.reader import ScoresFolder


def special_ids(scores: ScoresFolder, model_dir: Path) -> list[int]:
    """The tokenizer's `all_special_ids`."""
    ids: list[int] = load_tokenizer(tokenizer_dir(scores, model_dir)).all_special_ids
    return ids


def tokenizer_dir(scores: ScoresFolder, model_dir: Path) -> Path:
    """The folder of the scores' own tokenizer, if they have one; else the model's."""
    own = scores.path / layout.TOKENIZER
    return own if own.is_dir() else model_dir
