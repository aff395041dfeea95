"""Scores in memory in the place of a folder: for tests, and for pruners that are being written."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from prunegrid.core.columns import Stretch
from prunegrid.core.errors import PrunegridError
from prunegrid.pruners import Needs, Scores


class ScoresInMemory:
    """What `prune` asks of a scores folder, of `scores` that have no file, no digests and no optional scores."""

    path = Path("the scores")

    def __init__(self, scores: Scores) -> None:
        self.scores = scores
        self.digests: dict[str, str] = {}

    def check_digests(self, expected: Mapping[str, str]) -> None:
        """Nothing to check: scores in memory do not say what they were made from."""

    def extra_digests(self, needs: Needs) -> dict[str, dict[str, str]]:
        return {}

    def check_files(self, needs: Needs) -> dict[Path, str]:
        """No file."""
        return {}

    def places(self, stretch: Stretch | None = None) -> None:
        """Nothing is known of a source."""

    def read_samples(self, needs: Needs, unit: str = "turn") -> Scores:
        if unit != "turn" and self.scores.turns is None:
            problem = "in memory do not say which answers are one conversation"
            raise PrunegridError(self.path, problem, "give a scores folder")
        return replace(self.scores, tokens={}, blocks=lambda: [self.scores])

    def token_blocks(self, samples: Scores, needs: Needs, stretch: Stretch | None = None) -> Iterator[Scores]:
        """One block: all scores."""
        yield self.scores
