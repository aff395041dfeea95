"""Selections that are compared: what they keep, and what there was to choose from."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import NamedTuple

import numpy as np

from prunegrid.core.errors import PrunegridError
from prunegrid.core.parts import find_table, read_parts
from prunegrid.core.ragged import Bools, Ints
from prunegrid.experiment import layout
from prunegrid.scoring.reader import ScoresFolder, check_digests
from prunegrid.selection.summary import SelectionSummary, prune_again

FIX = "compare selections of the same scores, or of the same data under models of one tokenizer"


class Answers(NamedTuple):
    """The answers that there are to choose from: their ids, ascending, response tokens, and which have no end."""

    sample_id: Ints
    response_tokens: Ints
    truncated: Bools


@dataclass(frozen=True)
class KeptAnswers:
    """A selection that is compared: its folder, its summary, the ids that it keeps, and what it chose from."""

    folder: Path
    summary: SelectionSummary
    sample_id: Ints
    answers: Answers | None

    @property
    def file(self) -> Path:
        return find_table(self.folder / layout.SELECTION)

    @property
    def n_answers(self) -> float:
        """How many answers there were; NaN if unknown."""
        if self.answers is not None:
            return len(self.answers.sample_id)
        return self.summary.n_samples if self.summary.unit == "turn" else nan

    @property
    def keeps_ends(self) -> bool:
        return bool(self.summary.options.get("end_token", "keep") == "keep")

    @property
    def text_digests(self) -> tuple[str | None, ...]:
        """What decides which tokens an answer has."""
        return tuple(self.summary.digests.get(name) for name in ("tokenizer", "template"))

    @property
    def mean_length(self) -> float:
        """Response tokens of a kept answer."""
        return self.summary.kept_tokens / (self.summary.realised_token_ratio or 1) / max(1, len(self.sample_id))


def read_selections(folders: Sequence[Path]) -> list[KeptAnswers]:
    """The selections in these folders; refused unless all are of the same data."""
    selections, known = [], dict[Path, Answers | None]()
    for folder in folders:
        summary = SelectionSummary.read(folder / layout.SUMMARY)
        scores = (folder / summary.scores).resolve() if summary.scores else None
        if scores and scores not in known:
            known[scores] = _read_answers(scores)
        ids = read_parts(find_table(folder / layout.SELECTION), ["sample_id"])["sample_id"].to_numpy()
        if np.any(np.diff(ids) <= 0):
            fix = prune_again(folder / layout.SUMMARY)
            raise PrunegridError(folder / layout.SELECTION, "is not in order of sample_id", fix)
        selections.append(KeptAnswers(folder, summary, ids, known.get(scores) if scores else None))
    for selection in selections[1:]:
        _check_same_data(selections[0], selection)
    return selections


def _read_answers(scores: Path) -> Answers | None:
    """Those of a folder of scores; None if it is not there."""
    if not (scores / layout.SAMPLES).exists():
        return None
    samples = ScoresFolder(scores).read_samples().ordered()
    return Answers(samples.sample_id, samples.response_tokens, samples.truncated)


def _check_same_data(first: KeptAnswers, second: KeptAnswers) -> None:
    expected = {name: digest for name, digest in first.summary.digests.items() if name == "data"}
    check_digests(second.folder, second.summary.digests, expected, FIX)
    same_tokens = first.text_digests == second.text_digests and first.summary.unit == second.summary.unit
    if same_tokens and first.summary.n_samples != second.summary.n_samples:
        problem = f"is a selection of {second.summary.n_samples} samples, and {first.folder} is one of"
        raise PrunegridError(second.folder, f"{problem} {first.summary.n_samples}", FIX)
