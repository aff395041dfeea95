"""What optional scores are computed from."""

from dataclasses import dataclass
from pathlib import Path

from prunegrid.experiment import layout
from prunegrid.experiment.training import Scoring
from prunegrid.models import load_tokenizer
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.sequences import Sequences


@dataclass(frozen=True)
class ExtraInputs:
    """The scores, their sequences, and the model; `reference_dir` is set for those in `REFERENCE_EXTRAS` alone.

    `data` is the data set that was scored, if it is elsewhere than the scores say.
    """

    scores: ScoresFolder
    sequences: Sequences
    model_dir: Path
    reference_dir: Path | None
    settings: Scoring
    device: str
    data: Path | None = None

    @property
    def data_file(self) -> Path:
        """The data set that was scored; a `PrunegridError` if it is not there."""
        return self.data or self.scores.data_file()

    @property
    def special_ids(self) -> list[int]:
        return special_ids(self.scores, self.model_dir)


def special_ids(scores: ScoresFolder, model_dir: Path) -> list[int]:
    """The tokenizer's `all_special_ids`; scores with a tokenizer of their own have theirs."""
    own = scores.path / layout.TOKENIZER
    ids: list[int] = load_tokenizer(own if own.is_dir() else model_dir).all_special_ids
    return ids
