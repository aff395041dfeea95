"""The kept samples of a selection as a trainer takes them: ids and labels, in the order of the scores.

Only a block of about `BLOCK_TOKENS` tokens is in memory at a time, besides a few numbers for each sample.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import parquet_schema, read_parquet, stream_parquet
from prunegrid.core.parts import find_table, read_parts, stream_parts
from prunegrid.core.randomness import uniform
from prunegrid.experiment import layout
from prunegrid.exporters.blocks import Block, KeptRow, heads, other_samples, read_sequences
from prunegrid.exporters.origin import find_scores, read_summary
from prunegrid.models import load_tokenizer
from prunegrid.selection.examples import Example

BLOCK_TOKENS = 2**20
FACTS = ("sample_id", "prompt_tokens", "response_tokens", "truncated")
PLACES = ("row", "turn", "continues")


@dataclass
class Totals:
    """What has been read so far: `longest` in tokens, `begun` rows that start with a beginning of sequence."""

    rows: int = 0
    tokens: int = 0
    labels: int = 0
    longest: int = 0
    begun: int = 0

    def counts(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in ("rows", "tokens", "labels", "longest")}

    def count(self, example: Example, bos: int | None) -> None:
        self.rows += 1
        self.tokens += len(example.ids)
        self.labels += example.trainable
        self.longest = max(self.longest, len(example.ids))
        self.begun += example.ids[0] == bos


class KeptRows:
    """Iterates over the rows of a selection folder, and counts them and what it leaves out.

    `scores` replaces the scores folder that the selection names. With `resample` a sample of weight w stands in
    floor(w + u) rows, u a draw in [0, 1) by `sample_id` and the selection's seed: w rows on average. Without it, a
    weight other than 1 is refused, because no trainer reads it.
    """

    def __init__(
        self, folder: Path, scores: Path | None = None, *, removal: str = "mask", resample: bool = False
    ) -> None:
        self.folder, self.removal, self.resample = folder, removal, resample
        self.selection = find_table(folder / layout.SELECTION)
        self.summary = read_summary(folder)
        self.scores = find_scores(folder, self.summary, scores)
        self.left_out, self.totals, self.reason = Counter({"no_label": 0}), Totals(), ""

    def __iter__(self) -> Iterator[KeptRow]:
        self.left_out, self.totals = Counter({"no_label": 0}), Totals()
        for block in self._blocks():
            for row in block.rows(self.removal):
                yield from self._counted(row)
        if not self.totals.rows:
            raise PrunegridError(self.selection, f"gives no row ({dict(self.left_out)} left out)", "prune again")

    def _counted(self, row: KeptRow) -> Iterator[KeptRow]:
        """The row as often as it stands in the export: once, without resampling."""
        self.left_out["no_label"] += sum(not answer.kept for answer in row.answers)
        if not row.example.trainable:
            return
        self._check_start(row.example)
        copies = self._copies(row.example)
        if not copies:
            self.left_out["not_drawn"] += 1
        row = row._replace(example=row.example._replace(weight=1.0))
        for _ in range(copies):
            self.reason = ""
            yield row
            if self.reason:
                self.left_out[self.reason] += len(row.answers)
            else:
                self.totals.count(row.example, self.bos)

    def leave_out(self, reason: str) -> None:
        """Count the current row as left out: whoever iterates cannot write it."""
        self.reason = reason

    def _copies(self, example: Example) -> int:
        if example.weights is not None:
            problem = f"sample_id {example.sample_id} begins a conversation whose answers differ in weight"
            raise PrunegridError(self.selection, problem, "score with turns: each, a row an answer")
        if example.weight == 1:
            return 1
        if not self.resample:
            problem = f"sample_id {example.sample_id} has the weight {example.weight:g}, which no trainer reads"
            raise PrunegridError(self.selection, problem, "draw rows in proportion to their weights with --resample")
        draw = uniform(self.summary.seeds.get("pruning", 0), "resample", example.sample_id)
        return int(np.floor(example.weight + draw))

    def _check_start(self, example: Example) -> None:
        """A trainer predicts a token from those before it; a beginning of sequence that stands twice is an error."""
        if example.labels[0] != -100:
            problem = f"sample_id {example.sample_id} learns its first token, which follows nothing"
            raise PrunegridError(self.scores.path, problem, "score again")
        if self.bos is not None and example.ids[:2] == [self.bos, self.bos]:
            problem = f"sample_id {example.sample_id} begins with two beginnings of sequence (token {self.bos})"
            raise PrunegridError(self.scores.path, problem, "leave it out of the chat template, and score again")

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer that was scored with; older folders of scores have none."""
        try:
            folder = self.scores.tokenizer_dir()
        except PrunegridError:
            return None
        return load_tokenizer(folder)

    @property
    def model(self) -> str:
        """The folder of the model that was scored, or MODEL where only its tokenizer is beside the scores."""
        folder = None if self.tokenizer is None else self.scores.tokenizer_dir()
        return str(folder.absolute()) if folder and any(folder.glob("*.safetensors")) else "MODEL"

    @cached_property
    def bos(self) -> int | None:
        """The id of the tokenizer's beginning of sequence, if it has one."""
        identifier: int | None = self.tokenizer and self.tokenizer.bos_token_id
        return identifier

    def beginning(self) -> str:
        """How the rows begin, in words."""
        if self.tokenizer is None:
            return "not checked: the scores have no tokenizer"
        if self.bos is None:
            return "none: the tokenizer has no beginning of sequence"
        return f"one beginning of sequence (token {self.bos}) in {self.totals.begun} of {self.totals.rows} rows"

    @cached_property
    def facts(self) -> pa.Table:
        """Of all scored samples: ids, lengths, and places in the source where the scores have them."""
        path = self.scores.tables["sample"]
        names = parquet_schema(path).names
        return read_parquet(path, [*FACTS, *(name for name in PLACES if name in names)])

    @cached_property
    def chosen_N(self) -> NDArray[np.int64]:
        """int64[N]: which row of the selection each scored sample is, or -1."""
        ids = read_parts(self.selection, ["sample_id"])["sample_id"].to_numpy()
        if np.any(np.diff(ids) <= 0):
            raise PrunegridError(self.selection, "its sample_id do not ascend", "prune again")
        sample_id_N = self.facts["sample_id"].to_numpy()
        place_N = np.minimum(np.searchsorted(ids, sample_id_N), max(len(ids) - 1, 0))
        chosen_N = np.where(ids[place_N] == sample_id_N, place_N, -1) if len(ids) else np.full(len(sample_id_N), -1)
        if (count := int((chosen_N >= 0).sum())) != len(ids):
            raise PrunegridError(self.selection, f"the scores hold {count} of its {len(ids)} samples", "prune again")
        return chosen_N

    def _blocks(self) -> Iterator[Block]:
        facts, chosen_N = self.facts, self.chosen_N
        length_N = facts["prompt_tokens"].to_numpy().astype(np.int64) + facts["response_tokens"].to_numpy()
        block_N = (np.cumsum(length_N) // BLOCK_TOKENS)[heads(facts)]  # a conversation is in one block
        sizes: list[int] = np.unique(block_N, return_counts=True)[1].tolist()
        counts = [int((part >= 0).sum()) for part in np.split(chosen_N, np.cumsum(sizes)[:-1])]
        path = self.scores.tables["token"]
        pieces = stream_parquet(path, ["sample_id", "prompt_ids", "response_ids"], sizes)
        start = 0
        for size, kept in zip(sizes, self._kept(counts), strict=False):
            part = facts.slice(start, size)
            block = Block(
                part, read_sequences(path, part, next(pieces, None)), chosen_N[start : start + size] >= 0, kept
            )
            block.check_positions(self.selection, self.summary.options.get("end_token", "keep") == "keep")
            yield block
            start += size
        if next(pieces, None) is not None:
            raise other_samples(path)

    def _kept(self, counts: list[int]) -> Iterator[pa.Table]:
        """The selection's rows in pieces of `counts`, in the order of the scores."""
        columns, order = ["kept", "weight"], self.chosen_N[self.chosen_N >= 0]
        if np.all(np.diff(order) > 0):
            return stream_parts(self.selection, columns, counts)
        table = read_parts(self.selection, columns).take(order)
        return (table.slice(end - count, count) for end, count in zip(np.cumsum(counts).tolist(), counts, strict=True))
