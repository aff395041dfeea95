"""Import scores that something else made, as a column beside the scores: `extra/<name>.parquet`.

Every sample gets its own: the rows of the file are told by ids, not by their order (unless `id: order` says so). The
file's metadata record where the scores are from; `selection.json` repeats it (`extras`).
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import parquet_schema, read_json, read_parquet, sha256sum, write_parquet
from prunegrid.core.ragged import Ints
from prunegrid.experiment.score_file import ORDER, ScoreFile, check_name
from prunegrid.scoring import origin
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.score_rows import ANSWER, ScoreRows, first_duplicate, joined, read_rows
from prunegrid.scoring.vectors import DIGESTS


@dataclass(frozen=True)
class Samples:
    """The n samples of a scores folder: their ids, `response_tokens` [n], and the keys that rows are told by."""

    sample_id: Ints
    response_tokens: Ints
    key: pa.Array


def import_scores(name: str, scores_dir: Path, settings: ScoreFile, out: Path, data: Path | None = None) -> list[str]:
    """Write the column `name` to `out` from the file of `settings`, and return what to say of it, a line each.

    `data` is the data set that was scored, if it is elsewhere than the scores say. Raises `PrunegridError` for a row
    whose score is no finite number, a sample without a score, an id that occurs twice, and a list that is not as long
    as its response.
    """
    try:
        check_name(name)
    except ValueError as error:
        problem, _, fix = str(error).partition("; ")
        raise PrunegridError(name, problem, fix) from None
    folder, path = ScoresFolder(scores_dir), Path(settings.file)
    rows = read_rows(path, name, settings.column, {} if settings.id == ORDER else settings.id)
    if not rows.ids:
        rows = _in_order(rows, folder, data)
    samples = _read_samples(folder, list(rows.ids), data)
    row_N, unused = _match(rows, samples)
    missing = np.flatnonzero(row_N < 0)
    _check_missing(rows, samples, missing, settings)
    column = _token_column(rows, samples, row_N) if rows.by_token else _sample_column(rows, row_N, settings)
    facts = {"file": str(path), "sha256": sha256sum(path), "column": rows.column, "id": " ".join(rows.ids)}
    counts = {
        key: str(len(numbers)) for key, numbers in {"unscored": missing, "unused": unused}.items() if len(numbers)
    }
    digests = folder.digests | facts | settings.recorded | counts
    table = pa.table({"sample_id": pa.array(samples.sample_id, pa.int64()), name: column})
    write_parquet(out, table.replace_schema_metadata({DIGESTS: json.dumps(digests)}), row_group_size=4096)
    return _report(name, rows, samples, unused, missing)


def _in_order(rows: ScoreRows, folder: ScoresFolder, data: Path | None) -> ScoreRows:
    """The same rows with their numbers as ids, if the file has as many as the source of the data."""
    counts = (data or origin.data_file(folder.path)).with_suffix(".json")
    expected = read_json(counts).get("rows") if counts.is_file() else None
    if expected is None:
        problem = "does not say how many rows the source of the data has"
        raise PrunegridError(counts, problem, "give the scores ids instead of id: order")
    if len(rows) != expected:
        problem = f"has {len(rows)} rows, but the source of the data {expected}, so rows cannot be matched by order"
        raise PrunegridError(rows.path, problem, "give a row for each of the source's, or an id to every row")
    return ScoreRows(rows.path, rows.column, {"row": pa.array(np.arange(len(rows)))}, rows.values)


def _read_samples(folder: ScoresFolder, keys: list[str], data: Path | None) -> Samples:
    """The samples with the columns `keys`, of the sample table or carried by the data set."""
    table, known = folder.tables["sample"], parquet_schema(folder.tables["sample"]).names
    columns = [name for name in ("sample_id", "response_tokens", *ANSWER[1:]) if name in known]
    samples = read_parquet(table, columns)
    if unknown := [name for name in keys if name in ANSWER and name not in known]:
        raise PrunegridError(table, f"does not say the {unknown[0]} of its samples", "score again, or use sample_id")
    integers = {name: samples[name].cast(pa.int64()).combine_chunks() for name in columns}
    key = joined([integers[name] if name in ANSWER else _carried(folder, samples, name, data) for name in keys])
    return Samples(samples["sample_id"].to_numpy(), samples["response_tokens"].to_numpy(), key)


def _carried(folder: ScoresFolder, samples: pa.Table, name: str, data: Path | None) -> pa.Array:
    """The text of the data set's column `name` for each sample; a value stands for one row of the source only."""
    file = data or folder.data_file()
    known = parquet_schema(file).names
    if name not in known:
        fix = f"write dataset.carry: [{name}] and score again, or set id to another column"
        raise PrunegridError(file, f"has no column {name}, which identifies the samples", fix)
    place = "row" if "row" in known and "row" in samples.column_names else "sample_id"
    table = read_parquet(file, [place, name])
    rows = table[place].cast(pa.int64()).combine_chunks()
    is_first = np.zeros(len(table), bool)
    is_first[np.unique(rows.to_numpy(), return_index=True)[1]] = True
    rows, texts = (
        column.filter(pa.array(is_first)) for column in (rows, table[name].cast(pa.string()).combine_chunks())
    )
    given = texts.drop_null()
    if duplicate := first_duplicate(given):
        numbers = rows.filter(texts.is_valid())
        first, second = (numbers[index].as_py() for index in duplicate)
        problem = f"{name} {given[duplicate[0]].as_py()!r} is for {place} {first} and for {second}"
        raise PrunegridError(file, problem, "use ids that are unique: row, or sample_id")
    return texts.take(pc.index_in(samples[place].cast(pa.int64()).combine_chunks(), value_set=rows))


def _match(rows: ScoreRows, samples: Samples) -> tuple[Ints, Ints]:
    """The row of each sample [n], -1 without a score, and the rows that are of no sample."""
    key = joined(list(rows.ids.values()))
    names = " ".join(rows.ids)
    if duplicate := first_duplicate(key):
        first, second = duplicate
        text = ", ".join(str(column[second].as_py()) for column in rows.ids.values())
        problem = f"{names} {text} occurs before, at {rows.place(first)}"
        raise PrunegridError(rows.place(second), problem, "leave one score for each sample")
    row_N = pc.fill_null(pc.index_in(samples.key, value_set=key), -1).to_numpy(zero_copy_only=False).astype(np.int64)
    unused = np.setdiff1d(np.arange(len(rows)), row_N)
    is_null = rows.values.is_null().to_numpy(zero_copy_only=False)
    row_N[(row_N >= 0) & is_null[row_N]] = -1
    return row_N, unused


def _check_missing(rows: ScoreRows, samples: Samples, missing: Ints, settings: ScoreFile) -> None:
    """Refuse samples without a score, unless they come last; of a file that fits no sample in any case."""
    if not len(missing):
        return
    total, first = len(samples.sample_id), samples.sample_id[missing[0]]
    place = f"sample_id {first} ({_id_text(rows, samples, missing[0])})"
    problem = f"{len(missing)} of {total} samples have no score, the first: {place}"
    if len(missing) == total:
        raise PrunegridError(rows.path, problem, f"check {' and '.join(rows.ids)}: they belong to other data")
    if rows.by_token:
        raise PrunegridError(rows.path, problem, "give a list for each")
    if settings.missing == "refuse":
        fix = "give every sample one, or set missing: last, which ranks these last"
        raise PrunegridError(rows.path, problem, fix)


def _id_text(rows: ScoreRows, samples: Samples, sample: int) -> str:
    return f"{' '.join(rows.ids)} {str(samples.key[int(sample)].as_py()).replace(chr(0x1F), ' ')}"


def _sample_column(rows: ScoreRows, row_N: Ints, settings: ScoreFile) -> pa.Array:
    """float64 [n]. Samples without a score get the next number behind the worst that a sample has."""
    values = rows.values.to_numpy(zero_copy_only=False)
    _check_finite(rows, values, np.arange(len(rows)))
    column = values[row_N]
    scored = column[row_N >= 0]
    highest = settings.direction == "highest"
    column[row_N < 0] = np.nextafter(scored.min(), -np.inf) if highest else np.nextafter(scored.max(), np.inf)
    return pa.array(column)


def _token_column(rows: ScoreRows, samples: Samples, row_N: Ints) -> pa.Array:
    """Lists [n] of float32, each as long as its sample's response."""
    if len(np.unique(row_N)) < len(row_N):
        problem = f"{' '.join(rows.ids)} belongs to several answers, so a list of token scores is ambiguous"
        raise PrunegridError(rows.path, problem, "tell rows by sample_id, or by row and turn")
    lists = rows.values.take(pa.array(row_N))
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    wrong = np.flatnonzero(lengths != samples.response_tokens)
    if len(wrong):
        sample, count = wrong[0], samples.response_tokens[wrong[0]]
        sample_text = f"sample_id {samples.sample_id[sample]} has {count} response tokens"
        problem = (
            f"its list has {lengths[sample]} values, but {sample_text}; of {len(wrong)} samples the lists do not fit"
        )
        fix = "score the response_ids of tokens.parquet, the end of the sequence included"
        raise PrunegridError(rows.place(row_N[sample]), problem, fix)
    flat = lists.flatten().to_numpy(zero_copy_only=False)
    _check_finite(rows, flat, np.repeat(row_N, lengths))
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(flat))


def _check_finite(rows: ScoreRows, values: np.ndarray, row_of: Ints) -> None:
    """Refuse NaN and infinity in `values`, which are of the rows `row_of`; a row without a score is neither."""
    null = rows.values.is_null().to_numpy(zero_copy_only=False)
    bad = np.flatnonzero(~np.isfinite(values) & ~null[row_of])
    if len(bad):
        problem = f"{rows.column} is {values[bad[0]]}, not a finite number"
        raise PrunegridError(rows.place(row_of[bad[0]]), problem, "write null where there is no score")


def _report(name: str, rows: ScoreRows, samples: Samples, unused: Ints, missing: Ints) -> list[str]:
    values = "a number for each response token" if rows.by_token else "a number for each sample"
    lines = [f"{name}: {values}, {len(samples.sample_id)} samples, from {rows.column} of {rows.path}"]
    if len(missing):
        first = samples.sample_id[missing[0]]
        lines.append(f"{name}: samples without a score, ranked last: {len(missing)}, the first: sample_id {first}")
    if len(unused):
        lines.append(f"{name}: rows without a sample: {len(unused)}, the first: {rows.place(unused[0])}")
    return lines
