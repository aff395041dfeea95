"""A shard of the training set, tokenised."""

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from prunegrid.core.files import Record, parquet_rows, parquet_schema, read_json, repair, stream_parquet
from prunegrid.data.messages import to_tools
from prunegrid.scoring.render import Conversation, Renderer, learned_turns
from prunegrid.scoring.sequences import Sequences, Shard
from prunegrid.scoring.tokenise import TokenisedSample, tokenise_all

CHUNK = 1024  # rows that are tokenised at a time
LINES = (".jsonl", ".ndjson")
OPTIONAL = ("row", "turn", "tools")  # version 0.1 has none


def tokenise_shard(data: Path, renderer: Renderer, max_length: int, shard: Shard = (1, 1)) -> tuple[Sequences, int]:
    """The shard's answers that have a token within the cut-off, and the number of answers that do not.

    Rows that the template refuses are counted by the renderer, if the counts beside the data say `on_bad_row: skip`.

    Shard i of n has the rows from (i - 1) N // n up to i N // n of the file. `sample_id` and `turn` count the assistant
    turns from those of the row's first one.
    """
    names = [name for name in OPTIONAL if name in parquet_schema(data).names]
    chunks = _chunks(data, ["sample_id", *names, "messages"], shard)
    source = _source(data)
    renderer.on_bad_row = source.get("on_bad_row", "error")
    ids, facts, cut = array("i"), array("q"), 0
    for answer, sample_id, row, turn in _answers(chunks, renderer, max_length, _origin(data, source)):
        if answer is None:
            cut += 1
            continue
        ids.extend(answer.prompt_ids)
        ids.extend(answer.response_ids)
        lengths = (len(answer.prompt_ids), len(answer.response_ids))
        facts.extend((sample_id, *lengths, row, turn, answer.truncated, answer.continues))
    columns = np.array(facts, dtype=np.int64).reshape(-1, 7).T
    return Sequences(
        columns[0],
        columns[1],
        columns[2],
        columns[5].astype(bool),
        np.frombuffer(ids, np.int32),
        columns[3] if "row" in names else None,
        columns[4] if "turn" in names else None,
        columns[6].astype(bool) if columns[6].any() else None,
    ), cut


Answer = tuple[TokenisedSample | None, int, int, int]


def _chunks(data: Path, columns: list[str], shard: Shard) -> Iterator[pa.Table]:
    """The shard's rows, at most `CHUNK` in memory at a time."""
    total = parquet_rows(data)
    start, end = ((part * total) // shard[1] for part in (shard[0] - 1, shard[0]))
    borders = [*range(0, start, CHUNK), *range(start, end, CHUNK), end]
    # `zip` asks for no piece behind the last border: that would be the rest of the file, whole.
    pieces = zip(borders[:-1], stream_parquet(data, columns, np.diff(borders).tolist()), strict=False)
    return (piece for border, piece in pieces if border >= start)


def _answers(
    chunks: Iterator[pa.Table], renderer: Renderer, max_length: int, origin: Callable[[Any], str]
) -> Iterator[Answer]:
    """Each answer with its sample_id, its row and its turn."""
    for chunk in chunks:
        rows = chunk.to_pylist()
        conversations = [Conversation(row["messages"], to_tools(row.get("tools")), place=origin(row)) for row in rows]
        for row, answers in zip(rows, tokenise_all(conversations, renderer, max_length), strict=True):
            turns = learned_turns(row["messages"]) if answers else ()  # none: the row is refused
            for answer, turn in zip(answers, turns, strict=True):
                offset = turn if row["messages"][-1].get("train") else 0  # `turns: all`
                yield answer, row["sample_id"] + offset, row.get("row", 0), row.get("turn", 0) + offset


def _source(data: Path) -> Record:
    """The source of the data, as the counts beside them name it."""
    counts = data.with_suffix(".json")
    source: Record = read_json(counts, repair(counts)).get("source", {}) if counts.exists() else {}
    return source


def _origin(data: Path, source: Record) -> Callable[[Any], str]:
    """Where a row of the data stands: in the source's file, if it is known."""
    file = source.get("path") or source.get("hub")

    def place(row: Any) -> str:
        number = row.get("row")
        if file is None or number is None:
            return f"{data}: sample_id {row['sample_id']}"
        if file == "rows":  # Python objects
            return f"rows[{number}]"
        return f"{file}:{number + 1}" if file.endswith(LINES) else f"{file}: row {number + 1}"

    return place
