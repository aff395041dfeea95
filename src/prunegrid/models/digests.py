"""Digests of models, by which later steps know that they read the model that earlier steps read."""

import json
from pathlib import Path
from typing import Any

from prunegrid.core import file_sums
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import parquet_schema, read_json, sha256
from prunegrid.models.folder import check_complete, file_sizes, manifest_file
from prunegrid.models.load import load_tokenizer
from prunegrid.models.remote_code import may_run_code


def describe(folder: Path) -> dict[str, Any]:
    """Digests of what later steps depend on, the size of the weights in bytes, and the sizes of all files.

    The digests are those of the manifest beside the folder if nothing in the folder has changed since it was written;
    otherwise all weights are read for them.
    """
    if not folder.is_dir():
        raise PrunegridError(folder, "no such folder", "give the folder of a model saved with save_pretrained")
    check_complete(folder)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise PrunegridError(folder, "no .safetensors file (pickles are not read)", "convert the weights first")
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.exists():
        raise PrunegridError(folder, "no tokenizer.json", "save the tokenizer there with save_pretrained")
    code = sorted(folder.glob("*.py")) if may_run_code(folder) else []
    return {
        "digests": (None if code else _recorded_digests(folder))
        or {
            "model": sha256(folder / "config.json", *weights, *code),
            "tokenizer": sha256(tokenizer),
            "template": template_digest(load_tokenizer(folder).chat_template),
        },
        "bytes": sum(file.stat().st_size for file in weights),
        "files": file_sizes(folder),
    }


def template_digest(chat_template: str | dict[str, str] | None) -> str:
    """Digest of a tokenizer's chat template, or of several by name."""
    return sha256(json.dumps(chat_template) if isinstance(chat_template, dict) else chat_template or "")


def _recorded_digests(folder: Path) -> dict[str, str] | None:
    """The digests in the manifest `<folder>.json`; None if a file is not in it, has another size or is newer."""
    path = manifest_file(folder)
    manifest = read_json(path) if path.is_file() else {}
    files = {name: size for name, size in file_sizes(folder).items() if not name.startswith(".")}  # Snakemake adds one
    if not isinstance(manifest, dict) or manifest.get("files") != files:
        return None
    if any((folder / name).stat().st_mtime_ns > path.stat().st_mtime_ns for name in files):
        return None
    digests: dict[str, str] | None = manifest.get("digests")
    return digests


def expected_digests(manifest: Path, data: Path) -> dict[str, str]:
    """The digests in the meta of scores of this model and data set."""
    parquet_schema(data)  # a damaged file is reported as damaged, not as another data set
    return {**read_json(manifest)["digests"], "data": sha256(data)}


def weights_digest(folder: Path, sums: file_sums.Sums | None = None) -> str:
    """Digest of a trained model's weights, whole or adapter; `sums` are its files' SHA-256, if they are known."""
    weights = sorted(folder.glob("*.safetensors"))
    known = file_sums.hash_files(weights) if sums is None else sums
    return file_sums.combined(known[file] for file in weights)
