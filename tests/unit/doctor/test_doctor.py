"""`prunegrid doctor`: what it says about this machine, and about experiments that lack something here."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from prunegrid.cli import app
from prunegrid.core import extras
from prunegrid.doctor import kernels, machine, needs
from prunegrid.experiment.config import load
from prunegrid.models import head
from prunegrid.training import packed_attention
from support.errors import refused
from support.snakemake_runs import ROOT
from support.tiny_llama import write_tiny_model

Doctor = Callable[..., tuple[int, str]]
Write = Callable[..., str]


@pytest.fixture
def doctor(capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Run it in an empty folder: the exit code and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        try:
            app.main(["doctor", *arguments])
            code: Any = 0
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr().out

    return run


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write the sandbox's config with other values for some keys: the file's name."""

    def changed(**values: Any) -> str:
        file = tmp_path / "experiment.yaml"
        file.write_text(yaml.safe_dump(yaml.safe_load((ROOT / "config.yaml").read_text()) | values))
        return str(file)

    return changed


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let torch see GPUs that are not there, of these compute capabilities."""

    def pretend(*capabilities: tuple[int, int]) -> None:
        def properties(index: int) -> Any:
            major, minor = capabilities[index]
            return SimpleNamespace(name="NVIDIA Pretence", total_memory=80e9, major=major, minor=minor)

        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # nothing runs on them
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
        monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capabilities[index])

    return pretend


def wrong(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("!!")]


def test_doctor_describes_this_machine_line_by_line(doctor: Doctor) -> None:
    code, text = doctor()
    assert code == 0
    title, *lines = text.splitlines()
    assert title.startswith("prunegrid ")
    assert list(dict.fromkeys(line[3:13].strip() for line in lines)) == list(machine.MACHINE)
    assert all(line.startswith(("   ", "!! ")) and line[14:].strip() for line in lines)


def test_doctor_of_the_sandbox_misses_nothing(doctor: Doctor) -> None:
    code, text = doctor(str(ROOT / "config.yaml"))
    assert (code, wrong(text)) == (0, [])
    assert "sandbox-1M: pre-trained by the run" in text
    assert text.endswith("nothing is missing, as far as this check can see\n")


@pytest.mark.skipif(torch.cuda.device_count() >= 8, reason="this machine can run it")
def test_doctor_of_the_published_grid_misses_gpus(doctor: Doctor) -> None:
    code, text = doctor(str(ROOT / "experiments/paper.yaml"))
    assert code == 1
    assert any("8 GPU(s) are needed" in line and "run on a GPU node" in line for line in wrong(text))
    assert "it cannot run here" in text


def test_doctor_of_a_broken_config_is_its_error(doctor: Doctor, write: Write, tmp_path: Path) -> None:
    file = write(budgets=[{"sample_ratio": 0.125, "token_ratio": 1.4}])
    code, text = doctor(file)
    assert str(code) == f"prunegrid doctor: {file}: budgets[0].token_ratio: is 1.4; give a fraction in (0, 1]"
    assert text == ""
    for content, complaint in {"a: [": ":1:5: not YAML", "- a": ": holds no keys"}.items():
        (tmp_path / "broken.yaml").write_text(content)
        message = str(doctor("broken.yaml")[0])
        assert message.startswith(f"prunegrid doctor: broken.yaml{complaint}")
        assert "\n" not in message
    assert "nowhere.yaml: cannot be read" in str(doctor("nowhere.yaml")[0])


def test_doctor_never_prints_a_token(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_theSecretItself")
    _, text = doctor(str(ROOT / "experiments/paper.yaml"))
    assert "HF_TOKEN is set" in text
    assert "theSecretItself" not in text


def test_probe_that_raises_is_a_line(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise RuntimeError("the driver\nis too old")

    monkeypatch.setitem(machine.MACHINE, "devices", broken)
    code, text = doctor()
    assert wrong(text) == ["!! devices    cannot tell: RuntimeError: the driver", "!! devices    is too old"]
    assert code == 0
    monkeypatch.setattr(machine, "deepspeed_version", broken)
    assert doctor(str(ROOT / "config.yaml"))[0] == 1


def test_disk_probe_counts_the_cells_models_and_checkpoints(doctor: Doctor, write: Write, tiny_model: Path) -> None:
    file = write(models={"tiny": {"path": str(tiny_model)}}, sandbox={"seed": 0})
    code, text = doctor(file)
    assert (code, wrong(text)) == (0, [])
    assert "tiny: 19 trained models of" in text
    experiment = load(yaml.safe_load(Path(file).read_text()))
    parameters = sum(f.stat().st_size for f in tiny_model.glob("*.safetensors")) / 4
    for bf16, stage, model, state in [(False, 2, 4, 16), (False, 0, 4, 12), (True, 2, 2, 14), (True, 3, 2, 12)]:
        training = experiment.training.model_copy(update={"bf16": bf16, "zero_stage": stage})
        changed = experiment.model_copy(update={"training": training})
        assert needs._model_disk(changed, "tiny", 10)[1] == parameters * (10 * model + 3 * state)
    lora = experiment.model_copy(update={"training": experiment.training.model_copy(update={"method": "lora"})})
    assert needs._model_disk(lora, "tiny", 10)[1] == 0


def test_disk_probe_refuses_a_full_disk(
    doctor: Doctor, write: Write, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needs, "free_bytes", lambda _: 5)
    code, text = doctor(write(models={"tiny": {"path": str(tiny_model)}}))
    assert code == 1
    assert "but only 0 MB free" in wrong(text)[-1]


def test_model_probe_names_what_a_folder_lacks(doctor: Doctor, write: Write, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "bare", template=None)
    (tmp_path / "empty").mkdir()
    models = {name: {"path": str(tmp_path / name)} for name in ("gone", "bare", "empty")}
    dataset = {"name": "mine", "path": "mine.jsonl"}
    code, text = doctor(write(models=models, dataset=dataset))
    assert code == 1
    assert [line.partition(": ")[2].partition(";")[0] for line in wrong(text)] == [
        f"{tmp_path / 'bare'}: has no chat template",
        f"{tmp_path / 'empty'}: has no config.json",
        f"{tmp_path / 'gone'}: no such folder",
        "no such file",
    ]


def test_model_and_kernel_probes_name_what_variants_trainings_use(
    doctor: Doctor, write: Write, tiny_model: Path
) -> None:
    def told(packing: bool, own: dict[str, Any]) -> tuple[str, bool]:
        variants = ["random+random", {"own": {"method": "random+ppl", "training": own}}]
        training = {"packing": packing, "method": "full"}
        models = {"tiny": {"path": str(tiny_model)}}
        _, text = doctor(write(models=models, training=training, variants=variants))
        line = next(line for line in text.splitlines() if "tiny: " in line and " in " in line)
        return line.partition(", ")[2], "packed attention (float32)" in text

    padded = "trained padded with sdpa attention: training.packing is false"
    assert told(True, {"packing": False}) == (f"trained packed and {padded}", True)
    assert told(False, {"packing": True}) == (f"{padded} and trained packed", True)
    assert told(False, {}) == (padded, False)
    assert told(True, {}) == ("trained packed", True)


def test_data_probe_of_a_mirror_and_an_offline_hub(
    doctor: Doctor, write: Write, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(machine, "is_offline", lambda: True)
    monkeypatch.setattr(machine, "cached_model", lambda *_: None)
    dataset = {"name": "mine", "hub": "org/mine", "split": "train"}
    values = {"models": {"m": {"hub": "org/m"}}, "sandbox": None, "dataset": dataset, "data_mirror": "mirror"}
    code, text = doctor(write(**values))
    assert code == 1
    assert "org/m: is not in the hub's cache, and HF_HUB_OFFLINE is set" in wrong(text)[0]
    assert "data_mirror is mirror: no such folder" in wrong(text)[1]
    (tmp_path / "mirror/org/mine").mkdir(parents=True)
    (tmp_path / "mirror/org/mine/train.jsonl").touch()
    code, text = doctor(write(**values))
    assert "org/mine/train: mirror/org/mine/train.jsonl" in text
    assert len(wrong(text)) == 1


def test_data_probe_of_a_folder_counts_its_files(doctor: Doctor, write: Write, tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl", "README.md"):
        (tmp_path / "rows").mkdir(exist_ok=True)
        (tmp_path / "rows" / name).write_text('{"prompt": "q", "response": "a"}\n')
    _, text = doctor(write(dataset={"name": "mine", "path": "rows"}))
    assert "rows: rows (files: 2; not read: 1)" in text
    _, text = doctor(write(dataset={"name": "mine", "path": "rows/*.csv"}))
    assert "rows/*.csv: matches no file" in " ".join(wrong(text))


def test_packages_probe_names_what_settings_need(doctor: Doctor, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "find_spec", lambda module: None if module in ("vllm", "liger_kernel") else module)
    evaluation = yaml.safe_load((ROOT / "config.yaml").read_text())["evaluation"] | {"engine": "vllm"}
    assert 'vllm: not installed; pip install "prunegrid[vllm]"' in wrong(doctor(write(evaluation=evaluation))[1])[0]
    training = {"use_liger_kernel": True, "method": "lora"}
    text = doctor(write(device="cuda", training=training))[1]
    assert any('liger_kernel: not installed; pip install "prunegrid[liger]"' in line for line in wrong(text))
    monkeypatch.setattr(needs, "find_spec", lambda module: None if module in ("lm_eval", "wandb") else module)
    text = doctor(write(runtime={"report_to": ["wandb"]}))[1]
    assert any('lm_eval, wandb: not installed; pip install "prunegrid[eval]" wandb' in line for line in wrong(text))


def test_extras_probe_names_what_is_whole_and_what_others_lack(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = ("deepspeed", "scipy", "vllm", "liger_kernel")
    monkeypatch.setattr(extras, "find_spec", lambda module: None if module in absent else module)
    code, text = doctor()
    line = "eval, select, workflow; no train (deepspeed); no report (scipy); no liger (liger_kernel); no vllm (vllm)"
    assert (code, wrong(text)) == (0, [])
    assert f"extras     {line}" in text
    assert 'not installed; training needs it: pip install "prunegrid[train]"' in text


def test_device_probe_refuses_cells_that_share_a_cpu(doctor: Doctor, write: Write) -> None:
    assert "cells_per_gpu: is 4, but device is cpu" in wrong(doctor(write(runtime={"cells_per_gpu": 4}))[1])[0]


def test_doctor_lists_gpus_and_refuses_old_ones(
    doctor: Doctor, gpus: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # conftest.py sets it; nothing is asked here
    paper = str(ROOT / "experiments/paper.yaml")
    gpus(*[(9, 0)] * 8)
    code, text = doctor(paper)
    assert (code, wrong(text)) == (0, [])
    assert "cuda:7 NVIDIA Pretence, 80.0 GB, compute capability 9.0" in text
    assert "kernels    not run: torch sees no GPU" in text
    gpus(*[(7, 0)] * 8)
    code, text = doctor(paper)
    assert code == 1
    assert "compute capability 7.0 is below 8.0" in wrong(text)[0]
    gpus()
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    assert "it is a CPU build" in wrong(doctor()[1])[0]


@pytest.mark.parametrize("dtype", kernels.TOLERANCE)
def test_kernels_run_and_name_what_ran(dtype: str) -> None:
    attended = kernels.attention("cpu", dtype)
    assert re.fullmatch(
        rf"packed {dtype} by SDPA, one call a sample \(\w*attention\w*\): [\d.e+]+ ms forward and backward, "
        r"relative difference \de-\d\d",
        attended,
    )
    chunks, liger = kernels.head("cpu", dtype).splitlines()
    assert chunks.startswith(f"chunked {dtype}: ")
    assert liger.startswith("not Liger's")
    assert "matmul in" in kernels.matmul("cpu")


def test_kernel_attention_that_sees_the_other_sample_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real attention without its segments: one causal sequence."""
    original = packed_attention.packed_attention
    monkeypatch.setattr(packed_attention, "packed_attention", lambda *arguments, segments: original(*arguments))
    kernels.attention.cache_clear()
    with refused("packed attention (float32)", "wrong in float32: relative difference", fix="training.packing: false"):
        kernels.attention("cpu", "float32")


def test_kernel_head_liger_is_compared_with_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    def from_chunks(factor: float) -> Callable[[Any], Any]:
        def apply(hidden_RD: torch.Tensor, weight_VD: torch.Tensor, targets_R: torch.Tensor) -> Any:
            module = torch.nn.Linear(*weight_VD.T.shape, bias=False)
            module.weight = torch.nn.Parameter(weight_VD, requires_grad=False)
            return [factor * part for part in head.chunked(module, hidden_RD, targets_R)]

        return lambda module: apply

    monkeypatch.setattr(head, "fused", from_chunks(1))
    kernels.head.cache_clear()
    assert "Liger's: " in kernels.head("cpu", "bfloat16")
    monkeypatch.setattr(head, "fused", from_chunks(1.1))
    kernels.head.cache_clear()
    with refused("Liger's head", "wrong in bfloat16", fix="liger-kernel"):
        kernels.head("cpu", "bfloat16")
    kernels.head.cache_clear()


def test_kernel_without_its_device_is_one_line_with_advice() -> None:
    if torch.cuda.is_available():
        pytest.skip("it has the device")
    for probe, kernel, fix in (
        (lambda: kernels.attention("cuda", "bfloat16"), "packed attention (bfloat16)", "training.packing: false"),
        (lambda: kernels.head("cuda", "bfloat16"), "head (bfloat16)", "a dtype other than bfloat16"),
        (lambda: kernels.matmul("cuda"), "matmul (bfloat16)", "dtype: float32 and bf16: false"),
    ):
        with refused(kernel, "failed: ", fix=fix) as caught:
            probe()
        assert "\n" not in str(caught.value)


def test_collective_runs_fails_and_hangs_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernels.collective("cpu").startswith("gloo with one rank: initialised in ")
    with refused("collective (none)", "failed with one rank: ") as caught:
        kernels.collective("cpu", "none")
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(kernels, "COLLECTIVE_SECONDS", 0.05)
    kernels.collective.cache_clear()
    with refused("collective (gloo)", "0.05 s"):
        kernels.collective("cpu")


def test_experiment_whose_kernels_fail_cannot_run(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "COLLECTIVE_SECONDS", 0.05)
    kernels.collective.cache_clear()
    code, text = doctor(str(ROOT / "config.yaml"))
    assert code == 1
    assert "!! kernels    collective (gloo): no answer within 0.05 s; training needs it" in wrong(text)


def test_excluded_packages_are_named_with_their_bound() -> None:
    assert machine.excluded_packages(["numpy>=1", "not-installed>=9", "numpy>=999; extra == 'x'"]) == []
    (line,) = machine.excluded_packages(["prunegrid[train]; extra == 'all'", "torch>=999; extra == 'train'"])
    assert line.startswith("torch ")
    (line,) = machine.excluded_packages(["torch>=1", "numpy>=999"])
    assert line == f"numpy {np.__version__} (>=999 is needed)"


def test_cores_heed_affinity_and_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    monkeypatch.setattr(machine, "_cgroup", lambda file: ["max 100000", "350000 100000"])
    assert machine.cores() == 3
    monkeypatch.setattr(machine, "_cgroup", lambda file: [])
    assert machine.cores() == 16


@pytest.mark.parametrize(
    ("runtime", "smi", "line"),
    [
        ({"cells_per_gpu": 8}, "81559", r"   sharing    8 x [\d.]+ GB \(\w+, the largest\) = [\d.]+ GB, on 86 GB$"),
        (
            {"cells_per_gpu": 8},
            "8192",
            r"!! sharing    runtime.cells_per_gpu: 8 x .* do not fit 90% of 9 GB; take runtime.cells_per_gpu: \d",
        ),
        ({"cells_per_gpu": 8, "gpu_memory_gb": 24}, "8192", r"   sharing    8 x .*, on 24 GB$"),
        ({"cells_per_gpu": 8}, "", r"   sharing    8 x .*, on 80 GB \(assumed; give runtime.gpu_memory_gb\)$"),
    ],
)
def test_sharing_probe_asks_whether_the_jobs_fit(
    runtime: dict[str, Any],
    smi: str,
    line: str,
    doctor: Doctor,
    write: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho {smi}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    _, text = doctor(write(device="cuda", runtime=runtime))
    assert re.search(line, text, re.MULTILINE)
