"""Digests of models, by which later steps know that they read the model that earlier steps read."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prunegrid.core import file_sums
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import parquet_schema, read_json, sha256
from prunegrid.experiment import layout
from prunegrid.models.folder import check_complete, file_sizes, is_adapter, manifest_file
from prunegrid.models.load import load_tokenizer
from prunegrid.models.remote_code import may_run_code

TOKENIZER = "tokenizer.json"


def describe(folder: Path) -> dict[str, Any]:
    """Digests of what later steps depend on, the size of the weights in bytes, and sizes and sums of all files.

    Every file is read, and refused if it is not the one that the manifest beside the folder names: times and sizes say
    nothing of a weight that is a link.
    """
    if not folder.is_dir():
        raise PrunegridError(folder, "no such folder", "give the folder of a model saved with save_pretrained")
    check_complete(folder)
    weights = _weights(folder)
    if not weights:
        raise PrunegridError(folder, "no .safetensors file (pickles are not read)", "convert the weights first")
    if not (folder / TOKENIZER).exists():
        raise PrunegridError(folder, "no tokenizer.json", "save the tokenizer there with save_pretrained")
    sums = check_unchanged(folder)
    code = _code(folder) if may_run_code(folder) else []
    return {
        "digests": _manifest(manifest_file(folder)).get("digests")
        or {
            "model": model_digest(folder, sums, code),
            "tokenizer": file_sums.combine_sums([sums[folder / TOKENIZER]]),
            "template": template_digest(load_tokenizer(folder).chat_template),
        },
        "bytes": sum(file.stat().st_size for file in weights),
        "files": file_sizes(folder),
        "sha256": file_sums.relative_sums(sums, folder),
    }


def check_unchanged(folder: Path) -> file_sums.Sums:
    """The SHA-256 of each file of a model's folder; refused if it is not what the manifest beside the folder records.

    Of a base model that is `<folder>.json`, of a trained one `training.json`. Older ones record only a digest of the
    weights. A folder without one does not come from the workflow, and is not compared.
    """
    sums = file_sums.hash_files(file for file in sorted(folder.iterdir()) if _counts(file))
    for path in (manifest_file(folder), folder.with_name(layout.TRAINING)):
        manifest = _manifest(path)
        names = file_sums.relative_sums(sums, path.parent)
        for (file, digest), name in zip(sums.items(), names, strict=True):
            if (recorded := manifest.get("sha256", {}).get(name, digest)) != digest:
                raise file_sums.change_error(file, digest, recorded, path, file_sums.restore(folder))
        for versions, former in _older_digests(folder, sums, manifest):
            if former not in versions:
                raise file_sums.change_error(folder, versions[0], former, path, file_sums.restore(folder))
    return sums


def _older_digests(
    folder: Path, sums: file_sums.Sums, manifest: dict[str, Any]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Digests of the folder, one of which must be that of the manifest: of the weights in any case, of the tokenizer.

    Code counts only where it may run, which may have been decided otherwise when the manifest was written.
    """
    if "digests" in manifest and "source" in manifest:
        versions = tuple(model_digest(folder, sums, code) for code in ([], _code(folder)))
        yield versions, manifest["digests"]["model"]
        yield (file_sums.combine_sums([sums[folder / TOKENIZER]]),), manifest["digests"]["tokenizer"]
    if "weights" in manifest:
        yield (weights_digest(folder, sums),), manifest["weights"]


def model_digest(folder: Path, sums: file_sums.Sums, code: list[Path]) -> str:
    """Digest of a base model: its configuration, its weights and the code of its own that runs."""
    return file_sums.combine_sums(sums[file] for file in (folder / "config.json", *_weights(folder), *code))


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def _code(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.py"))


def _counts(file: Path) -> bool:
    """Whether a file belongs to the model: Snakemake adds a hidden one."""
    return file.is_file() and not file.name.startswith(".")


def _manifest(path: Path) -> dict[str, Any]:
    manifest = read_json(path) if path.is_file() else {}
    return manifest if isinstance(manifest, dict) else {}


def template_digest(chat_template: str | dict[str, str] | None) -> str:
    """Digest of a tokenizer's chat template, or of several by name."""
    return sha256(json.dumps(chat_template) if isinstance(chat_template, dict) else chat_template or "")


def evaluated_digests(base: Path, trained: Path) -> dict[str, str]:
    """Digests of the base model's manifest, and of the weights that are evaluated; what is loaded must be unchanged.

    `trained` is an adapter of `base`, a whole model, or `base` itself.
    """
    if is_adapter(trained):
        check_unchanged(base)
    sums = check_unchanged(trained)
    digests: dict[str, str] = read_json(manifest_file(base))["digests"]
    return digests | {"weights": weights_digest(trained, sums)}


def expected_digests(manifest: Path, data: Path) -> dict[str, str]:
    """The digests in the meta of scores of this model and data set."""
    return {**read_json(manifest)["digests"], "data": data_digest(data)}


def data_digest(data: Path) -> str:
    """Digest of a training set, refused if it is not the one that the JSON beside it records."""
    parquet_schema(data)  # a damaged file is reported as damaged, not as another data set
    digest, record = sha256(data), data.with_suffix(".json")
    recorded = _manifest(record).get("digest", digest)
    if recorded != digest:
        raise file_sums.change_error(data, digest, recorded, record, file_sums.restore(data))
    return digest


def weights_digest(folder: Path, sums: file_sums.Sums | None = None) -> str:
    """Digest of a trained model's weights, whole or adapter; `sums` are its files' SHA-256, if they are known."""
    known = file_sums.hash_files(_weights(folder)) if sums is None else sums
    return file_sums.combine_sums(known[file] for file in _weights(folder))
