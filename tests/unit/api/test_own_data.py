"""From a file to training, as the README and docs/tutorials/own-data.md show it: their commands, run as they are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import prunegrid as pg
from support.docs import code_blocks
from support.own_data import write_inputs

PAGE = "docs/tutorials/own-data.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with the page's `my-data.json`, of 40 rows, and `my-model`."""
    (shown,) = code_blocks(PAGE, "json")
    write_inputs(tmp_path, tuple(json.loads(shown)[0]))
    return tmp_path


def run(folder: Path, *command: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def trained_steps(folder: Path) -> int:
    steps: int = json.loads((folder / "checkpoint-2/trainer_state.json").read_text())["global_step"]
    return steps


@pytest.mark.slow
def test_three_commands_train_two_steps_and_two_more_make_the_control(folder: Path) -> None:
    pytest.importorskip("trl")
    block, control = code_blocks(PAGE, "sh")
    assert len(block.splitlines()) == 3
    shown = run(folder, "bash", "-euc", block.replace("trl sft", "trl sft --use_cpu"))
    assert "Kept 5 of 40 samples (12.5%, requested 12.5%)" in shown
    assert shown.count("tokens kept") == 2, "show --rows 2"
    assert trained_steps(folder / "out") == 2
    kept = pg.Selection.open(folder / "kept/pruned")
    assert (folder / "kept/trl/README.md").is_file() and len(kept) == 5
    run(folder, "bash", "-euc", control)
    random = pg.Selection.open(folder / "random")
    assert len(random) == 5 and random.summary().kept_tokens == kept.summary().kept_tokens
    assert (folder / "random-trl/train.parquet").is_file()


@pytest.mark.slow
def test_three_lines_of_the_readme_train(folder: Path) -> None:
    pytest.importorskip("trl")
    install, *lines = code_blocks("README.md", "sh")[0].splitlines()
    assert install.startswith("pip install . ")  # tests/workflow/test_installation.py
    shown = run(folder, "bash", "-euc", "\n".join(lines).replace("trl sft", "trl sft --use_cpu"))
    assert "Kept 10 of 40 samples (25%, requested 25%)" in shown
    assert sorted((folder / "out").glob("checkpoint-*")), "the folder that train.yaml names"


@pytest.mark.training
def test_five_lines_of_python_train_two_steps(folder: Path) -> None:
    pytest.importorskip("trl")
    (block,) = code_blocks(PAGE, "python")
    assert len([line for line in block.splitlines() if line]) == 5
    changed = block.replace("SFTConfig(", "SFTConfig(use_cpu=True, output_dir=", 1)
    assert changed.count("use_cpu") == 1
    run(folder, sys.executable, "-c", changed)
    assert trained_steps(folder / "trained") == 2
