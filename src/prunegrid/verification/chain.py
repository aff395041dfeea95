"""The chain of digests, from the table down to the data: each record names what it was made of, and what was made.

`Walk` goes through the records of a results folder and compares every digest that they hold with the file that it is
of. What differs is collected by file, so that a file that twenty records name is one finding. A digest that an older
version did not write, weights that were deleted, and sources missing on this machine are counted.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prunegrid.core import files
from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import layout
from prunegrid.verification.hashes import WEIGHTS, Hashes, combine
from prunegrid.verification.numbers import rebuild_command

SHARED = ("data", "scores", "models")


class Walk:
    """What was compared: `matched` links by the kind of the record; `unnamed`: links without a digest, by what they
    lead to; `deleted`: weights, by cell.
    """

    def __init__(self, root: Path, hashes: Hashes) -> None:
        self.root, self.hashes = root, hashes
        self.matched: Counter[str] = Counter()
        self.unnamed: Counter[str] = Counter()
        self.deleted: list[str] = []
        self.unpublished: set[str] = set()
        """Files that are not there because the folder was published without them."""
        self.elsewhere: list[str] = []
        self.other: list[PrunegridError] = []
        self._left_out = frozenset(files.read_json(path)["files"] if (path := root / layout.LEFT_OUT).exists() else ())
        self._records: dict[str, dict[str, Any]] = {}
        self._changed: dict[Path, tuple[str, list[Path]]] = {}

    @property
    def problems(self) -> list[PrunegridError]:
        """What was found: files that changed, then all else."""
        return [*(self._changed_error(file) for file in self._changed), *self.other]

    def record(self, name: str) -> dict[str, Any]:
        """The content of a JSON file; empty where it is not there or damaged, which is a finding."""
        if name not in self._records:
            self._records[name] = {}
            if (self.root / name).exists():
                try:
                    self._records[name] = dict(files.read_json(self.root / name))
                except PrunegridError as error:
                    self.other.append(error)
                except (TypeError, ValueError):
                    path = self.root / name
                    self.other.append(PrunegridError(path, "is not a JSON object", files.repair(path)))
        return self._records[name]

    def follow(self, name: str, key: str, kind: str, purpose: str, skipped: str = "") -> None:
        """Compare the files that the record names under `key`, a map to the sums of `sha256sum`.

        The file `skipped`, or the files of a folder `skipped`, are left out.
        """
        named = self.record(name).get(key)
        if not isinstance(named, Mapping):
            self.unnamed[purpose] += 1
            return
        folder = "" if key == "inputs" else name.rpartition("/")[0]
        for file, expected in named.items():
            if skipped and (file == skipped or file.startswith(f"{skipped}/")):
                continue
            self.compare(name, kind, [Path(folder, file).as_posix()], expected, combined=False)

    def compare(
        self,
        name: str,
        kind: str,
        paths: Sequence[str | Path],
        expected: str | None,
        purpose: str = "",
        combined: bool = True,
    ) -> None:
        """Compare files with the digest that the record `name` has of them: `combined`, or the sum of a single one.

        Names are relative to the results folder, paths are not.
        """
        if expected is None:
            self.unnamed[purpose] += 1
            return
        record, places = self.root / name, [path if isinstance(path, Path) else self.root / path for path in paths]
        if missing := next((place for place in places if not place.is_file()), None):
            self._missing(missing, record)
            return
        sums = [self.hashes.find(place, record) for place in places]
        known = [each for each in sums if each is not None]
        if len(known) == len(sums):
            actual = combine(known) if combined else known[0]
            self._judge(kind, places[0] if len(places) == 1 else places[0].parent, actual, expected, record)

    def agree(self, kind: str, place: tuple[str, str], other: tuple[str, str], purpose: str) -> None:
        """Compare a value of one record with that of another; places are (record, dotted key). Older ones lack some."""
        values = [_value(self.record(name), key) for name, key in (place, other)]
        if None in values:
            self.unnamed[purpose] += 1
        elif values[0] == values[1]:
            self.matched[kind] += 1
        else:
            value, other_value = (str(value)[:12] for value in values)
            path, source = self.root / place[0], self.root / other[0]
            problem = f"{place[1]} is {value}..., but {source} has {other_value}...: the {purpose} differs"
            self.other.append(PrunegridError(path, problem, files.repair(path)))

    def sizes(self, name: str, folder: str) -> None:
        """Compare the sizes that the record has of the folder's files."""
        recorded = self.record(name).get("files") or {}
        if damage := files.damaged_file(self.root / folder, recorded):
            place = self.root / folder
            self.other.append(PrunegridError(place / damage.name, damage.problem, files.repair(place)))

    def _judge(self, kind: str, place: Path, actual: str, expected: str, record: Path) -> None:
        if actual == expected:
            self.matched[kind] += 1
            return
        problem = f"its SHA-256 is {actual[:12]}..., but {record} records {expected[:12]}..."
        self._changed.setdefault(place, (problem, []))[1].append(record)

    def _missing(self, place: Path, record: Path) -> None:
        if place.is_relative_to(self.root) and (name := place.relative_to(self.root).as_posix()) in self._left_out:
            self.unpublished.add(name)
            return
        self._changed.setdefault(place, (f"is missing, but {record} refers to it", []))[1].append(record)

    def _changed_error(self, place: Path) -> PrunegridError:
        problem, records = self._changed[place]
        more = len(set(records)) - 1
        others = f" (as do {more} more records)" if more else ""
        return PrunegridError(place, f"{problem}{others}", self._fix(place, records))

    def _fix(self, place: Path, records: list[Path]) -> str:
        """The file made again; or the results, if only they were made from another one."""
        whole = place.parent if (place.parent / "config.json").exists() else place  # a model is made as a whole
        # Of these nothing else asks for a file once the cells are finished: Snakemake would have nothing to do.
        named = whole.is_relative_to(self.root) and whole.relative_to(self.root).parts[0] in SHARED
        if not whole.exists():
            return f"run the same snakemake command{f' with {whole} appended' * named}: it regenerates missing files"
        if set(records) == {self.root / layout.RESULTS_RECORD}:
            return f"{rebuild_command(self.root)} if the change was intended, otherwise {files.repair(whole, named)}"
        return files.repair(whole, named)


def weight_files(folder: Path) -> list[Path]:
    """The weights of a model's folder, in the order in which their digest is made."""
    return sorted(folder.glob(f"*{WEIGHTS}"))


def _value(record: Any, key: str) -> Any:
    for part in key.split("."):
        record = record.get(part) if isinstance(record, dict) else None
    return record
