"""Code and pickles that come with a model or a checkpoint do not run; secrets are not written."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_json
from prunegrid.experiment.config import load
from prunegrid.experiment.model import Source
from prunegrid.models import apply_adapter, describe, load_model, load_tokenizer, materialise
from prunegrid.table.build import build
from support.errors import refused
from support.killed_jobs import Inputs, inject_failure, run
from support.results_folder import put
from support.snakemake_runs import CORES, snakemake
from support.toy_experiment import toy_config
from support.toy_tasks import ITEMS, write_jsonl

MODEL_CODE = """
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM
Path({marker!r}).touch()
class OwnConfig(LlamaConfig):
    model_type = "tiny-own"
class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


def bring_code(folder: Path, marker: Path, module: str = "modeling_own") -> None:
    """Make the tiny model one that transformers cannot load without the code in its folder."""
    config = read_json(folder / "config.json") | {"model_type": "tiny-own", "architectures": ["OwnModel"]}
    config["auto_map"] = {"AutoConfig": f"{module}.OwnConfig", "AutoModelForCausalLM": f"{module}.OwnModel"}
    put(folder / "config.json", config)
    put(folder / "modeling_own.py", MODEL_CODE.format(marker=str(marker)))


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """An experiment in the folder `toy`, whose model brings code that leaves the file `ran` there if it runs."""
    (tmp_path / "toy").mkdir()
    config = toy_config(tmp_path / "toy")
    bring_code(tmp_path / "toy/tiny", tmp_path / "toy/ran")
    return config


@pytest.fixture
def model_with_code(config: dict[str, Any]) -> Path:
    return Path(config["models"]["m"]["path"])


def test_code_that_a_model_brings_does_not_run(model_with_code: Path, tmp_path: Path) -> None:
    fix = "models.NAME.trust_remote_code: REASON"
    for load_it in (describe, load_tokenizer, lambda folder: load_model(folder, "float32", "cpu")):
        with refused(model_with_code, "modeling_own.OwnConfig", fix=fix):
            load_it(model_with_code)
    with pytest.raises(PrunegridError) as caught:
        materialise("m", Source(path=str(model_with_code)), tmp_path / "m", tmp_path / "m.json")
    assert "modeling_own.OwnConfig" in caught.value.what and fix in caught.value.fix
    assert not (model_with_code.parent / "ran").exists()
    assert not (tmp_path / "m").exists()


def test_code_from_another_repository_does_not_run(model_with_code: Path, tmp_path: Path) -> None:
    bring_code(model_with_code, model_with_code.parent / "ran", module="other/repo--modeling_own")
    with pytest.raises(PrunegridError) as caught:
        materialise(
            "m", Source(path=str(model_with_code), trust_remote_code="read"), tmp_path / "m", tmp_path / "m.json"
        )
    assert "another repository (other/repo" in caught.value.what
    assert not (model_with_code.parent / "ran").exists()


def test_transformers_own_class_goes_before_a_folders_code(model_with_code: Path) -> None:
    put(model_with_code / "config.json", read_json(model_with_code / "config.json") | {"model_type": "llama"})
    assert type(load_model(model_with_code, "float32", "cpu")).__name__ == "LlamaForCausalLM"
    assert not (model_with_code.parent / "ran").exists()


def test_trust_in_code_of_the_hub_is_in_a_revision(config: dict[str, Any]) -> None:
    with refused("config.yaml: models.m", "needs the revision", fix=""):
        load(config | {"models": {"m": {"hub": "org/name", "trust_remote_code": "read"}}})


SECRETS = {
    name: f"theSecretItself{number}"
    for number, name in enumerate(["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY"])
}
REASON = "its 9 lines were read on 1 May"


@pytest.mark.slow
def test_a_run_with_a_models_own_code_and_secrets_around(
    config: dict[str, Any], model_with_code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code runs and the table says why; what was written, the report included, holds no secret."""
    folder, root = model_with_code.parent, model_with_code.parent / "results/toy"
    for name, secret in (SECRETS | {"HF_MODULES_CACHE": str(folder / "modules")}).items():
        monkeypatch.setenv(name, secret)
    config["models"]["m"]["trust_remote_code"] = REASON
    config |= {"variants": ["random+random"], "scoring": {"max_length": 200}, "training": {"max_steps": 2}}
    config["evaluation"] = {"benchmarks": {"A": {"task": "arc_easy", "data": {"path": "items.jsonl"}}}}
    write_jsonl(folder / "items.jsonl", ITEMS["arc_easy"])
    targets = [f"results/toy/{target}" for target in ("experiment.json", "evaluation/m/full/seed0/A.json")]
    done = snakemake(folder, "--cores", CORES, *targets, config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    told = snakemake(folder, "--report", "report.html", *targets)
    assert told.returncode == 0, told.stderr
    assert (folder / "ran").exists()
    assert read_json(root / "models/m.json")["source"]["trust_remote_code"] == REASON
    build(root)
    assert f"Models that ran custom code, and why: m ({REASON})." in (root / "table/table.md").read_text()
    written = [file for file in folder.rglob("*") if file.is_file()]
    assert {"report.html", "train", "A.json", "training.json"} <= {part for file in written for part in file.parts}
    assert any("tfevents" in file.name for file in written)
    said = [done.stdout, done.stderr, told.stdout, told.stderr]
    for text in [*said, *(file.read_bytes().decode(errors="replace") for file in written)]:
        assert not any(secret in text for secret in SECRETS.values())


class Bomb:
    """Unpickled, it leaves a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


def test_a_checkpoint_runs_no_code(tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch, warm: None) -> None:
    """DeepSpeed alone would unpickle whatever stands there; the form and the sizes of these files are right."""
    import torch

    inject_failure(monkeypatch, "killed before", step=3)
    with pytest.raises(PrunegridError):
        run(tmp_path, inputs, save_steps=1)
    for checkpoint in (tmp_path / "checkpoints").glob("checkpoint-*"):
        complete = read_json(checkpoint / "complete.json")
        for file in checkpoint.rglob("*.pt"):
            torch.save(Bomb(tmp_path / "owned"), file)
            complete["files"][str(file.relative_to(checkpoint))] = file.stat().st_size
        put(checkpoint / "complete.json", complete)
    inject_failure(monkeypatch)
    with pytest.raises(PrunegridError, match="Weights only load failed"):
        run(tmp_path, inputs, save_steps=1)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("weights", ["model", "adapter_model"])
def test_a_pickle_is_not_loaded(tiny_model: Path, tmp_path: Path, weights: str) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    model, bad = load_model(tiny_model, "float32", "cpu"), tmp_path / "bad"
    shutil.copytree(tiny_model, bad)
    if weights == "adapter_model":
        get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"])).save_pretrained(bad)
    (bad / f"{weights}.safetensors").unlink()
    name = "adapter_model.bin" if weights == "adapter_model" else "pytorch_model.bin"
    torch.save(Bomb(tmp_path / "owned"), bad / name)
    with pytest.raises(PrunegridError, match="safetensors"):
        apply_adapter(model, bad) if weights == "adapter_model" else load_model(bad, "float32", "cpu")
    assert not (tmp_path / "owned").exists()
