"""Data sets: located in a mirror, a file or on the hub, and written as the Parquet that the other steps read.

The training set becomes rows of `sample_id, row, turn, messages, tools` and carried columns; a benchmark's
items keep the hub's fields, in JSON lines.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import Record, replacing, sha256, write_json, write_parquet
from prunegrid.core.randomness import uniform
from prunegrid.data.conversations import SampleReader
from prunegrid.data.counts import Counts, no_samples
from prunegrid.data.messages import MESSAGE
from prunegrid.data.rows import stream_rows
from prunegrid.experiment.sections import DataRef, Dataset


def locate(ref: DataRef, mirror: str | Path | None) -> str | None:
    """The local file that holds `ref`, or None if it must come from the hub. A named path is not checked here."""
    if ref.path is not None:
        return ref.path
    file = None if mirror is None else ref.mirror_file(Path(mirror))
    return str(file) if file is not None and file.exists() else None


def write_dataset(dataset: Dataset, local: str | None, out: Path, counts: Path) -> None:
    """Write the training set as Parquet to `out`, and to `counts` what was left out and why."""
    source = local or str(dataset.hub)
    reader = SampleReader(dataset, source)
    samples = [sample for row in stream_rows(dataset, local) for sample in reader.read(row)]
    duplicates = _mark_duplicates(samples)
    samples = _filter(samples, dataset, duplicates, reader.counts)
    if not samples:
        raise no_samples(source, reader.counts)
    write_parquet(out, _table(samples, dataset.carry, source))
    write_json(
        counts,
        {
            "source": dataset.model_dump(mode="json"),
            "file_digest": None if local is None else sha256(Path(local)),
            "digest": sha256(out),
            **reader.counts.summary(),
            "duplicates": sum(duplicates),
        },
    )


def _mark_duplicates(samples: list[Record]) -> list[bool]:
    """True for a sample with the same messages as an earlier one."""
    earlier: set[str] = set()
    marks = []
    for sample in samples:
        key = json.dumps([sample["messages"], sample["tools"]])
        marks.append(key in earlier)
        earlier.add(key)
    return marks


def _filter(samples: list[Record], dataset: Dataset, duplicates: list[bool], counts: Counts) -> list[Record]:
    """Drop duplicates and reduce to `max_samples`, as configured; count what is left out."""
    counts.left_out.update({"duplicate": 0} if dataset.drop_duplicates else {}, over_max_samples=0)
    dropped = [duplicate and dataset.drop_duplicates for duplicate in duplicates]
    subset = _subset([sample for sample, drop in zip(samples, dropped, strict=True) if not drop], dataset.max_samples)
    ids = {sample["sample_id"] for sample in subset}
    for sample, is_dropped in zip(samples, dropped, strict=True):
        reason = "duplicate" if is_dropped else None if sample["sample_id"] in ids else "over_max_samples"
        counts.add_sample(sample["row"], sample["messages"], reason)
    return subset


def _subset(samples: list[Record], limit: int | None) -> list[Record]:
    """`limit` samples chosen uniformly, in order; a larger limit keeps all samples of a smaller one."""
    if limit is None or limit >= len(samples):
        return samples
    ids = np.array([sample["sample_id"] for sample in samples])
    indices = np.lexsort((ids, uniform(0, "max_samples", ids)))[:limit]
    return [samples[i] for i in sorted(indices)]


def _table(samples: list[Record], carry: list[str], source: str) -> pa.Table:
    places = [("sample_id", pa.int64()), ("row", pa.int64()), ("turn", pa.int32())]
    fields = [*places, ("messages", pa.list_(MESSAGE)), ("tools", pa.string())]
    try:
        columns = pa.Table.from_pylist([{name: s[name] for name in carry} for s in samples]).schema if carry else []
        return pa.Table.from_pylist(samples, pa.schema([*(pa.field(*field) for field in fields), *columns]))
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError) as error:
        problem = f"its texts and carried columns do not fit one type each ({error})"
        raise PrunegridError(source, problem, "give each column one type in all rows") from None


def write_benchmark(ref: DataRef, local: str | None, out: Path) -> None:
    """Write a benchmark's items as JSON lines, fields as on the hub."""
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        for row in stream_rows(ref, local):
            file.write(json.dumps(row.values, default=str) + "\n")
