"""The kept samples of a selection as a trainer takes them: ids and labels, in the order of the scores.

Only a block of about `BLOCK_TOKENS` tokens is in memory at a time, besides a few numbers for each sample.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prunegrid.core import ragged
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import parquet_schema, read_parquet, stream_parquet
from prunegrid.core.randomness import uniform
from prunegrid.experiment import layout
from prunegrid.exporters.origin import find_scores, read_summary
from prunegrid.models import load_tokenizer
from prunegrid.scoring.sequences import Sequences
from prunegrid.selection.examples import Example, build_example

BLOCK_TOKENS = 2**20
FACTS = ("sample_id", "prompt_tokens", "response_tokens", "truncated")
PLACES = ("row", "turn")


class KeptAnswer(NamedTuple):
    """An answer that a row learns: its turn in the source, the positions that are kept of its `length` tokens."""

    sample_id: int
    turn: int | None
    kept: list[int]
    length: int
    truncated: bool


class KeptRow(NamedTuple):
    """A row of an export: a sample, or a conversation with its kept answers. `row` is its row in the source."""

    example: Example
    row: int | None
    answers: list[KeptAnswer]

    @property
    def is_whole(self) -> bool:
        """Whether every token of its answers is kept."""
        return all(len(answer.kept) == answer.length for answer in self.answers)


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
        self.selection = folder / layout.SELECTION
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
        if not row.example.trainable:
            self.left_out["no_label"] += 1
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
                self.left_out[self.reason] += 1
            else:
                self.totals.count(row.example, self.bos)

    def leave_out(self, reason: str) -> None:
        """Count the current row as left out: whoever iterates cannot write it."""
        self.reason = reason

    def _copies(self, example: Example) -> int:
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

    @cached_property
    def bos(self) -> int | None:
        """The id of the tokenizer's beginning of sequence, if it has one."""
        identifier: int | None = self.tokenizer and self.tokenizer.bos_token_id
        return identifier

    def beginning(self) -> str:
        """How the rows begin, in words."""
        if self.tokenizer is None:
            return "not checked: there is no tokenizer beside the scores"
        if self.bos is None:
            return "none: the tokenizer has no beginning of sequence"
        return f"one beginning of sequence (token {self.bos}) in {self.totals.begun} of {self.totals.rows} rows"

    @cached_property
    def facts(self) -> pa.Table:
        """Of all scored samples: ids, lengths, and places in the source where the scores have them."""
        path = self.scores.tables["sample"]
        names = parquet_schema(path).names
        if "continues" in names:
            problem = "holds conversations in one sequence, which this version does not export"
            raise PrunegridError(path, problem, "score with turns: each")
        return read_parquet(path, [*FACTS, *(name for name in PLACES if name in names)])

    @cached_property
    def chosen_N(self) -> NDArray[np.int64]:
        """int64[N]: which row of the selection each scored sample is, or -1."""
        ids = read_parquet(self.selection, ["sample_id"])["sample_id"].to_numpy()
        if np.any(np.diff(ids) <= 0):
            raise PrunegridError(self.selection, "its sample_id do not ascend", "prune again")
        sample_id_N = self.facts["sample_id"].to_numpy()
        place_N = np.minimum(np.searchsorted(ids, sample_id_N), max(len(ids) - 1, 0))
        chosen_N = np.where(ids[place_N] == sample_id_N, place_N, -1) if len(ids) else np.full(len(sample_id_N), -1)
        if (count := int((chosen_N >= 0).sum())) != len(ids):
            raise PrunegridError(self.selection, f"the scores hold {count} of its {len(ids)} samples", "prune again")
        return chosen_N

    def _blocks(self) -> Iterator["Block"]:
        facts, chosen_N = self.facts, self.chosen_N
        length_N = facts["prompt_tokens"].to_numpy().astype(np.int64) + facts["response_tokens"].to_numpy()
        sizes: list[int] = np.unique(np.cumsum(length_N) // BLOCK_TOKENS, return_counts=True)[1].tolist()
        counts = [int((part >= 0).sum()) for part in np.split(chosen_N, np.cumsum(sizes)[:-1])]
        pieces = stream_parquet(self.scores.tables["token"], ["sample_id", "prompt_ids", "response_ids"], sizes)
        start = 0
        for size, tokens, kept in zip(sizes, pieces, self._kept(counts), strict=True):
            yield Block(self, facts.slice(start, size), tokens, chosen_N[start : start + size] >= 0, kept)
            start += size

    def _kept(self, counts: list[int]) -> Iterator[pa.Table]:
        """The selection's rows in pieces of `counts`, in the order of the scores."""
        columns, order = ["kept", "weight"], self.chosen_N[self.chosen_N >= 0]
        if np.all(np.diff(order) > 0):
            return stream_parquet(self.selection, columns, counts)
        table = read_parquet(self.selection, columns).take(order)
        return (table.slice(end - count, count) for end, count in zip(np.cumsum(counts).tolist(), counts, strict=True))


class Block:
    """Consecutive scored samples with their ids, and what the selection keeps of them."""

    def __init__(
        self, source: KeptRows, facts: pa.Table, tokens: pa.Table, chosen_N: NDArray[np.bool_], kept: pa.Table
    ) -> None:
        self.facts, self.chosen_N = facts, chosen_N
        self.sequences = _sequences(source.scores.tables["token"], facts, tokens)
        lists = kept["kept"].combine_chunks()
        self.offsets = ragged.offsets_from_lengths(lists.value_lengths().to_numpy().astype(np.int64))
        self.positions = lists.flatten().to_numpy().astype(np.int64)
        self.weights: list[float] = kept["weight"].to_pylist()
        self._check_positions(source.selection)

    def _check_positions(self, path: Path) -> None:
        """Refuse positions that do not ascend or lie outside of the response, and one that loses its end."""
        chosen = np.flatnonzero(self.chosen_N)
        length, count = self.sequences.response_N[chosen], np.diff(self.offsets)
        sample = np.repeat(np.arange(len(chosen)), count)
        steps = np.diff(self.positions, prepend=-1)
        steps[self.offsets[:-1][count > 0]] = 1
        bad = (self.positions < 0) | (self.positions >= length[sample]) | (steps <= 0)
        last = np.full(len(chosen), -1)
        last[count > 0] = self.positions[self.offsets[1:][count > 0] - 1]
        endless = (count > 0) & (last != length - 1) & ~self.sequences.truncated_N[chosen]
        for rows, problem in (
            (sample[bad], "keeps positions that are not in the response, or not in order"),
            (np.flatnonzero(endless), "does not keep the end of its response"),
        ):
            if len(rows):
                sample_id = self.sequences.sample_id_N[chosen[rows[0]]]
                raise PrunegridError(path, f"sample_id {sample_id} {problem}", "prune again")

    def rows(self, removal: str) -> Iterator[KeptRow]:
        places: dict[str, list[Any]] = {name: self._place(name) for name in PLACES}
        for number, i in enumerate(np.flatnonzero(self.chosen_N).tolist()):
            prompt, response = self.sequences.ids(i)
            kept: list[int] = self.positions[self.offsets[number] : self.offsets[number + 1]].tolist()
            sample_id, truncated = int(self.sequences.sample_id_N[i]), bool(self.sequences.truncated_N[i])
            example = build_example(sample_id, prompt, response, kept, self.weights[number], removal)
            answer = KeptAnswer(sample_id, places["turn"][i], kept, len(response), truncated)
            yield KeptRow(example, places["row"][i], [answer])

    def _place(self, name: str) -> list[Any]:
        return self.facts[name].to_pylist() if name in self.facts.column_names else [None] * len(self.facts)


def _sequences(path: Path, facts: pa.Table, tokens: pa.Table) -> Sequences:
    """The block's ids, whose numbers must be those of `facts`."""
    if not tokens["sample_id"].equals(facts["sample_id"].cast(tokens["sample_id"].type)):
        raise PrunegridError(path, "its sample_id are not those of samples.parquet in the same order", "score again")
    lists = (tokens[name].combine_chunks() for name in ("prompt_ids", "response_ids"))
    truncated = facts["truncated"].to_numpy().astype(bool)
    return Sequences.from_lists(facts["sample_id"].to_numpy(), truncated, *lists)
