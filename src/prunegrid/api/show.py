"""Kept samples as text, for people who want to see what a pruner did."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import Record, parquet_rows, parquet_schema, read_parquet, stream_parquet
from prunegrid.core.parts import find_table, read_parts
from prunegrid.experiment import layout
from prunegrid.exporters.origin import find_scores, read_summary
from prunegrid.models import load_tokenizer
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.selection.text import PLAIN, Style, marked_text

PIECE = 1024  # rows of a table that are in memory at a time


def show(
    folder: Path, scores: Path | None = None, rows: int = 5, samples: Sequence[int] = (), style: Style = PLAIN
) -> Iterator[str]:
    """A text for each of the first `rows` kept samples, or for `samples`: a line of facts, the prompt, the response.

    Raises `PrunegridError` for a sample that is not kept. The scores hold the tokens, and their folder the tokenizer.
    """
    source = find_scores(folder, read_summary(folder), scores)
    kept = _kept(find_table(folder / layout.SELECTION), rows, samples)
    tokenizer = load_tokenizer(source.tokenizer_dir())

    def decode(ids: list[int]) -> str:
        text: str = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text

    continuing = _continuing(source)
    tokens = {row["sample_id"]: row for row in _tokens_of(source, list(kept))}
    for sample_id, row in kept.items():
        if sample_id not in tokens:
            raise PrunegridError(source.path, f"holds no tokens of sample_id {sample_id}", "prune again")
        prompt, response = tokens[sample_id]["prompt_ids"], tokens[sample_id]["response_ids"]
        facts = _facts(row, len(response), sample_id in continuing)
        yield f"{facts}\n{marked_text(decode, prompt, response, row['kept'], style)}"


def _kept(path: Path, rows: int, samples: Sequence[int]) -> dict[int, Record]:
    """The rows of `selection.parquet` to show, by sample_id."""
    table = read_parts(path)
    if samples:
        missing = sorted(set(samples) - set(table["sample_id"].to_pylist()))
        if missing:
            problem = f"does not keep sample_id {', '.join(map(str, missing[:3]))}"
            raise PrunegridError(path, problem, "give kept ones, which `prunegrid show` lists")
        table = table.filter(pc.is_in(table["sample_id"], pa.array(samples, pa.int64())))
    else:
        table = table.slice(0, rows)
    return {row["sample_id"]: row for row in table.to_pylist()}


def _tokens_of(source: ScoresFolder, sample_ids: list[int]) -> Iterator[Record]:
    """The token ids of these samples."""
    path, ids, count = source.tables["token"], pa.array(sample_ids, pa.int64()), 0
    sizes = [PIECE] * (parquet_rows(path) // PIECE)
    for table in stream_parquet(path, ["sample_id", "prompt_ids", "response_ids"], sizes):
        rows = table.filter(pc.is_in(table["sample_id"], ids)).to_pylist()
        yield from rows
        count += len(rows)
        if count == len(sample_ids):
            return


def _continuing(source: ScoresFolder) -> set[int]:
    """The samples whose prompt goes on behind the answer before it (`turns: all`)."""
    path = source.tables["sample"]
    if "continues" not in parquet_schema(path).names:
        return set()
    table = read_parquet(path, ["sample_id", "continues"])
    return set(table.filter(table["continues"])["sample_id"].to_pylist())


def _facts(row: Record, length: int, continues: bool) -> str:
    """`sample_id 12 (row 12, turn 0), q2, quadrant 2: 14 of 30 tokens kept`."""
    place = ", ".join(f"{name} {row[name]}" for name in ("row", "turn") if name in row)
    place += ", after the turns before it" if continues else ""
    facts: list[Any] = [f"sample_id {row['sample_id']}" + (f" ({place})" if place else ""), row["reason"]]
    facts += [f"quadrant {row['quadrant']}"] if row["quadrant"] else []
    facts += [f"weight {row['weight']:g}"] if row["weight"] != 1 else []
    return f"{', '.join(facts)}: {len(row['kept'])} of {length} tokens kept"
