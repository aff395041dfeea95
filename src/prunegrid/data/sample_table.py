"""The samples of a training set on their way to Parquet: any number of them, in constant memory but 20 bytes each."""

import json
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa

from prunegrid.core.errors import PrunegridError, first_line
from prunegrid.core.files import Record, parquet_writer, read_batches
from prunegrid.data.messages import MESSAGE, is_learned
from prunegrid.data.minhash import NearDuplicates, parts

COLUMNS = pa.schema(
    [
        ("sample_id", pa.int64()),
        ("row", pa.int64()),
        ("turn", pa.int32()),
        ("messages", pa.list_(MESSAGE)),
        ("tools", pa.string()),
    ]
)
BATCH, BATCH_BYTES = 1000, 1 << 24  # samples that are Python objects at a time, at most
ENCODE = json.JSONEncoder(check_circular=False).encode  # json.dumps makes an encoder a call
SORTED_PARTS = 16
GROUP_ROWS, GROUP_BYTES = 50_000, 1 << 26  # of a row group, at most
MISFIT = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, UnicodeEncodeError)


class SampleTable:
    """Collects samples in temporary files beside `out` (a temporary of `replacing`), then writes all or some to `out`.

    A carried column has the type that fits all of its values. Where a later sample widens a type (an integer column
    meets a fraction), a new temporary file begins, and `write` casts the earlier ones.
    """

    def __init__(self, out: Path, source: str, carry: Sequence[str], *, finds_similar: bool = False) -> None:
        self.out, self.source, self.carry = out, source, carry
        self.schema = COLUMNS
        self.parts: list[Path] = []
        self.writer: GroupWriter | None = None
        self.batch: list[tuple[Record, str]] = []
        self.batch_bytes = 0
        self.digests, self.answers = bytearray(), array("I")
        self.signatures = NearDuplicates(out.parent) if finds_similar else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.writer:
            self.writer.close()
        for part in self.parts:
            part.unlink(missing_ok=True)
        if self.signatures:
            self.signatures.close()

    def __len__(self) -> int:
        return len(self.answers)

    def add(self, sample: Record, place: str) -> None:
        """A sample, and its row's place for errors."""
        content = _content(sample)
        self.digests += blake2b(content, digest_size=16).digest()
        self.batch_bytes += len(content)
        self.answers.append(sum(is_learned(sample["messages"])))
        self.batch.append((sample, place))
        if len(self.batch) == BATCH or self.batch_bytes >= BATCH_BYTES:
            self._flush()

    def finish(self) -> None:
        """All samples have been added."""
        self._flush()
        if self.writer:
            self.writer.close()
            self.writer = None

    def _flush(self) -> None:
        if not self.batch:
            return
        samples = [sample for sample, _ in self.batch]
        try:
            schema = widened(self.schema, samples, self.carry)
            table = _table(samples, schema)
        except MISFIT:
            raise self._misfit() from None
        if self.writer is None or schema != self.schema:
            if self.writer:
                self.writer.close()
            self.schema = schema
            name, process, suffix = self.out.name.rsplit(".", 2)  # as `replacing` names and removes leftovers
            self.parts.append(self.out.with_name(f"{name}.{len(self.parts)}.{process}.{suffix}"))
            self.writer = GroupWriter(self.parts[-1], schema)
        self.writer.add(table)
        if self.signatures:
            texts = (sample["messages"] for sample in samples)
            self.signatures.add([parts(messages, is_learned(messages)) for messages in texts])
        self.batch, self.batch_bytes = [], 0

    def _misfit(self) -> PrunegridError:
        """The error for the first sample of the batch that does not fit those before it."""
        samples = [sample for sample, _ in self.batch]
        first = bisect_left(range(len(samples)), True, key=lambda i: self._error(samples[: i + 1]) is not None)
        problem = "its texts and carried columns do not fit the type of the rows before"
        words = f"{problem} ({self._error(samples[: first + 1])})"
        return PrunegridError(self.batch[first][1], words, "give each column one type in all rows")

    def _error(self, samples: list[Record]) -> str | None:
        """Why the samples fit no type together with those before, if so."""
        try:
            _table(samples, widened(self.schema, samples, self.carry))
        except MISFIT as error:
            return first_line(error)
        return None

    def duplicates(self) -> np.ndarray:
        """For each sample, whether an earlier one has the same messages and tools."""
        high, low = np.frombuffer(self.digests, np.uint64).reshape(-1, 2).T
        marks = np.zeros(len(self), bool)
        parts = np.frombuffer(self.digests, np.uint8)[::16] % SORTED_PARTS
        for part in range(SORTED_PARTS):  # one after another: sorting takes several times the memory of what is sorted
            indices = np.flatnonzero(parts == part)
            order = indices[
                np.lexsort((low[indices], high[indices]))
            ]  # stable: of equal ones, the earliest comes first
            same = (high[order[1:]] == high[order[:-1]]) & (low[order[1:]] == low[order[:-1]])
            marks[order[1:][same]] = True
        return marks

    def repetitions(self) -> np.ndarray:
        """For each sample, whether an earlier one is in its group of near duplicates; if these are not sought, none."""
        return self.signatures.firsts() < np.arange(len(self)) if self.signatures else np.zeros(len(self), bool)

    def numbers(self, name: str) -> Iterator[np.ndarray]:
        """A column of numbers of all samples, piece by piece."""
        for part in self.parts:
            for batch in read_batches(part, BATCH, [name]):
                yield batch[name].to_numpy()

    def write(self, kept: np.ndarray | None) -> None:
        """Write `out`: all samples, or those that `kept` marks."""
        if kept is None and len(self.parts) == 1:
            self.parts.pop().replace(self.out)
            return
        writer, start = GroupWriter(self.out, self.schema), 0
        for part in self.parts:
            for batch in read_batches(part, BATCH):
                table = self._cast(pa.Table.from_batches([batch]))
                writer.add(table if kept is None else table.filter(pa.array(kept[start : start + len(table)])))
                start += len(table)
        writer.close()

    def _cast(self, table: pa.Table) -> pa.Table:
        try:
            return table.cast(self.schema)
        except pa.ArrowInvalid as error:
            problem = f"its carried columns do not fit one type each ({first_line(error)})"
            raise PrunegridError(self.source, problem, "give each column one type in all rows") from None


def widened(schema: pa.Schema, samples: list[Record], carry: Sequence[str]) -> pa.Schema:
    """`schema` with the types of the carried columns that fit `samples`, too."""
    if not carry:
        return schema
    columns = pa.schema([(name, pa.array([sample[name] for sample in samples]).type) for name in carry])
    return pa.unify_schemas([schema, columns], promote_options="permissive")


def _table(samples: list[Record], schema: pa.Schema) -> pa.Table:
    # Table.from_pylist infers the types first, which takes 20 times as long.
    return pa.table([pa.array([sample[field.name] for sample in samples], field.type) for field in schema], schema)


def _content(sample: Record) -> bytes:
    """What makes a sample a duplicate of another: equal messages and tools give equal bytes."""
    return ENCODE([[[*message.values()] for message in sample["messages"]], sample["tools"]]).encode()


class GroupWriter:
    """Writes tables to one Parquet file in row groups of bounded size."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.file = parquet_writer(path, schema)
        self.waiting = schema.empty_table()

    def add(self, table: pa.Table) -> None:
        self.waiting = pa.concat_tables([self.waiting, table])
        while len(self.waiting) >= GROUP_ROWS or self.waiting.nbytes >= GROUP_BYTES:
            self._write(GROUP_ROWS)

    def close(self) -> None:
        if len(self.waiting):
            self._write(GROUP_ROWS)
        self.file.close()

    def _write(self, rows: int) -> None:
        self.file.write_table(self.waiting[:rows].combine_chunks(), row_group_size=rows)
        self.waiting = self.waiting[rows:]
