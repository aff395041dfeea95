"""The rules of CONTRIBUTING.md that no linter knows."""

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import prunegrid.core
from support.names import names_in_folder, weak_names
from support.snakemake_runs import ROOT

SOURCE = ROOT / "src/prunegrid"
MODULES = sorted(SOURCE.rglob("*.py"))
MODULE_LINES, FUNCTION_LINES = 300, 45
LONGER: set[str] = set()
# Modules that import rooms inside functions, so that a process starts without what it does not need.
DEFERRED = (
    "cli/",
    "doctor/kernels.py",
    "evaluation/evaluate.py",
    "evaluation/stock_items.py",
    "models/materialise.py",
    "training/assembly.py",
    "training/report.py",
    "training/worker.py",
)
SCRIPT_FOLDERS = ("tests", "tests/support/programs", "benchmarks")  # on the path of what is run from them


def functions(module: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_names_have_a_meaning() -> None:
    names = names_in_folder(SOURCE)
    weak = weak_names(names)
    assert weak.total() < 0.005 * sum(name.kind == "assigned" for name in names), weak.most_common(20)


def test_shape_suffixes_are_in_the_legend() -> None:
    legend = re.findall(r"(?<!\S)([A-Z])  (?=\w)", prunegrid.core.__doc__ or "")
    assert len(set(legend)) == len(legend), "one meaning a letter"
    suffixes = {name.text.rpartition("_")[2] for name in names_in_folder(SOURCE) if name.text != name.text.upper()}
    unknown = {suffix for suffix in suffixes if suffix.isupper() and suffix.isalpha() and not set(suffix) <= {*legend}}
    assert not unknown


def test_modules_and_functions_are_short() -> None:
    lines = {str(module.relative_to(SOURCE)): len(module.read_text().splitlines()) for module in MODULES}
    assert {name for name, count in lines.items() if count > MODULE_LINES} == LONGER
    spans = {
        f"{module.relative_to(SOURCE)}:{function.name}": (function.end_lineno or 0) - function.lineno + 1
        for module in MODULES
        for function in functions(module)
    }
    assert {name: count for name, count in spans.items() if count > FUNCTION_LINES} == {}


def test_only_some_modules_import_rooms_inside_functions() -> None:
    inside = {
        module.relative_to(SOURCE).as_posix()
        for module in MODULES
        for function in functions(module)
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("prunegrid")
    }
    assert {name for name in inside if not name.startswith(DEFERRED)} == set()


@pytest.mark.parametrize("folder", SCRIPT_FOLDERS)
def test_no_script_or_helper_hides_an_installed_module(folder: str) -> None:
    own = {path.stem for path in (ROOT / folder).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert own & (set(sys.stdlib_module_names) | set(packages_distributions())) - {"__init__"} == set()
