"""A missing package of an extra is one line that says what to install."""

import sys

import pandas as pd
import pytest

from prunegrid.cli import app
from prunegrid.core.extras import EXTRA, install_command, missing_extra
from support.programs import imported_by

LIGHT = ("api", "cli.app", "exporters", "models.probes", "scoring.extra", "scoring.score", "selection.prune")
BY_TRANSFORMERS = {"scipy"}  # which imports it where it is installed


def test_missing_extra_names_the_package_and_the_command() -> None:
    error = missing_extra(ModuleNotFoundError("No module named 'lm_eval'", name="lm_eval.api.task"))
    assert str(error) == 'lm_eval: is not installed; run pip install "prunegrid[eval]"'


def test_missing_extra_finds_the_cause_that_pandas_hides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tabulate", None)
    with pytest.raises(ImportError, match="tabulate") as caught:
        pd.DataFrame({"a": [1]}).to_markdown()
    assert "prunegrid[report]" in str(missing_extra(caught.value))


@pytest.mark.parametrize("error", [ModuleNotFoundError("no x", name="x"), ImportError("torch"), ValueError("peft")])
def test_missing_extra_of_another_error_is_none(error: Exception) -> None:
    assert missing_extra(error) is None


def test_install_command_names_each_extra_once() -> None:
    command = install_command("scipy", "matplotlib", "wandb", "deepspeed")
    assert command == 'pip install "prunegrid[report]" wandb "prunegrid[train]"'


def test_what_scores_prunes_and_exports_imports_no_extra() -> None:
    modules = {name.partition(".")[0] for name in imported_by(*(f"prunegrid.{name}" for name in LIGHT))}
    assert "torch" in modules
    assert not modules & EXTRA.keys() - BY_TRANSFORMERS


def test_a_command_without_its_extra_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: object) -> None:
        raise ModuleNotFoundError("No module named 'scipy'", name="scipy")

    monkeypatch.setattr(app.table, "run", run)
    with pytest.raises(SystemExit) as caught:
        app.main(["table", "results"])
    assert caught.value.code == 'prunegrid table: scipy: is not installed; run pip install "prunegrid[report]"'


def test_a_command_without_another_module_is_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: object) -> None:
        raise ModuleNotFoundError("No module named 'prunegrid.tabel'", name="prunegrid.tabel")

    monkeypatch.setattr(app.table, "run", run)
    with pytest.raises(ModuleNotFoundError):
        app.main(["table", "results"])
