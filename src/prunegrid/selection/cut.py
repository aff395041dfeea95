"""Cut: the kept tokens of one shard of the token table by a choice (`selection.choose`), as a part of a selection.

Each part is a job on any machine; `gather` writes the summary once all are there.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from prunegrid.core import files, parts
from prunegrid.core.columns import Stretch, parquet_metadata
from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import layout
from prunegrid.pruners import Choice, PruningSpec, Scores, SelectionArrays, find_pruners, select_tokens
from prunegrid.pruners.conversations import split
from prunegrid.pruners.method import Needs
from prunegrid.scoring.reader import Places, ScoresFolder, check_digests
from prunegrid.selection.blocks import kept_blocks
from prunegrid.selection.choose import FACTS, ChoiceFacts, Source, read_choice, read_facts
from prunegrid.selection.summary import SelectionSummary

Shard = tuple[int, int]
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


def cut(choice: Path, shard: Shard, scores: Path | None = None) -> Path:
    """Write part i of n, `shard` (i, n), of the selection beside the choice file; return its path.

    Only the shard's rows are read. `scores` is the folder, where it is not where the choice says.
    """
    facts, digest = read_facts(choice), files.sha256sum(choice)
    folder = ScoresFolder(scores or Path(os.path.normpath(choice.parent / str(facts.scores))))
    _check_scores(choice, facts, folder)
    stretch = folder.shard_stretch(shard, facts.spec.unit)
    samples = folder.read_samples(_needs(facts.spec), facts.spec.unit, stretch)
    chosen = read_choice(choice, facts, samples, stretch)
    part = choice.parent / layout.PARTS / f"{parts.part_name(*shard)}.parquet"
    with files.replacing(part) as temporary:
        record = {"choice": digest}
        write_selection(temporary, folder, samples, chosen, facts.spec, stretch, record)
    return part


def missing_shards(choice: Path, shards: int) -> list[int]:
    """The shards, counted from 1, of which no part of this choice is there."""
    folder, digest = choice.parent / layout.PARTS, files.sha256sum(choice)
    names = {number: folder / f"{parts.part_name(number, shards)}.parquet" for number in range(1, shards + 1)}
    return [n for n, part in names.items() if not part.exists() or _record(part).get("choice") != digest]


def gather(choice: Path, shards: int) -> SelectionSummary:
    """Write `selection.json` of the parts 1 to n beside the choice file; refuse parts of another choice.

    A selection of other shards that lies there is removed.
    """
    facts, folder, digest = read_facts(choice), choice.parent / layout.PARTS, files.sha256sum(choice)
    names = [folder / f"{parts.part_name(number, shards)}.parquet" for number in range(1, shards + 1)]
    totals: Counter[str] = Counter()
    for number, part in enumerate(names, 1):
        record = _record(part)
        if record.get("choice") != digest:
            problem = f"is not part of the choice in {choice}"
            raise PrunegridError(part, problem, f"remove it and cut shard {number}/{shards} again")
        totals.update(record["facts"])
    parts.remove_others(folder, names)
    (choice.parent / layout.SELECTION).unlink(missing_ok=True)
    summary = facts.summary(dict(totals), selection=files.sha256(*names), shards=shards)
    summary.write(choice.parent / layout.SUMMARY)
    return summary


def write_selection(
    path: Path,
    folder: Source,
    scores: Scores,
    choice: Choice,
    spec: PruningSpec,
    stretch: Stretch | None = None,
    record: dict[str, Any] | None = None,
) -> dict[str, int]:
    """Stream the selection to `path`, in order of `sample_id`; return what the summary says of the kept answers.

    If the scores are in another order, the selection (not the scores) is held in memory to be sorted. `record` goes
    into the file's metadata, with what is returned.
    """
    facts, places = Counter({"kept_tokens": 0, "truncated": 0, "only_end": 0}), folder.places(stretch)

    def table_of(selection: SelectionArrays) -> pa.Table:
        selection = split(selection)
        facts.update(answer_facts(selection))
        return selection_table(selection, places)

    blocks = select_tokens(choice, lambda: kept_blocks(folder, scores, choice.rows, spec, stretch))
    tables: Iterator[pa.Table] = map(table_of, blocks)
    schema = _schema(places, choice)
    if not scores.is_ordered:
        tables = iter([pa.concat_tables([schema.empty_table(), *tables]).sort_by("sample_id")])
    with files.parquet_writer(path, schema) as writer:
        for table in tables:
            writer.write_table(table)
        if record is not None:
            writer.add_key_value_metadata({FACTS.decode(): json.dumps(record | {"facts": dict(facts)})})
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


def _schema(places: Places | None, choice: Choice) -> pa.Schema:
    """The columns of `selection_table`."""
    origin = [pa.field(name, places.table[name].type) for name in ("row", "turn")] if places else []
    prompt = [pa.field("prompt_kept", pa.int32())] if choice.prompt_rank else []
    return pa.schema([SCHEMA.field(0), *origin, *list(SCHEMA)[1:], *prompt])


def _needs(spec: PruningSpec) -> Needs:
    """The columns that tokens are ranked by: of a pair, the token pruner's alone."""
    pruner = find_pruners(spec.method)[-1]
    names = {*pruner.sample_columns(spec.options)}
    return Needs({name: by for name, by in spec.needs.samples.items() if name in names}, spec.needs.tokens)


def _check_scores(choice: Path, facts: ChoiceFacts, folder: ScoresFolder) -> None:
    """Refuse other scores than those chosen from, by their meta: the tables were hashed when the choice was made."""
    check_digests(choice, facts.digests, folder.digests, "choose again")
    recorded = {Path(name).name: digest for name, digest in facts.inputs.items()}
    for name, digest in folder.meta.get("sha256", {}).items():
        if recorded.get(name, digest) != digest:
            problem = f"its {name} is not the one that {choice} was made from"
            raise PrunegridError(folder.path, problem, "choose again, or name the choice's own scores with --scores")


def _record(part: Path) -> dict[str, Any]:
    """What a part says of itself: the choice that it was cut by, and facts of its answers."""
    record: dict[str, Any] = json.loads(parquet_metadata(part).get(FACTS, b"{}"))
    return record
