"""Data sets: located in a mirror, a file or on the hub, and written as the Parquet that the other steps read.

The training set becomes rows of `sample_id, row, turn, messages, tools` and carried columns; a benchmark's
items keep the hub's fields, in JSON lines.
"""

import json
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from prunegrid.core.files import replacing, sha256, write_json
from prunegrid.core.randomness import uniform
from prunegrid.data.conversations import SampleReader
from prunegrid.data.counts import Counts, no_samples
from prunegrid.data.example_rows import KEY, read_examples
from prunegrid.data.rows import stream_rows
from prunegrid.data.sample_table import SampleTable
from prunegrid.data.sources import source_files
from prunegrid.experiment.dataset import DataRef, Dataset
from prunegrid.experiment.examples import Examples


def locate(ref: DataRef, mirror: str | Path | None) -> str | None:
    """The local file, folder or glob of `ref`, or None if it comes from the hub. A named path is not checked here."""
    if ref.path is not None:
        return ref.path
    if mirror is None:
        return None
    file = ref.mirror_file(Path(mirror))
    files = [file, *(file.with_name(file.name.removesuffix(".jsonl") + suffix) for suffix in (".parquet", ".json"))]
    return next((str(file) for file in files if file.exists()), None)


def write_dataset(dataset: Dataset, local: Any, out: Path, counts: Path) -> None:
    """Write the training set as Parquet to `out`, and to `counts` what was left out and why.

    `local`: as for `stream_rows`. Any number of rows takes the same memory, but 20 bytes a sample; near duplicates
    take about 50 more, and 640 on disk while they are looked for.
    """
    source = str(dataset.hub) if local is None else str(local) if isinstance(local, str | Path) else "rows"
    reader = SampleReader(dataset, source)
    with replacing(out) as temporary, _table(dataset, temporary, source) as table:
        for row in stream_rows(dataset, local):
            for sample in reader.read(row):
                table.add(sample, row.place)
        table.finish()
        if not len(table):
            raise no_samples(source, reader.counts)
        duplicates, similar = table.duplicates(), table.repetitions()
        table.write(_filter(table, dataset, duplicates, similar, reader.counts))
    write_json(
        counts,
        {
            "source": dataset.model_dump(mode="json"),
            **_files(dataset, local),
            "digest": sha256(out),
            **reader.counts.summary(),
            "duplicates": int(duplicates.sum()),
            **({"near_duplicates": int((similar & ~duplicates).sum())} if dataset.drop_duplicates == "near" else {}),
        },
    )


def _table(dataset: Dataset, out: Path, source: str) -> SampleTable:
    return SampleTable(out, source, dataset.carry, finds_similar=dataset.drop_duplicates == "near")


def _files(dataset: Dataset, local: Any) -> dict[str, Any]:
    """The digest of the source's files, and, of a folder or glob, which these are and which were not read."""
    if not isinstance(local, str | Path):
        return {"file_digest": None}
    found = source_files(dataset, str(local))
    names = {"files": [str(file) for file in found.files], "skipped_files": found.skipped}
    return {"file_digest": sha256(*found.files), **({} if Path(local).is_file() else names)}


def _filter(
    table: SampleTable, dataset: Dataset, duplicates: np.ndarray, similar: np.ndarray, counts: Counts
) -> np.ndarray | None:
    """Which samples stay: no duplicates and at most `max_samples`, as configured; None: all. Counts them and others."""
    reasons = ["near_duplicate"] if dataset.drop_duplicates == "near" else []
    counts.left_out.update(dict.fromkeys(["duplicate", *reasons] if dataset.drop_duplicates else [], 0))
    counts.left_out.update(over_max_samples=0)
    duplicates = duplicates & bool(dataset.drop_duplicates)
    kept = ~(duplicates | similar)
    if dataset.max_samples is not None and dataset.max_samples < kept.sum():
        _subset(kept, np.concatenate([*table.numbers("sample_id")]), dataset.max_samples)
    rows = chain.from_iterable(table.numbers("row"))
    for row, answers, *marks in zip(rows, table.answers, kept, duplicates, similar, strict=True):
        counts.add_sample(row, answers, _reason(*marks))
    return None if kept.all() else kept


def _reason(is_kept: bool, is_duplicate: bool, is_near: bool) -> str | None:
    """Why a sample is left out; None if it stays."""
    return None if is_kept else "duplicate" if is_duplicate else "near_duplicate" if is_near else "over_max_samples"


def _subset(kept: np.ndarray, ids: np.ndarray, limit: int) -> None:
    """Keep `limit` of the samples chosen uniformly; a larger limit keeps all samples of a smaller one."""
    indices = np.flatnonzero(kept)
    chosen = np.lexsort((ids[indices], uniform(0, "max_samples", ids[indices])))[:limit]
    kept[:] = False
    kept[indices[chosen]] = True


def write_benchmark(
    ref: DataRef, local: Any, out: Path, examples: Examples | str | None = None, local_examples: Any = None
) -> None:
    """Write a benchmark's items as JSON lines, fields as on the hub; the first line holds its examples, if any.

    `local` and `local_examples`: as for `stream_rows`.
    """
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        if examples:
            file.write(json.dumps({KEY: read_examples(examples, local_examples)}, default=str) + "\n")
        for row in stream_rows(ref, local):
            file.write(json.dumps(row.values, default=str) + "\n")


def hub_rows(rows: list[dict[str, Any]]) -> Any:
    """The rows as a data set of the hub's library, which others' functions take."""
    from datasets import Dataset as HubDataset

    return HubDataset.from_list(rows)
