"""What every command has: help with defaults, one line for what goes wrong."""

import argparse
from pathlib import Path

import pytest

from prunegrid.cli import main, status


def test_help_has_the_defaults_and_the_pruners(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["prune", "--help"])
    shown = capsys.readouterr().out
    assert "default: 0" in shown and "(default: turn)" in shown
    assert "token pruners: entropy, fastv" in shown and "joint: all" in shown


def test_interrupted_command_is_one_line_and_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(options: argparse.Namespace) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(status, "run", interrupt)
    with pytest.raises(SystemExit) as end:
        main(["status", "config.yaml"])
    assert end.value.code == 130
    assert capsys.readouterr().err == "prunegrid status: interrupted\n"


def test_yaml_error_has_its_line_and_column(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("a: [1\nb: 2\n")
    with pytest.raises(SystemExit) as end:
        main(["status", str(file)])
    assert str(end.value.code).startswith(f"prunegrid status: {file}:2:2: not YAML: while parsing a flow sequence")
