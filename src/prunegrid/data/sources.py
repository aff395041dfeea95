"""The files of a source: one file, the files of a glob, or those of a folder (shards, `save_to_disk`, a hub copy)."""

import glob
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_json
from prunegrid.experiment.dataset import DataRef

FORMATS = {".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".pq", ".parq", ".arrow", ".feather", ".ipc"}
COMPRESSED = {".gz", ".zst", ".zstd", ".bz2", ".xz", ".lz4"}
METADATA = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
SHARD = re.compile(r"^(?P<split>\w+(?:[.-]\w+)*?)-\d{5}-of-\d{5}")  # as `push_to_hub` names files
SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}


@dataclass(frozen=True)
class SourceFiles:
    """The files that are read, in order, and the names of those beside them that are not."""

    files: list[Path]
    skipped: list[str] = field(default_factory=list)


def source_files(ref: DataRef, local: str) -> SourceFiles:
    """The files of `local`: itself, if it is a file; a `PrunegridError` if it is a glob or a folder without any."""
    if not local.strip():
        raise PrunegridError("data", f"is the empty text {local!r}, not a path", "give a file, a folder or a glob")
    path = Path(local)
    if _is_folder(path):
        found = _folder_files(ref, path)
    elif not path.exists() and glob.has_magic(local):
        matches = glob.glob(local, recursive=True)  # noqa: PTH207 (Path.glob takes no absolute pattern)
        found = _glob_files(sorted(file for file in map(Path, matches) if file.is_file()))
    else:
        return SourceFiles([path])
    if not found.files:
        skipped = f" (only {', '.join(found.skipped[:3])})" if found.skipped else ""
        problem = "matches no file" if glob.has_magic(local) else f"holds no data files{skipped}"
        raise PrunegridError(local, problem, f"give a file, or a glob; names end in {', '.join(sorted(FORMATS))}")
    return found


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:  # a text of data in the place of its path
        name = f"{str(path)[:40]!r}..."
        raise PrunegridError(name, f"is not a usable path ({error.strerror})", "give the path of a file") from None


def input_files(ref: DataRef, local: str) -> str | list[str]:
    """What Snakemake is to watch: the file `local`, or the files of a folder or glob. An absent one is its own name."""
    path = Path(local)
    if path.is_file() or not (path.is_dir() or glob.glob(local, recursive=True)):  # noqa: PTH207 (as below)
        return local
    files = [str(file) for file in source_files(ref, local).files]
    if hostile := [file for file in files if re.search(r"[{}\x00-\x1f]", file)]:
        problem = f"the name of its file {hostile[0]!r} has braces or line breaks, which no path may have in Snakemake"
        raise PrunegridError(local, problem, "rename the file")
    return files


def is_here(ref: DataRef, local: str) -> bool:
    """Whether the file exists; a folder or glob without files is a `PrunegridError`."""
    return all(file.is_file() for file in source_files(ref, local).files)


def _glob_files(files: list[Path]) -> SourceFiles:
    """Those with a data file's name, if there is any: a README beside them is not data."""
    named = [file for file in files if _is_data(file)]
    return SourceFiles(named, [str(file) for file in files if file not in named]) if named else SourceFiles(files)


def _folder_files(ref: DataRef, folder: Path) -> SourceFiles:
    if (folder / "dataset_dict.json").is_file():
        return _saved_files(_saved_split(folder, ref.split))
    if (folder / "state.json").is_file():
        return _saved_files(folder)
    if (folder / "snapshots").is_dir() and (folder / "blobs").is_dir():
        names = ", ".join(sorted(child.name for child in (folder / "snapshots").iterdir()))
        problem = "is the hub's cache of a repository, not one version of it"
        raise PrunegridError(folder, problem, f"give {folder / 'snapshots'}/ and one of {names}")
    config = _card_config(ref, folder)
    if entries := config.get("data_files"):
        patterns = [str(Path(config.get("data_dir", ""), path)) for path in _paths(folder, entries, ref.split)]
        return _partition(folder, {file for pattern in patterns for file in folder.glob(pattern)})
    subfolder = folder / config.get("data_dir", ref.config or "")
    return _split_files(subfolder if subfolder.is_dir() else folder, ref.split)


def _saved_split(folder: Path, split: str) -> Path:
    splits = read_json(folder / "dataset_dict.json", "save it again")["splits"]
    if split not in splits:
        raise _no_split(folder, split, splits)
    return folder / split


def _saved_files(folder: Path) -> SourceFiles:
    """The files of a `datasets.Dataset` that `save_to_disk` wrote."""
    files = read_json(folder / "state.json", "save it again")["_data_files"]
    return SourceFiles([folder / file["filename"] for file in files])


def _split_files(folder: Path, split: str) -> SourceFiles:
    """The data files of a split: those whose names tell it; if no file's does, all are the split `train`."""
    files = [file for file in _visible(folder) if _is_data(file)]
    splits = {file: _split_of(file.relative_to(folder)) for file in files}
    names = {name for name in splits.values() if name}
    if files and split not in (names or {"train"}):
        raise _no_split(folder, split, names or {"train"})
    return _partition(folder, {file for file, name in splits.items() if name == split or not names})


def _partition(folder: Path, chosen: set[Path]) -> SourceFiles:
    skipped = [str(file.relative_to(folder)) for file in _visible(folder) if file not in chosen]
    return SourceFiles(sorted(file for file in chosen if file.is_file()), skipped)


def _visible(folder: Path) -> list[Path]:
    """The files in the folder and below, in the order of their names; hidden ones are left out."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return sorted(file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts))


def _is_data(file: Path) -> bool:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return bool(suffixes) and suffixes[-1] in FORMATS and file.name not in METADATA and not file.name.startswith("_")


def _split_of(name: Path) -> str | None:
    """The split that a file's name, or else one of its folders', tells as on the hub."""
    if match := SHARD.match(name.name):
        return match["split"]
    for part in (name.name, *reversed(name.parts[:-1])):
        words = re.split(r"[-._ 0-9]+", part.lower())
        for split, aliases in SPLITS.items():
            if not set(aliases).isdisjoint(words):
                return split
    return None


def _card_config(ref: DataRef, folder: Path) -> dict[str, Any]:
    """The configuration that `ref` names, else the default or only one, of the README of a hub copy; {} without any."""
    card = folder / "README.md"
    match = re.match(r"---\n(.*?)\n---", card.read_text(errors="replace"), re.DOTALL) if card.is_file() else None
    try:
        header = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError:
        return {}  # a README is prose first: one that is no card says nothing about files
    configs = header.get("configs") if isinstance(header, dict) else None
    if not configs:
        return {}
    named = {str(config.get("config_name")): config for config in configs}
    default = [name for name, config in named.items() if config.get("default") or name == "default"]
    name = ref.config or next(iter(default or named))
    if name not in named or not (ref.config or default or len(named) == 1):
        problem = f"has the configurations {', '.join(named)}" + (f", not {ref.config}" if ref.config else "")
        raise PrunegridError(folder, problem, "set config to one of them, or give a glob")
    return dict(named[name])


def _paths(folder: Path, entries: Any, split: str) -> list[str]:
    """The globs of a split in a card's `data_files`: one, a list, or a list of `split` and `path`."""
    by_split: dict[str, list[str]] = {}
    for entry in entries if isinstance(entries, list) else [entries]:
        parts = entry if isinstance(entry, dict) else {"path": entry}
        paths = parts["path"] if isinstance(parts["path"], list) else [parts["path"]]
        by_split.setdefault(parts.get("split", "train"), []).extend(paths)
    if split not in by_split:
        raise _no_split(folder, split, by_split)
    return by_split[split]


def _no_split(folder: Path, split: str, splits: Iterable[str]) -> PrunegridError:
    names = ", ".join(sorted(splits))
    return PrunegridError(
        folder, f"has no files of the split {split}; its splits are {names}", "set split, or give a glob"
    )
