"""Read a folder of scores: into the arrays that pruners take, or as the token sequences that were scored.

Only the columns that a pruner needs are read, and the token ids only as sequences.
"""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from prunegrid.core import file_sums, ragged
from prunegrid.core.columns import Stretch, read_columns, read_rows, stream_rows
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import parquet_schema, read_json, read_parquet, repair, sha256, stream_parquet
from prunegrid.core.versions import SCORES_SCHEMA
from prunegrid.experiment import layout
from prunegrid.pruners.arrays import Scores
from prunegrid.pruners.columns import QUERY_EXTRAS, REFERENCE_EXTRAS
from prunegrid.pruners.conversations import merge
from prunegrid.pruners.method import Needs
from prunegrid.pruners.named_columns import missing_column
from prunegrid.scoring import extra_files, origin, sample_table
from prunegrid.scoring.sequences import Sequences

NO_COLUMNS = Needs(samples={}, tokens={})
ORIGIN: dict[str, type] = {"row": np.int64, "turn": np.int64, "continues": np.bool_}  # not in version 0.1
BLOCK_TOKENS = 2**22
ROW_COST = 32  # a row's fixed memory, in tokens


class ScoresFolder:
    """The scores of one base model: two tables, optional scores in `extra/`, and `meta.json`, which is read once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tables = {"sample": path / layout.SAMPLES, "token": path / layout.TOKENS}

    @cached_property
    def meta(self) -> dict[str, Any]:
        """`meta.json`; empty if the folder, made by hand, has none."""
        path = self.path / layout.META
        meta: dict[str, Any] = read_json(path) if path.exists() else {}
        if meta.get("schema", SCORES_SCHEMA) != SCORES_SCHEMA:
            writer = meta.get("version", "version not recorded")
            problem = f"schema {meta['schema']}, but this version reads {SCORES_SCHEMA}"
            raise PrunegridError(path, problem, f"score again, or use the prunegrid that wrote it ({writer})")
        return meta

    @property
    def digests(self) -> dict[str, str]:
        """Digests of the model, tokenizer, template and data that were scored, and of the settings."""
        digests: dict[str, str] = self.meta.get("digests", {})
        return digests

    @property
    def counts(self) -> dict[str, Any] | None:
        """`data.json` of the data that was scored, if it is in the folder, as `prunegrid score` leaves it."""
        path = self.path / layout.DATA_COUNTS
        return read_json(path) if path.exists() else None

    def check_digests(self, expected: Mapping[str, str]) -> None:
        """Refuse scores of another model, tokenizer, template or data set.

        Scores with a tokenizer of their own have a template of their own, which is not checked.
        """
        if (self.path / layout.TOKENIZER).is_dir():
            expected = {name: digest for name, digest in expected.items() if name != "template"}
        check_digests(self.path, self.digests, expected, "remove it and score again")

    def check_files(self, needs: Needs = NO_COLUMNS) -> file_sums.Sums:
        """SHA-256 of both tables and of the optional scores that are needed; refuse tables that are not the meta's."""
        extras = sorted(self.extra_file(name) for name in {**needs.samples, **needs.tokens})
        present = [*self.tables.values(), *filter(Path.exists, extras)]
        return file_sums.check_files(present, self.path / layout.META, self.meta.get("sha256", {}))

    def left_out(self, column: str) -> str | None:
        """Why the scoring pass left `column` out; None if it did not."""
        reason: str | None = self.meta.get("left_out", {}).get(column)
        return reason

    def tokenizer_dir(self) -> Path:
        """The folder of the tokenizer that was scored with, its chat template included."""
        return origin.tokenizer_dir(self.path)

    def data_file(self) -> Path:
        """The Parquet of the data set that was scored; another one is refused."""
        file = origin.data_file(self.path)
        if "data" in self.digests:
            check_digests(file, {"data": sha256(file)}, {"data": self.digests["data"]}, "score again")
        return file

    def columns(self, kind: str) -> list[str]:
        """The columns with a value for each `kind` (sample or token), optional scores included."""
        extra = extra_files.extra_names(self.path)
        return [*parquet_schema(self.tables[kind]).names, *(name for name in extra if self._extra_kind(name) == kind)]

    def _extra_kind(self, column: str) -> str:
        """Whether an optional score that is there has a value for each sample or for each token."""
        return extra_files.extra_kind(self.extra_file(column), column)

    def extra_file(self, column: str) -> Path:
        """Where the optional score `column` is, if it is there."""
        return extra_files.extra_file(self.path, column)

    def extra_command(self, column: str) -> str:
        """The command that makes the optional score `column` for these scores."""
        reference = " --reference DIR" if column in REFERENCE_EXTRAS else ""
        reference += " --query FILE" if column in QUERY_EXTRAS else ""
        model, scores = origin.model_name(self.path, self.meta), shlex.quote(str(self.path))
        return f"prunegrid extra {column} --model {model} --scores {scores}{reference}"

    def extra_digests(self, needs: Needs) -> dict[str, dict[str, str]]:
        """For each optional score that is needed, digests of what it was made from (a reference model's too)."""
        files = {name: self.extra_file(name) for name in sorted({**needs.samples, **needs.tokens})}
        return {name: extra_files.source_digests(file) for name, file in files.items() if file.exists()}

    def read(self, needs: Needs = NO_COLUMNS) -> Scores:
        """All samples, in the file's order, with the columns needed."""
        samples = self.read_samples(needs)
        columns: dict[str, list[NDArray[np.floating[Any]]]] = {name: [] for name in needs.tokens}
        for block in self.token_blocks(samples, needs):
            for name in columns:
                columns[name].append(block.tokens[name])
        return replace(samples, tokens={name: np.concatenate(parts) for name, parts in columns.items()})

    def read_samples(self, needs: Needs = NO_COLUMNS, unit: str = "turn", stretch: Stretch | None = None) -> Scores:
        """All samples (or those of a stretch of answers), in the file's order, with the sample columns needed.

        With `unit: conversation`, consecutive answers of one row of the source are one sample (`conversations.merge`).
        """
        scores = sample_table.read_answers(self.tables["sample"], stretch)
        for file, names in self._files("sample", needs.samples).items():
            if file == self.tables["sample"]:  # a null becomes NaN, which the pruner's check reports
                values: dict[str, NDArray[Any]] = read_columns(file, dict.fromkeys(names, np.float64), stretch)
            else:
                file_ids, values = extra_files.read_sample_columns(file, names, stretch)
                _check_ids(file_ids, scores.sample_id, file)
            scores.samples.update(values)
        if unit == "conversation":
            scores = merge(scores, sample_table.first_answers(self.tables["sample"], stretch))
        return replace(scores, blocks=lambda: self.token_blocks(scores, needs, stretch))

    def shard_stretch(self, shard: tuple[int, int], unit: str = "turn") -> Stretch:
        """The answers that are part i of n, `shard` (i, n); conversations stay whole where they are the unit."""
        return sample_table.shard_stretch(self.tables["sample"], shard, unit)

    def token_blocks(
        self, samples: Scores, needs: Needs = NO_COLUMNS, stretch: Stretch | None = None
    ) -> Iterator[Scores]:
        """Consecutive blocks of `samples`, as `read_samples` gave them, with the token columns needed.

        Only a block of about `BLOCK_TOKENS` tokens is in memory at a time, whatever the size of the file, of its
        row groups or of a response.
        """
        files = {self.tables["token"]: [], **self._files("token", needs.tokens)}
        sizes = _block_sizes(samples.response_tokens)
        rows = np.diff(samples.answers.offsets[ragged.offsets_from_lengths(np.array(sizes, np.int64))]).tolist()
        streams = [_stream(file, ["sample_id", *names], rows, stretch) for file, names in files.items()]
        start = 0
        # A file with more rows than answers yields one more table, one with fewer yields none: `_check_rows` sees it.
        for size, *tables in zip_longest(sizes, *streams, fillvalue=0):
            block = samples.take(np.arange(start, start + size))
            columns: dict[str, NDArray[np.floating[Any]]] = {}
            for (file, names), table in zip(files.items(), tables, strict=True):
                _check_rows(table, block.answers.sample_id, file)
                columns |= {name: _flat(table, name, block, file) for name in names}
            yield replace(block, tokens=columns)
            start += size

    def places(self, stretch: Stretch | None = None) -> "Places | None":
        """Where the answers stand in the source; None for scores of version 0.1."""
        path = self.tables["sample"]
        if not {"row", "turn"} <= set(parquet_schema(path).names):
            return None
        return Places(read_rows(path, ["sample_id", "row", "turn"], stretch).sort_by("sample_id").combine_chunks())

    def sequences(self) -> Sequences:
        """The token ids that were scored, where their answers stand, and which responses were cut off."""
        path = self.tables["token"]
        table = read_parquet(path, ["sample_id", "prompt_ids", "response_ids"])
        origin = [name for name in ORIGIN if name in parquet_schema(self.tables["sample"]).names]
        samples = read_parquet(self.tables["sample"], ["sample_id", "truncated", *origin])
        ids = samples["sample_id"].to_numpy()
        _check_rows(table, ids, path)
        truncated = samples["truncated"].to_numpy().astype(bool)
        lists = (table[name].combine_chunks() for name in ("prompt_ids", "response_ids"))
        places = {f"{name}_N": samples[name].to_numpy().astype(ORIGIN[name]) for name in origin}
        sequences = replace(Sequences.from_lists(ids, truncated, *lists), **places)
        if not len(sequences):
            raise PrunegridError(self.path, "holds no samples", "score again")
        if sequences.continues_N is not None and sequences.continues_N[0]:
            problem = f"sample_id {ids[0]}, the first, continues a sample that is missing"
            raise PrunegridError(path, problem, "score again")
        if min(sequences.prompt_N[sequences.conversations.start_C].min(), sequences.response_N.min()) < 1:
            raise PrunegridError(path, "a sample has no prompt token or no response token", "leave the sample out")
        return sequences

    def _files(self, kind: str, columns: dict[str, str]) -> dict[Path, list[str]]:
        """The needed columns by the file that has them: the table of this `kind`, or `extra_file`."""
        files: dict[Path, list[str]] = {}
        table = self.tables[kind]
        present = parquet_schema(table).names if columns else []
        for name, pruner in columns.items():
            file = table if name in present else self.extra_file(name)
            if not file.exists():
                raise missing_column(table, kind, name, pruner, present, self.left_out(name), self.extra_command(name))
            if file != table:
                check_digests(file, extra_files.source_digests(file), self.digests, "remove it and recompute it")
            files.setdefault(file, []).append(name)
        return files


@dataclass(frozen=True)
class Places:
    """`row` and `turn` of every sample, in order of `sample_id`."""

    table: pa.Table

    def of(self, sample_id: ragged.Ints) -> dict[str, pa.ChunkedArray]:
        """The columns `row` and `turn` of these samples."""
        chosen = self.table.take(pa.array(np.searchsorted(self.table["sample_id"].to_numpy(), sample_id)))
        return {name: chosen[name] for name in ("row", "turn")}


def check_digests(path: Path, digests: Mapping[str, str], expected: Mapping[str, str], fix: str) -> None:
    """Refuse the file or folder `path` if it was made for another model, tokenizer, template or data set.

    A digest that either side lacks is not checked: older versions and hand-made files do not have all of them.
    """
    changed = [name for name, digest in expected.items() if digests.get(name, digest) != digest]
    if changed:
        pairs = ", ".join(f"{name} {digests[name][:12]} instead of {expected[name][:12]}" for name in changed)
        names = " and ".join(changed)
        problem = f"made for another {names} ({pairs})"
        raise PrunegridError(path, problem, f"{fix}, or use the {names} that it was made for")


def _block_sizes(lengths: ragged.Ints) -> list[int]:
    """Rows of each block: as many as take about `BLOCK_TOKENS` tokens, each row's fixed cost included."""
    block_n = np.cumsum(lengths + ROW_COST) // BLOCK_TOKENS
    sizes: list[int] = np.unique(block_n, return_counts=True)[1].tolist()
    return sizes


def _stream(file: Path, columns: list[str], rows: list[int], stretch: Stretch | None) -> Iterator[pa.Table]:
    return stream_rows(file, columns, rows, stretch.start) if stretch else stream_parquet(file, columns, rows)


def _check_rows(table: pa.Table | None, ids: ragged.Ints, path: Path) -> None:
    _check_ids(table["sample_id"].to_numpy() if table else None, ids, path)


def _check_ids(file_ids: ragged.Ints | None, ids: ragged.Ints, path: Path) -> None:
    if file_ids is None or not np.array_equal(file_ids, ids):
        raise PrunegridError(path, "its sample_id are not those of samples.parquet in the same order", "score again")


def _flat(table: pa.Table, name: str, block: Scores, path: Path) -> NDArray[np.floating[Any]]:
    """The values [T] of the list column `name`, whose lists must have the lengths of the answers."""
    answers = block.answers
    column, lengths = table[name], answers.response_tokens
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        problem = f"token column {name} is {column.type}, not lists of numbers"
        raise PrunegridError(path, problem, "write a list a sample")
    wrong = np.flatnonzero(pc.fill_null(pc.list_value_length(column), -1).to_numpy() != lengths)
    if len(wrong):
        row = wrong[0]
        problem = (
            f"{name} of sample_id {answers.sample_id[row]} does not have the {lengths[row]} values of response_tokens"
        )
        raise PrunegridError(path, problem, repair(path))
    return np.concatenate([chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks])
