"""docs/reference/python.md is one program, and names every part of the interface; docs/tutorials/notebook.ipynb runs
from top to bottom."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import prunegrid as pg
from support.docs import code_blocks
from support.own_data import write_inputs
from support.snakemake_runs import ROOT

PAGE, NOTEBOOK = "docs/reference/python.md", ROOT / "docs/tutorials/notebook.ipynb"


def run(folder: Path, cells: list[str]) -> str:
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    program = [sys.executable, "-c", "\n".join(cells)]
    done = subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_page_runs(tmp_path: Path) -> None:
    write_inputs(tmp_path, ("instruction", "output"))
    printed = run(tmp_path, code_blocks(PAGE, "python"))
    assert "rows: 40 (40 instruction + output); samples: 40" in printed
    assert "Kept 10 of 40 samples (25%, requested 25%)" in printed


def test_page_names_the_whole_interface() -> None:
    text = (ROOT / PAGE).read_text()
    parts = [name for name in dir(pg.Selection) if not name.startswith("_") and callable(getattr(pg.Selection, name))]
    assert [
        name for name in pg.__all__ if name != "__version__" and f"pg.{name}" not in text and name not in text
    ] == []
    assert [name for name in parts if f"{name}(" not in text] == []


@pytest.fixture(scope="module")
def notebook() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(NOTEBOOK.read_text())
    return content


def test_notebook_has_15_cells_without_outputs(notebook: dict[str, Any]) -> None:
    assert len(notebook["cells"]) == 15
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell for cell in code if cell["outputs"] or cell["execution_count"]] == []


def test_notebook_runs(tmp_path: Path, notebook: dict[str, Any]) -> None:
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    printed = run(tmp_path, code)
    assert "Kept 20 of 80 samples (25%, requested 25%)" in printed
    assert "learned: " in printed
