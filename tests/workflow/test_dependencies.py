"""pyproject.toml's dependencies: every package that is imported, each with a lower bound and the reason for it."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from prunegrid.core import extras
from support.programs import lowest_versions
from support.snakemake_runs import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDED = {canonicalize_name(one.name): one for one in map(Requirement, PROJECT["dependencies"])}
EXTRAS = {
    extra: {canonicalize_name(one.name): one for one in map(Requirement, lines) if not one.extras}
    for extra, lines in PROJECT["optional-dependencies"].items()
}
OPTIONAL = {name: one for extra in EXTRAS.values() for name, one in extra.items()}
INDIRECT = {"accelerate", "gguf", "tabulate", "tensorboardx"}  # here, but by transformers and pandas


def imported() -> set[str]:
    """The distributions whose modules the package imports, anywhere in its files."""
    names = set()
    for file in [*(ROOT / "src").rglob("*.py"), *(ROOT / "workflow").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    owners = packages_distributions()
    return {canonicalize_name(owners[name][0]) for name in names - sys.stdlib_module_names if name in owners}


def test_dependencies_are_what_is_imported() -> None:
    declared, others = NEEDED.keys() | OPTIONAL.keys(), {"liger-kernel", "vllm"}  # not installed everywhere
    of_pydantic = {"pydantic-core"}
    assert imported() - of_pydantic - others - {"prunegrid"} == declared - others - INDIRECT - {"snakemake"}


def test_each_package_is_declared_once() -> None:
    assert len(OPTIONAL) == sum(map(len, EXTRAS.values()))
    assert not NEEDED.keys() & OPTIONAL.keys()


def test_the_extras_of_core_are_those_of_pyproject() -> None:
    packages = {"sklearn": "scikit-learn"}  # the others' modules have their names
    declared = {
        extra: {canonicalize_name(packages.get(module, module)) for module in modules}
        for extra, modules in extras.MODULES.items()
    }
    assert declared == {extra: set(packages) for extra, packages in EXTRAS.items() if packages}


@pytest.mark.parametrize("name", NEEDED | OPTIONAL)
def test_dependency_has_one_lower_bound_and_its_reason(name: str) -> None:
    requirement = (NEEDED | OPTIONAL)[name]
    assert re.fullmatch(r">=[\d.]+", str(requirement.specifier))
    (line,) = [line for line in (ROOT / "pyproject.toml").read_text().splitlines() if f'"{requirement}"' in line]
    assert line.partition("  # ")[2]


def test_pins_are_within_the_bounds() -> None:
    lines = (ROOT / "envs/requirements.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    for name, pin in pins.items():
        if requirement := (NEEDED | OPTIONAL).get(canonicalize_name(name)):
            assert Version(pin) in requirement.specifier, name


def test_lowest_installs_the_bounds_themselves() -> None:
    lines = lowest_versions.requirements()
    assert "pydantic==2.12" in lines
    assert not [line for line in lines if line.startswith(lowest_versions.FAMILY) or ">" in line]
    packages = NEEDED.keys() | OPTIONAL.keys() - {"liger-kernel", "vllm"}
    assert len(lines) == len(packages - set(lowest_versions.FAMILY)) + len(lowest_versions.TOOLS)
