"""The splits of a data set as `datasets.Dataset`, each read when first asked for: from a mirror, else from the hub."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from prunegrid.core.errors import PrunegridError, first_line
from prunegrid.core.files import Record
from prunegrid.data.datasets import locate
from prunegrid.data.rows import stream_rows
from prunegrid.experiment.dataset import DataRef

HUB_FILE = "hf://datasets/"


class Splits(dict[str, Any]):
    """A data set's splits by name. Those that were asked for are the keys.

    A split comes from `mirror` (`org/name/config/split.jsonl`), if that has it, else from the hub, with the
    `options` of `datasets.load_dataset`.
    """

    def __init__(self, hub: str | None, config: str | None, mirror: str | None, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.hub, self.config, self.mirror, self.options = hub, config, mirror, dict(options)
        self._online: Any = None

    def __missing__(self, split: str) -> Any:
        self[split] = self._local(split) or self._remote(split)
        return self[split]

    def _local(self, split: str) -> Any:
        files = self.options.get("data_files")
        file = files.get(split) if isinstance(files, dict) else None
        if isinstance(file, str) and file.startswith(HUB_FILE) and self.mirror:  # in the mirror by its name on the hub
            path = Path(self.mirror, file.removeprefix(HUB_FILE))
            ref, local = DataRef(path=str(path)), str(path) if path.exists() else None
        else:
            try:
                ref = DataRef(hub=self.hub, config=self.config, split=split)
            except ValidationError:  # a name that no mirror has, such as a URL
                return None
            local = locate(ref, self.mirror)
        return to_dataset((row.values for row in stream_rows(ref, local)), local) if local else None

    def _remote(self, split: str) -> Any:
        from datasets import load_dataset  # takes seconds
        from datasets.exceptions import DatasetsError

        if self._online is None:
            try:
                revision, options = self.options.get("revision"), {**self.options, "revision": None}
                options.pop("revision")
                self._online = load_dataset(self.hub, self.config, revision=revision, **options)
            except (DatasetsError, OSError, ValueError, RuntimeError) as error:
                name = "/".join(filter(None, (self.hub, self.config)))
                fix = f"check the network, or put {name}/{split}.jsonl in data_mirror"
                raise PrunegridError(name, f"cannot be downloaded from the hub ({first_line(error)})", fix) from None
        return self._online[split]


def to_dataset(rows: Iterable[Record], source: Any) -> Any:
    """Rows as a `datasets.Dataset` in memory: a field that a row lacks is null."""
    from datasets import Dataset

    records = list(rows)
    names = dict.fromkeys(name for record in records for name in record)
    try:
        return Dataset.from_list([{name: record.get(name) for name in names} for record in records])
    except Exception as error:  # pyarrow's and datasets' own, of many classes
        problem = f"its rows do not form a table ({first_line(error)})"
        raise PrunegridError(source, problem, "give a field the same type in all rows") from None
