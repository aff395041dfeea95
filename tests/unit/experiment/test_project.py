"""`prunegrid init`: a folder in which Snakemake runs the installed workflow."""

from pathlib import Path

import pytest
import yaml

import prunegrid
from prunegrid.cli.app import main
from prunegrid.core import installation
from prunegrid.experiment.project import shipped_experiments, write_project
from support.errors import refused
from support.snakemake_runs import DEFAULT, ROOT


def test_project_has_the_default_experiment_and_the_profiles(tmp_path: Path) -> None:
    written = {str(path.relative_to(tmp_path)) for path in write_project(tmp_path)}
    profiles = {str(path.relative_to(ROOT)) for path in (ROOT / "profiles").rglob("*.yaml")}
    assert written == {"Snakefile", "config.yaml", *profiles}
    assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == DEFAULT


def test_project_of_another_experiment(tmp_path: Path) -> None:
    assert "paper" in shipped_experiments()
    write_project(tmp_path, "paper")
    assert (tmp_path / "config.yaml").read_bytes() == (ROOT / "experiments/paper.yaml").read_bytes()


def test_project_replaces_no_file_and_writes_none(tmp_path: Path) -> None:
    mine = tmp_path / "config.yaml"
    mine.write_text("experiment: mine\n")
    with refused(mine, "exists"):
        write_project(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_init_ends_with_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    main(["init", "my grid"])
    assert capsys.readouterr().out.splitlines()[-2:] == ["  cd 'my grid'", "  snakemake --cores all"]


def test_workflow_files_are_the_checkouts_or_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert prunegrid.workflow_files() == ROOT
    monkeypatch.setattr(installation, "IN_WHEEL", tmp_path)
    assert installation.workflow_files() == tmp_path
