"""What optional scores are computed from."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunegrid.experiment.training import Scoring
from prunegrid.models import load_model, load_tokenizer
from prunegrid.scoring.nll import NllScorer
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.scored_tokenizer import special_ids, tokenizer_dir
from prunegrid.scoring.sequences import Sequences


@dataclass(frozen=True)
class ExtraInputs:
    """The scores, their sequences, and the model; `reference_dir` is set for those in `REFERENCE_EXTRAS` alone.

    `data` is the data set that was scored, if it is elsewhere than the scores say; `loaded` is the model, if it is
    loaded already, and `scored_alone` is `nll_alone`, if a pass has it; `query` is set for `QUERY_EXTRAS`.
    """

    scores: ScoresFolder
    sequences: Sequences
    model_dir: Path
    reference_dir: Path | None
    settings: Scoring
    device: str
    data: Path | None = None
    loaded: Any = None
    scored_alone: NDArray[np.float32] | None = None
    query: Path | None = None

    def load(self) -> Any:
        """The model: the one that is `loaded` already, or from its folder."""
        return self.loaded or load_model(self.model_dir, self.settings.dtype, self.device)

    @cached_property
    def nll_alone(self) -> NDArray[np.float32]:
        """NLL of the response tokens, in nats, where the response stands after one prefix token, not its prompt."""
        if self.scored_alone is not None:
            return self.scored_alone
        sequences = self.sequences.with_prompt(prefix_token(load_tokenizer(self.model_dir)))
        return NllScorer(self.load())(sequences, self.settings.batch_tokens, "responses alone")[0]["nll"]

    @property
    def data_file(self) -> Path:
        """The data set that was scored; a `PrunegridError` if it is not there."""
        return self.data or self.scores.data_file()

    @property
    def special_ids(self) -> list[int]:
        return special_ids(self.scores, self.model_dir)

    @property
    def tokenizer_dir(self) -> Path:
        return tokenizer_dir(self.scores, self.model_dir)


def prefix_token(tokenizer: Any) -> int:
    """The beginning of sequence, or the end of sequence where there is no beginning (lm-eval's prefix token)."""
    token: int = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    return token
