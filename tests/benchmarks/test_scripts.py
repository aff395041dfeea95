"""Each benchmark script imports what there is: nobody runs them on every change."""

import runpy
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[2] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_imports(script: Path) -> None:
    assert runpy.run_path(str(script), run_name="imported")["__doc__"]
