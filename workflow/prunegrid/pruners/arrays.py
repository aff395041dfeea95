"""What goes into a pruner (`Scores`, `Draw`) and what comes out (`Selection`): numpy arrays, no files.

The static path reads `Scores` from a directory (`prunegrid.scores`); a training loop builds them from a
mini-batch.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunegrid import draws
from prunegrid.errors import PrunegridError
from prunegrid.pruners import ragged
from prunegrid.pruners.ragged import Bools, Floats, Ints


@dataclass(frozen=True)
class Scores:
    """Statistics of n samples with T response tokens in all; nats, perplexities and attention means.

    `samples` holds per-sample columns [n] (`nll`, `ppl`, `entropy`), `tokens` flat per-token columns [T]
    (`nll`, `entropy`, `fastv`, `sparsevlm`, extras) that `offsets` [n+1] divide. A column that no pruner
    reads may be missing.
    """

    sample_id: Ints
    response_tokens: Ints
    truncated: Bools
    offsets: Ints
    samples: dict[str, Floats] = field(default_factory=dict)
    tokens: dict[str, NDArray[np.floating[Any]]] = field(default_factory=dict)
    prompt_tokens: Ints | None = None

    def __len__(self) -> int:
        return len(self.sample_id)

    def take(self, rows: Ints) -> "Scores":
        """The samples `rows`, in that order, with their tokens."""
        flat = ragged.flat_rows(self.offsets, rows)
        return replace(
            self,
            sample_id=self.sample_id[rows],
            response_tokens=self.response_tokens[rows],
            truncated=self.truncated[rows],
            offsets=ragged.offsets_of(self.response_tokens[rows]),
            samples={name: column[rows] for name, column in self.samples.items()},
            tokens={name: column[flat] for name, column in self.tokens.items()},
            prompt_tokens=None if self.prompt_tokens is None else self.prompt_tokens[rows],
        )

    def ordered(self) -> "Scores":
        """Rows in order of `sample_id`, so that nothing downstream depends on the order they came in."""
        if np.all(np.diff(self.sample_id) >= 0):
            return self
        return self.take(np.argsort(self.sample_id, kind="stable"))

    def token(self, column: str) -> Floats:
        """A token column [T] in float64."""
        return self.tokens[column].astype(np.float64)

    def require(self, sample_columns: tuple[str, ...], token_columns: tuple[str, ...], pruner: str) -> None:
        """Refuse a missing column and a value that is not finite."""
        for kind, names, columns in (
            ("sample", sample_columns, self.samples),
            ("token", token_columns, self.tokens),
        ):
            for name in names:
                if name not in columns:
                    raise PrunegridError(missing(kind, name, pruner, sorted(columns)))
                self._require_finite(kind, name, columns[name])

    def _require_finite(self, kind: str, name: str, values: NDArray[np.floating[Any]]) -> None:
        bad = np.flatnonzero(~np.isfinite(values))
        if not len(bad):
            return
        row = bad[0] if kind == "sample" else np.searchsorted(self.offsets, bad[0], side="right") - 1
        where = "" if kind == "sample" else f" at position {bad[0] - self.offsets[row]}"
        raise PrunegridError(
            f"{kind} column {name} of sample_id {self.sample_id[row]} is {values[bad[0]]}{where} "
            f"({len(bad)} such values); score it again in float32, or leave the sample out of the data"
        )


def missing(kind: str, column: str, pruner: str, found: list[str]) -> str:
    return (
        f"{pruner} needs the {kind} column {column}, which the scores lack "
        f"(found: {', '.join(found) or 'none'}); "
        f"score with it, add extra/{column}.parquet, or choose another pruner"
    )


@dataclass(frozen=True)
class Draw:
    """A random pruner's numbers: hashes of (seed, purpose, epoch, step, sample_id, position)."""

    seed: int
    epoch: int = 0
    step: int = 0

    def samples(self, scores: Scores) -> Floats:
        """One draw [n] a sample."""
        return draws.uniform(self.seed, "samples", scores.sample_id, epoch=self.epoch, step=self.step)

    def tokens(self, scores: Scores) -> Floats:
        """One draw [T] a response token."""
        ids, place = np.repeat(scores.sample_id, scores.response_tokens), ragged.positions(scores.offsets)
        return draws.uniform(self.seed, "tokens", ids, place, epoch=self.epoch, step=self.step)


@dataclass(frozen=True)
class Selection:
    """What is kept: m samples in order of `sample_id`, and K positions within their responses, ascending.

    `details` is what a joint pruner has to say for `selection.json` (thresholds, counts over all samples).
    """

    sample_id: Ints
    weight: NDArray[np.float32]
    offsets: Ints
    positions: NDArray[np.int32]
    quadrant: NDArray[np.int8]
    reason: NDArray[np.str_]
    treated_as: NDArray[np.int8]
    details: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sample_id)

    def kept(self, row: int) -> NDArray[np.int32]:
        """Kept positions of one sample."""
        return self.positions[self.offsets[row] : self.offsets[row + 1]]


def keep_tokens(scores: Scores, key: Floats, k: Ints) -> Bools:
    """Mark [T] the `k[n]` tokens of largest key, the end of the sequence first and counted among them."""
    key = key.copy()
    key[scores.offsets[1:][~scores.truncated] - 1] = np.inf
    return ragged.top(key, scores.offsets, k)


def selection(
    scores: Scores,
    kept: Bools,
    reason: NDArray[np.str_],
    quadrant: NDArray[np.int8] | None = None,
    treated_as: NDArray[np.int8] | None = None,
    details: dict[str, Any] | None = None,
) -> Selection:
    """The selection of the kept samples' `scores` [m] and their token mask `kept` [T]."""
    none = np.zeros(len(scores), np.int8)
    sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept, dtype=np.int64)])
    return Selection(
        sample_id=scores.sample_id,
        weight=np.ones(len(scores), np.float32),
        offsets=sums[scores.offsets],
        positions=ragged.positions(scores.offsets)[kept].astype(np.int32),
        quadrant=none if quadrant is None else quadrant,
        reason=reason,
        treated_as=none if treated_as is None else treated_as,
        details=details or {},
    )
