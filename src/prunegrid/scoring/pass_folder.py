"""A scoring pass that can be interrupted: its folder holds the samples, and the values of the shards that are scored.

A shard is a group of the batches that a pass without shards would make, so the scores are the same to the last bit,
whatever the number of shards and of processes that score them. A process locks the shard that it works on; the kernel
releases the lock when that process ends, however it ends, and another process takes the shard.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from prunegrid.core import locks
from prunegrid.core.files import parquet_schema, read_json, read_parquet, replacing, write_json, write_parquet
from prunegrid.core.ragged import Ints, flat_indices
from prunegrid.experiment.training import Scoring
from prunegrid.pruners.columns import VECTOR_EXTRAS
from prunegrid.scoring.batches import batches_by_length
from prunegrid.scoring.sequences import Sequences

PLAN, SEQUENCES, SHARDS, ALONE = "pass.json", "sequences", "shards", "alone"
FACTS = b"prunegrid"  # key of a shard's Parquet metadata: facts for the meta
PAUSE = 0.2  # seconds between two looks for a shard that another process has left


@dataclass(frozen=True)
class PassFolder:
    """The folder `path` of a pass; `write` makes it, and then the same pass goes on from it."""

    path: Path

    @classmethod
    def write(cls, path: Path, sequences: Sequences, plan: dict[str, Any]) -> None:
        """`plan`: `identity` (digests by name), `model` (its folder), `settings`, `shards`, `meta` of the scores."""
        sequences.save(path / SEQUENCES)
        (path / SHARDS).mkdir()
        write_json(path / PLAN, plan)

    @property
    def exists(self) -> bool:
        return (self.path / PLAN).is_file()

    @cached_property
    def plan(self) -> dict[str, Any]:
        plan: dict[str, Any] = read_json(self.path / PLAN, f"remove {self.path}")
        return plan

    @cached_property
    def settings(self) -> Scoring:
        return Scoring.model_validate(self.plan["settings"])

    @property
    def alone(self) -> "PassFolder | None":
        """The second pass, over responses without their prompts, if an optional score needs it."""
        folder = PassFolder(self.path / ALONE)
        return folder if folder.exists else None

    @property
    def is_alone(self) -> bool:
        return self.path.name == ALONE

    @cached_property
    def sequences(self) -> Sequences:
        return Sequences.load(self.path / SEQUENCES)

    @cached_property
    def shards(self) -> list[Ints]:
        """The rows of each shard, ascending; a conversation is in one of them."""
        conversations = self.sequences.conversations
        length_C = conversations.length_C
        batches = list(batches_by_length(length_C, self.settings.batch_tokens))
        size_B = np.array([len(chosen) * length_C[chosen[0]] for chosen in batches])  # the first is the longest
        shard_B = (np.cumsum(size_B) - size_B) * self.plan["shards"] // size_B.sum()
        groups = np.split(np.arange(len(batches)), np.flatnonzero(np.diff(shard_B)) + 1)
        return [conversations.samples(np.sort(np.concatenate([batches[b] for b in group]))) for group in groups]

    def file(self, number: int) -> Path:
        """The values of the shard `number`, from 1."""
        return self.path / SHARDS / f"{number}.parquet"

    @property
    def missing(self) -> list[int]:
        """The numbers of the shards that are not scored yet."""
        present = {entry.name for entry in os.scandir(self.path / SHARDS)}
        return [number for number in range(1, len(self.shards) + 1) if self.file(number).name not in present]

    def tokens(self, numbers: Any) -> int:
        """The tokens of prompts and responses in these shards."""
        return sum(int(self.sequences.length_N[self.shards[number - 1]].sum()) for number in numbers)

    def claims(self) -> Iterator[int]:
        """The shards that no other process scores, each locked as long as the caller works on it.

        Waits for the shards of other processes, since one may end without its shard. Ends when all are scored.
        """
        while missing := self.missing:
            claimed = False
            for number in missing:
                descriptor = os.open(self.file(number).with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o666)
                try:
                    if locks.try_lock(descriptor, fcntl.LOCK_EX) and not self.file(number).exists():
                        claimed = True
                        yield number
                finally:
                    os.close(descriptor)
            if not claimed:
                time.sleep(PAUSE)

    def add(self, number: int, values: dict[str, NDArray[Any]], facts: dict[str, Any]) -> None:
        """Store the values of a shard: one for each response token of its rows, and vectors, one for each row."""
        for name, column in values.items():
            if column.ndim == 2:
                with replacing(self._vectors(number, name)) as temporary, temporary.open("wb") as file:
                    np.save(file, column)
        tokens = {name: pa.array(column, pa.float32()) for name, column in values.items() if column.ndim == 1}
        table = pa.table(tokens)
        write_parquet(self.file(number), table.replace_schema_metadata({FACTS: json.dumps(facts)}))

    def _vectors(self, number: int, name: str) -> Path:
        return self.path / SHARDS / f"{number}.{name}.npy"

    def collect(self) -> tuple[dict[str, NDArray[Any]], list[dict[str, Any]]]:
        """The values of all samples, in files that are mapped into memory, and the facts of each shard."""
        values: dict[str, NDArray[Any]] = {}
        facts = []
        for number, rows in enumerate(self.shards, 1):
            file = self.file(number)
            fix = f"remove it, and repeat the command: only shard {number} is scored again"
            table = read_parquet(file, fix=fix)
            places_R = flat_indices(self.sequences.response_offsets, rows)
            for name in table.column_names:
                if name not in values:
                    size = int(self.sequences.response_offsets[-1])
                    values[name] = open_memmap(self.path / f"{name}.npy", "w+", np.float32, (size,))
                values[name][places_R] = table[name].to_numpy()
            for name in VECTOR_EXTRAS & {*self.settings.extra} if not self.is_alone else ():
                vectors_ND = np.load(self._vectors(number, name), mmap_mode="r")
                if name not in values:
                    shape = len(self.sequences), vectors_ND.shape[1]
                    values[name] = open_memmap(self.path / f"{name}.npy", "w+", np.float16, shape)
                values[name][rows] = vectors_ND
            facts.append(json.loads((parquet_schema(file).metadata or {})[FACTS]))
        return values, facts
