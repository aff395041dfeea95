"""The files beside the code stay true: containers, workflows of GitHub, forms, AGENTS.md, citation."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from support.programs.container_steps import DEFINITION, DOCKERFILE, chain, context, read_definition, read_dockerfile
from support.snakemake_runs import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[0-9]*.yml"))
MAKE = re.compile(r"(?:^|[`\s])make ([a-z][a-z-]*)(?=[`\s]|$)", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
VERSION = re.compile(r"(?m)^## (?:\[?v?)(\d+\.\d+\.\d+)")


def make_targets() -> set[str]:
    return set(re.findall(r"(?m)^([a-z][a-z-]*):", (ROOT / "Makefile").read_text()))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_runs_what_the_repository_has(path: Path) -> None:
    text, workflow = path.read_text(), yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}, "each job says what more it may"
    assert "secrets." not in text
    assert set(MAKE.findall(text)) <= make_targets()
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert commands
    assert all((ROOT / name).exists() for name in re.findall(r"\.ci/\w+|envs/[\w.]+", "\n".join(commands)))
    for job in workflow["jobs"].values():
        assert {step["uses"].partition("@")[2] != "" for step in job["steps"] if "uses" in step} <= {True}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_form_is_one_that_github_shows(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= form.keys()
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert ids and len(set(ids)) == len(ids)
    assert all(field["attributes"]["label"] for field in form["body"])


@pytest.mark.parametrize("name", ["AGENTS.md", "SECURITY.md", "CODE_OF_CONDUCT.md", ".github/PULL_REQUEST_TEMPLATE.md"])
def test_page_names_commands_and_files_that_exist(name: str) -> None:
    path = ROOT / name
    text = path.read_text()
    assert set(MAKE.findall(text)) <= make_targets()
    assert [link for link in LINK.findall(text) if not (path.parent / link).exists()] == []
    paths = re.findall(r"`((?:src|tests|docs|workflow|results)/[\w./*-]*)`", text)
    assert [each for each in paths if not any(ROOT.glob(each.rstrip("/")))] == []


def test_citations_agree_with_the_changelog() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    zenodo = json.loads((ROOT / ".zenodo.json").read_text())
    newest = VERSION.search((ROOT / "CHANGELOG.md").read_text())
    assert newest and citation["version"] == newest[1]
    assert citation["title"] == zenodo["title"]
    assert citation["keywords"] == zenodo["keywords"]
    assert citation["abstract"].strip() == zenodo["description"]
    assert citation["license"] == zenodo["license"] == "Apache-2.0"
    page = (ROOT / "docs/explanation/citing.md").read_text()
    assert f"version = {{{citation['version']}}}" in page
    assert citation["references"][0]["authors"][0]["family-names"] == "Wang"


def test_dockerfile_installs_the_checkout_with_the_pins() -> None:
    stages = read_dockerfile(DOCKERFILE.read_text())
    allowed = context((ROOT / ".dockerignore").read_text())
    assert all(any(ROOT.glob(name)) for name in allowed)
    for target in ("cpu", "cuda"):
        run = "\n".join(i.value for stage in chain(stages, f"build-{target}") for i in stage.instructions)
        assert "pip install --constraint envs/requirements.txt '.[workflow" in run
        last = {i.name: i.value for stage in chain(stages, target) for i in stage.instructions}
        assert last["USER"] == "1000"
        assert json.loads(last["ENTRYPOINT"]) == ["prunegrid"]
    assert list(stages)[-1] == "cuda"


def test_definition_does_as_the_dockerfile() -> None:
    sections = read_definition(DEFINITION.read_text())
    copied = [line.split()[0] for line in sections["files"].splitlines() if line.strip()]
    assert sorted(copied) == sorted(set(context((ROOT / ".dockerignore").read_text())))
    stages = read_dockerfile(DOCKERFILE.read_text())
    commands = [i.value for stage in chain(stages, "build-cpu") for i in stage.instructions if i.name == "RUN"]
    steps = sections["post"].replace("/opt/prunegrid/bin/", "")
    for command in commands[1:]:
        assert command.replace("$TORCH_INDEX", "{{ torch_index }}") in steps


@pytest.mark.skipif(not shutil.which("hadolint"), reason="hadolint is not installed")
def test_hadolint_finds_nothing() -> None:
    assert subprocess.run(["hadolint", str(DOCKERFILE)], check=False).returncode == 0
