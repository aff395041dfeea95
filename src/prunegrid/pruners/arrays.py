"""What goes into a pruner (`Scores`, `Draw`) and what comes out (`Choice`, `SelectionArrays`): NumPy arrays, no files.

The static path reads `Scores` from a directory (`prunegrid.scoring.reader`), samples first and then tokens block by
block; a training loop builds them from a mini-batch.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from prunegrid.core import ragged, randomness
from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Bools, Floats, Ints
from prunegrid.pruners.named_columns import Columns, TokenColumns, missing_column


@dataclass(frozen=True)
class Turns:
    """The answers of samples, one after another: sample i has those from `offsets[i]` up to `offsets[i + 1]`.

    A sample has several if it is a conversation (`unit: conversation`).
    """

    offsets: Ints
    sample_id: Ints
    response_tokens: Ints
    truncated: Bools

    def take(self, rows: Ints) -> "Turns":
        """The answers of the samples `rows`, in that order."""
        flat = ragged.flat_indices(self.offsets, rows)
        offsets = ragged.offsets_from_lengths(np.diff(self.offsets)[rows])
        return Turns(offsets, self.sample_id[flat], self.response_tokens[flat], self.truncated[flat])

    @property
    def ends(self) -> Ints:
        """Where among all tokens [T] each answer ends; one that was cut off has no end."""
        ends: Ints = (np.cumsum(self.response_tokens) - 1)[~self.truncated]
        return ends

    @property
    def end_counts(self) -> Ints:
        """How many answers of each sample [n] have an end."""
        return ragged.segment_sums(~self.truncated, self.offsets)


@dataclass(frozen=True)
class Scores:
    """Statistics of n samples with T response tokens in all; nats, perplexities and attention means.

    `samples` holds per-sample columns [n] (`nll`, `ppl`, `entropy`, extras) and vectors float16[n, D], `tokens` flat
    per-token columns [T] (`nll`, `entropy`, `fastv`, `sparsevlm`, extras) that `offsets` [n+1] divide. A column that no
    pruner reads may be missing. `turns`, if given, are the answers of samples that are conversations.
    `blocks()`, if given, are the same samples with their tokens again, block by block in the order of a file: for joint
    pruners, which must see all tokens to choose samples.
    """

    sample_id: Ints
    response_tokens: Ints
    truncated: Bools
    offsets: Ints
    samples: dict[str, Floats] = field(default_factory=dict)
    tokens: dict[str, NDArray[np.floating[Any]]] = field(default_factory=dict)
    prompt_tokens: Ints | None = None
    turns: Turns | None = None
    blocks: "Callable[[], Iterable[Scores]] | None" = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "samples", Columns(self.samples))
        object.__setattr__(self, "tokens", TokenColumns(self.tokens))

    def __len__(self) -> int:
        return len(self.sample_id)

    def take(self, rows: Ints) -> "Scores":
        """The samples `rows`, in that order, with their tokens."""
        flat = ragged.flat_indices(self.offsets, rows) if self.tokens else None
        return replace(
            self,
            sample_id=self.sample_id[rows],
            response_tokens=self.response_tokens[rows],
            truncated=self.truncated[rows],
            offsets=ragged.offsets_from_lengths(self.response_tokens[rows]),
            samples={name: column[rows] for name, column in self.samples.items()},
            tokens={name: column[flat] for name, column in self.tokens.items()},
            prompt_tokens=None if self.prompt_tokens is None else self.prompt_tokens[rows],
            turns=None if self.turns is None else self.turns.take(rows),
            blocks=None,
        )

    def rows_of_blocks(self) -> "Iterator[tuple[Ints, Scores]]":
        """Blocks of these samples with their tokens, each with the rows here of its samples; ordered by `sample_id`."""
        for block in self.blocks() if self.blocks else [self]:
            rows = np.searchsorted(self.sample_id, block.sample_id)
            yield rows, block

    @property
    def answers(self) -> Turns:
        """The answers of the samples: one each, unless they are conversations."""
        return self.turns or Turns(np.arange(len(self) + 1), self.sample_id, self.response_tokens, self.truncated)

    @property
    def least_tokens(self) -> Ints | int:
        """How many tokens of each sample [n] are kept at least: the ends of all its answers, and one token."""
        return 1 if self.turns is None else np.maximum(1, self.turns.end_counts)

    @property
    def is_ordered(self) -> bool:
        return bool(np.all(self.sample_id[1:] >= self.sample_id[:-1]))

    def ordered(self) -> "Scores":
        """Rows in order of `sample_id`, so that nothing downstream depends on the order they came in."""
        if self.is_ordered:
            return self
        return replace(self.take(np.argsort(self.sample_id, kind="stable")), blocks=self.blocks)

    def token(self, column: str) -> Floats:
        """A token column [T] in float64."""
        return self.tokens[column].astype(np.float64)

    def require(self, kind: str, names: tuple[str, ...], pruner: str) -> None:
        """Refuse a missing column of this `kind` (sample or token) and a value that is not finite."""
        columns: dict[str, Any] = self.samples if kind == "sample" else self.tokens
        for name in names:
            if name not in columns:
                raise missing_column("the scores", kind, name, pruner, sorted(columns))
            self._require_finite(kind, name, columns[name])

    def _require_finite(self, kind: str, name: str, values: NDArray[np.floating[Any]]) -> None:
        if not (bad := ragged.first_infinite(values)):
            return
        row = bad[0] if kind == "sample" else np.searchsorted(self.offsets, bad[0], side="right") - 1
        position = "" if kind == "sample" else f" at position {bad[0] - self.offsets[row]}"
        problem = f"is {values[bad]} for sample_id {self.sample_id[row]}{position}"
        fix = "score again in float32, or leave the sample out of the data"
        raise PrunegridError(f"{kind} column {name}", problem, fix)


@dataclass(frozen=True)
class Draw:
    """A random pruner's numbers: hashes of (seed, purpose, epoch, step, sample_id, position).

    `cell_seed` is the seed that a user gives (`prunegrid prune --seed`), so the same seed means the same selection
    everywhere. `progress` is the share of training that is done: 0 where the data is pruned once, before it.
    `sample_ratio` is the share of samples that a pair keeps.
    """

    cell_seed: int
    epoch: int = 0
    step: int = 0
    progress: float = 0.0
    sample_ratio: float = 1.0

    @property
    def seed(self) -> int:
        """The seed of pruning, which is derived from the cell's and independent of those of training and data."""
        return randomness.derive_seed(self.cell_seed, "pruning")

    def samples(self, scores: Scores) -> Floats:
        """A number [n] for each sample."""
        return randomness.uniform(self.seed, "samples", scores.sample_id, epoch=self.epoch, step=self.step)

    def tokens(self, scores: Scores) -> Floats:
        """A number [T] for each response token."""
        return self._tokens(scores, scores.offsets, 0)

    def prompt_tokens(self, scores: Scores) -> Floats:
        """A number [P] for each candidate of the prompts, in the places before the response: -P up to -1."""
        offsets = ragged.offsets_from_lengths(scores.samples["prompt_candidates"].astype(np.int64))
        return self._tokens(scores, offsets, -np.diff(offsets))

    def _tokens(self, scores: Scores, offsets: Ints, first: Ints | int) -> Floats:
        """A number for each token of segments that begin at the positions `first`."""
        lengths = np.diff(offsets)
        positions = ragged.positions(offsets) + np.repeat(np.broadcast_to(first, lengths.shape), lengths)
        ids = np.repeat(scores.sample_id, lengths)
        return randomness.uniform(self.seed, "tokens", ids, positions, epoch=self.epoch, step=self.step)


Rank = Callable[[Scores], Floats]
EndToken = Literal["keep", "compete", "drop"]


@dataclass(frozen=True)
class KeptSamples:
    """For m kept samples the loss weight, Q-Tuning's quadrant, the reason they are kept, and the token rule."""

    weight: NDArray[np.float32]
    quadrant: NDArray[np.int8]
    reason: NDArray[np.str_]
    treated_as: NDArray[np.int8]

    @classmethod
    def uniform(cls, reason: str, m: int) -> "KeptSamples":
        """m samples of one reason, of weight 1 and of no quadrant."""
        zeros = np.zeros(m, np.int8)
        return cls(np.ones(m, np.float32), zeros, np.broadcast_to(np.str_(reason), m), zeros)  # no memory for reasons

    def take(self, rows: Any) -> "KeptSamples":
        return KeptSamples(*(getattr(self, column.name)[rows] for column in fields(self)))


@dataclass(frozen=True)
class Ranking:
    """What a sample pruner may return in place of a key: the `key` [n], with weights and a number of its own.

    `weight` [n] is what each sample weighs in the loss, if it is kept. `count` samples are kept, whatever the ratio.
    `details` are additions to `selection.json`."""

    key: Floats
    weight: Floats | None = None
    count: int | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """The samples to keep, before their tokens are chosen: m `rows` of the scores, ascending.

    Of each, the `k` [m] tokens of largest key will be kept; `rank(block)` gives the keys [T] of any block of kept
    samples. Samples of the same `pool` [m], a number from 0, share the sum of their k: their tokens compete, and a
    sample keeps at least `least` (0 or 1); -1 means the sample's own k. `end_token` says what happens to the end of an
    answer: it is kept and counts in k, competes as any token does, or is dropped; k is cut to what is left. If
    `prompt_rank(block)` gives keys of the prompts' candidates, flat, as many a sample as the column
    `prompt_candidates` says, they compete too, and count in k. `details` are additions to `selection.json`.
    """

    rows: Ints
    k: Ints
    rank: Rank
    samples: KeptSamples
    pool: Ints | None = None
    least: int = 1
    end_token: EndToken = "keep"
    prompt_rank: Rank | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, order: Ints) -> "Choice":
        """The same samples in another order."""
        pool = None if self.pool is None else self.pool[order]
        return replace(self, rows=self.rows[order], k=self.k[order], samples=self.samples.take(order), pool=pool)


@dataclass(frozen=True)
class SelectionArrays:
    """What is kept: m samples in order of `sample_id`; of each, ascending positions within the response.

    `positions` holds those of all samples one after another, divided by `offsets` [m+1]; a sample may have none.
    `turns`, if given, are the answers of the samples that positions refer to, one after another. `prompt_kept` [m] is
    how many of the prompt's tokens were chosen, where they compete: they use up the budget and train nothing.
    """

    sample_id: Ints
    weight: NDArray[np.float32]
    offsets: Ints
    positions: NDArray[np.int32]
    quadrant: NDArray[np.int8]
    reason: NDArray[np.str_]
    treated_as: NDArray[np.int8]
    details: dict[str, Any] = field(default_factory=dict)
    turns: Turns | None = None
    prompt_kept: Ints | None = None

    def __len__(self) -> int:
        return len(self.sample_id)

    def kept_positions(self, row: int) -> NDArray[np.int32]:
        """Kept positions of one sample."""
        return self.positions[self.offsets[row] : self.offsets[row + 1]]
