"""Liger's kernels where they cannot be had: the job trains without, and says why. They themselves need a GPU."""

import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from prunegrid.training import liger
from support.killed_jobs import Inputs, assert_same_weights, run

CPU = torch.device("cpu")
PATCH = "MODEL_TYPE_TO_APPLY_LIGER_FN = {'gemma': None}\n"
CALL = "def _apply_liger_kernel_to_instance(model, **parts):\n    raise AssertionError('not of this model')\n"


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> None:
    """A package `liger_kernel` with these files, dots standing for slashes."""
    for name in [name for name in sys.modules if name.split(".")[0] == "liger_kernel"]:
        monkeypatch.delitem(sys.modules, name)
    for name, text in {"__init__": "", **files}.items():
        path = folder / "liger_kernel" / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(folder))


def test_broken_liger_is_reported(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, __init__="raise RuntimeError('0 active drivers')")
    actual = liger.apply(AutoModelForCausalLM.from_pretrained(tiny_model), CPU)
    assert actual == {"liger": "layers without Liger's kernels (RuntimeError: 0 active drivers)"}


def test_architecture_unknown_to_liger_is_reported(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"transformers.__init__": CALL, "transformers.monkey_patch": PATCH}
    install(tmp_path, monkeypatch, **files)
    actual = liger.apply(AutoModelForCausalLM.from_pretrained(tiny_model), CPU)
    assert actual == {"liger": "layers without Liger's kernels: liger-kernel knows no llama"}


def test_report_lists_missing_kernels(
    tmp_path: Path, inputs: Inputs, warm: None, capfd: pytest.CaptureFixture[str]
) -> None:
    """On this CPU, where the kernels cannot run, whatever is installed."""
    without_liger, with_liger = (run(tmp_path / str(x), inputs, use_liger_kernel=x) for x in (False, True))
    assert "fallbacks" not in without_liger
    assert with_liger["fallbacks"]["liger"].startswith("layers without Liger's kernels (")
    assert with_liger["fallbacks"]["liger"] in capfd.readouterr().out
    assert_same_weights(tmp_path / "True", tmp_path / "False")
