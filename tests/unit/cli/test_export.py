"""`prunegrid export` says in three lines what it wrote; with --json, all of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from prunegrid.cli import app, export
from prunegrid.exporters.consumers import CONSUMERS
from support.exported import Kept, read_export, trained_ids, write_kept

SAMPLES = [Kept([1, 2], [3, 4, 0], [0, 2]), Kept([1], [5, 0], []), Kept([1], [6, 0], [0, 1], weight=2)]


def test_export_says_rows_limit_and_what_it_left_out(tmp_path: Path, capsys: Any) -> None:
    selection = write_kept(tmp_path, SAMPLES)
    app.main(["export", str(selection), "--to", "axolotl", "--resample"])
    out = selection / "export/axolotl"
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(words in lines[0] for words in ("3 rows", "11 tokens", "6 of them learned", str(out)))
    assert all(words in lines[1] for words in ("5 tokens", "sequence_len: 5"))
    assert lines[2] == "left out: 1 samples without a kept token"
    assert [trained_ids(row) for row in read_export(out, "axolotl")] == [[3, 0], [6, 0], [6, 0]]


def test_export_as_json_is_its_summary(tmp_path: Path, capsys: Any) -> None:
    selection = write_kept(tmp_path, SAMPLES[:1])
    out = tmp_path / "out"
    app.main(["export", str(selection), "--to", "trl", "--removal", "drop", "--out", str(out), "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((out / "export.json").read_text())
    assert (printed["rows"], printed["tokens"], printed["removal"]) == (1, 4, "drop")


def test_export_of_weights_fails_in_one_line(tmp_path: Path) -> None:
    selection = write_kept(tmp_path, SAMPLES)
    with pytest.raises(SystemExit) as caught:
        app.main(["export", str(selection), "--to", "trl"])
    assert isinstance(caught.value.code, str) and caught.value.code.startswith("prunegrid export: ")
    assert "--resample" in caught.value.code and "\n" not in caught.value.code


def test_help_names_every_consumer() -> None:
    assert all(name in export.CONSUMERS for name in CONSUMERS)
    assert len(CONSUMERS) == len(export.CONSUMERS.replace(" or ", ", ").split(", "))
