"""Prune: from a folder of scores to `selection.parquet` and `selection.json`, for the rule and `prunegrid prune`.

Samples are chosen from the sample table; tokens are streamed block by block.
"""

import os
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prunegrid.core import file_sums, files
from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import layout
from prunegrid.pruners import (
    Choice,
    Draw,
    Match,
    PruningSpec,
    Scores,
    SelectionArrays,
    choose_samples,
    require_tokens,
    select_tokens,
)
from prunegrid.pruners.conversations import split
from prunegrid.scoring.reader import Places, ScoresFolder, check_digests
from prunegrid.selection.memory import ScoresInMemory
from prunegrid.selection.summary import SelectionSummary, Totals

SCHEMA = pa.schema(
    {
        "sample_id": pa.int64(),
        "weight": pa.float32(),
        "kept": pa.list_(pa.int32()),
        "quadrant": pa.int8(),
        "reason": pa.string(),
        "treated_as": pa.int8(),
    }
)


def prune(
    source: Path | ScoresFolder | ScoresInMemory,
    out_dir: Path,
    spec: PruningSpec,
    seed: int,
    *,
    match: Path | None = None,
    expected_digests: dict[str, str] | None = None,
    budget: dict[str, str] | None = None,
    root: Path | None = None,
) -> SelectionSummary:
    """Write a selection, whole or not at all, and return its summary. `source` is a scores folder; `seed` the cell's.

    `match` is the `selection.json` whose realised counts a pair meets instead of the ratios. `budget` is recorded: what
    the ratios of `spec` were made from. `root`, a results folder, is what the names of `inputs` are relative to.
    """
    spec = spec.complete()
    folder = ScoresFolder(source) if isinstance(source, Path) else source
    folder.check_digests(expected_digests or {})
    sums = folder.check_files(spec.needs) | file_sums.hash_files([match] if match else [])
    scores = folder.read_samples(spec.needs, spec.unit)
    other = _read_match(match, len(scores), folder, spec.unit) if match else None
    counts = Match(other.n_kept_samples, other.kept_tokens) if other else None
    ordered, draw = scores.ordered(), Draw(seed)
    choice = choose_samples(ordered, spec, draw, counts)
    with files.replacing(out_dir / layout.SELECTION) as temporary:
        facts = _write(temporary, folder, scores, choice, spec)
        summary = SelectionSummary.build(
            "static",
            spec,
            _count_totals(ordered, choice, facts.pop("kept_tokens")),
            choice.details,
            match=other and other.variant,
            budget=budget,
            **facts,
            counts=_counts(choice),
            inputs=file_sums.relative_sums(sums, root or out_dir) or None,
            selection=files.sha256(temporary),
            seeds={"cell": seed, "pruning": draw.seed},
            digests=folder.digests,
            extras=folder.extra_digests(spec.needs),
            scores=os.path.relpath(folder.path, out_dir) if isinstance(folder, ScoresFolder) else None,
        )
        summary.write(out_dir / layout.SUMMARY)
    return summary


def _read_match(path: Path, n: int, folder: ScoresFolder | ScoresInMemory, unit: str) -> SelectionSummary:
    """The summary of another selection of the same n samples, whose counts are to be met."""
    other = SelectionSummary.read(path)
    if other.unit != unit:
        problem = f"was pruned with unit: {other.unit}, not {unit}"
        raise PrunegridError(path, problem, "match a selection of the same unit")
    if other.n_samples != n:
        problem = f"is a selection of {other.n_samples} samples, but the scores have {n}"
        raise PrunegridError(path, problem, "match a selection of the same scores")
    check_digests(path, other.digests, folder.digests, "prune again")
    return other


def _write(
    path: Path, folder: ScoresFolder | ScoresInMemory, scores: Scores, choice: Choice, spec: PruningSpec
) -> dict[str, int]:
    """Stream the selection to `path`, in order of `sample_id`; return what the summary says of the kept answers.

    If the scores are in another order, the selection (not the scores) is held in memory to be sorted.
    """
    rows = choice.rows if scores.is_ordered else np.argsort(scores.sample_id, kind="stable")[choice.rows]
    by_file = np.argsort(rows, kind="stable")
    rows, choice = rows[by_file], choice.take(by_file)

    def blocks() -> Iterator[Scores]:
        return kept_blocks(folder, scores, rows, spec)

    facts, places = Counter({"kept_tokens": 0, "truncated": 0, "only_end": 0}), folder.places()

    def table_of(selection: SelectionArrays) -> pa.Table:
        selection = split(selection)
        facts.update(answer_facts(selection))
        return selection_table(selection, places)

    tables: Iterator[pa.Table] = map(table_of, select_tokens(choice, blocks))
    if not scores.is_ordered:
        tables = iter([pa.concat_tables(tables).sort_by("sample_id")])
    first = next(tables)
    with files.parquet_writer(path, first.schema) as writer:
        for table in chain([first], tables):
            writer.write_table(table)
    return dict(facts)


def answer_facts(selection: SelectionArrays) -> dict[str, int]:
    """What the summary says of kept answers: their kept tokens, and how many were cut off or have little left."""
    turns = selection.turns
    assert turns, "select_tokens says which answers it selects from"
    kept, last = np.diff(selection.offsets), turns.response_tokens - 1
    single = np.flatnonzero((kept == 1) & ~turns.truncated)
    facts = {
        "kept_tokens": len(selection.positions),
        "truncated": int(turns.truncated.sum()),
        "only_end": int((selection.positions[selection.offsets[single]] == last[single]).sum()),
    }
    empty = int((kept == 0).sum())
    return facts | ({"empty": empty} if empty else {})


def kept_blocks(
    folder: ScoresFolder | ScoresInMemory, scores: Scores, rows: NDArray[np.int64], spec: PruningSpec
) -> Iterator[Scores]:
    """The samples `rows` (ascending in the file) with their tokens, block by block. The values of all are checked."""
    start = 0
    for block in folder.token_blocks(scores, spec.needs):
        require_tokens(block, spec)
        first, last = np.searchsorted(rows, [start, start + len(block)])
        if first < last:
            yield block.take(rows[first:last] - start)
        start += len(block)


def selection_table(selection: SelectionArrays, places: Places | None = None) -> pa.Table:
    """The rows of `selection.parquet`, one for each kept answer, with its `row` and `turn` if they are known."""
    positions = pa.ListArray.from_arrays(selection.offsets.astype(np.int32), pa.array(selection.positions, pa.int32()))
    decisions = [selection.quadrant, selection.reason.tolist(), selection.treated_as]
    table = pa.table([selection.sample_id, selection.weight, positions, *decisions], schema=SCHEMA)
    if selection.prompt_kept is not None:
        table = table.append_column("prompt_kept", pa.array(selection.prompt_kept, pa.int32()))
    columns = places.of(selection.sample_id) if places else {}
    for number, (name, column) in enumerate(columns.items(), 1):
        table = table.add_column(number, name, column)
    return table


def _count_totals(scores: Scores, choice: Choice, kept_tokens: int) -> Totals:
    response, prompt, rows = scores.response_tokens, scores.prompt_tokens, choice.rows
    return Totals(
        samples=len(scores),
        response_tokens=int(response.sum()),
        all_tokens=None if prompt is None else int(prompt.sum() + response.sum()),
        kept_samples=len(choice),
        kept_tokens=kept_tokens,
        response_tokens_of_kept=int(response[rows].sum()),
        prompt_tokens_of_kept=None if prompt is None else int(prompt[rows].sum()),
    )


def _counts(choice: Choice) -> dict[str, dict[str, int]]:
    """How many kept samples have each quadrant, reason and token rule."""
    columns = {name: getattr(choice.samples, name) for name in ("quadrant", "reason", "treated_as")}
    return {
        name: {str(value): int(count) for value, count in zip(*np.unique(column, return_counts=True), strict=True)}
        for name, column in columns.items()
    }
