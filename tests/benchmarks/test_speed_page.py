"""docs/results/speed.md is what the committed records give; how records are made, refused and skipped."""

import json
import sys
from pathlib import Path

import pytest

import page
import record

SCRIPTS = {path.stem for path in (record.ROOT / "benchmarks").glob("*.py")}
HELPERS = {"children", "page", "record", "training_side"}  # no benchmarks of their own


def test_the_page_is_what_the_records_give() -> None:
    assert page.PAGE.read_text() == page.page(record.RESULTS, page.GPU), "make speed"


def test_every_benchmark_has_a_section_and_a_command() -> None:
    sections = [name for _, names in page.MODULES.values() for name in names.split()]
    assert sorted(sections) == sorted(SCRIPTS - HELPERS)
    assert {command.script for command in record.commands()} == set(sections)


def test_without_records_the_page_has_commands(tmp_path: Path) -> None:
    text = page.page(tmp_path, tmp_path)
    assert text.count("## Not recorded yet") == 1 and "###" not in text
    assert all(f'<a id="{name}"></a>{name}' in text for name in SCRIPTS - HELPERS)
    assert "    python benchmarks/pruning.py --sizes" in text
    assert "No run on a CUDA device" in text


def test_records_name_no_folder_of_a_machine() -> None:
    for file in record.RESULTS.glob("*.json"):
        assert not [word for word in strings(json.loads(file.read_text())) if word.startswith("/")], file


def strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [word for part in value.values() for word in strings(part)]
    if isinstance(value, list):
        return [word for part in value for word in strings(part)]
    return value.split() if isinstance(value, str) else []


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of benchmark scripts instead of the project's."""
    (tmp_path / "benchmarks").mkdir()
    monkeypatch.setattr(record, "ROOT", tmp_path)
    return tmp_path / "benchmarks"


def test_a_record_holds_the_last_line(scripts: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (scripts / "toy.py").write_text("""import sys; print("seen"); print('{"a": 0.123456789}')""")
    record.record("toy-small", ["--model", "/somewhere/tiny", "x y"], tmp_path)
    found = json.loads((tmp_path / "toy-small.json").read_text())
    assert found["command"] == "python benchmarks/toy.py --model tiny 'x y'"
    assert found["measured"] == {"a": 0.123457}
    assert found["machine"]["python"] == sys.version.split()[0]
    assert "seen" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("""print('{"a": 1}'); raise SystemExit(3)""", "toy.py ended with status 3; nothing is recorded"),
        ("print('no JSON')", "the last line of toy.py is not JSON; nothing is recorded"),
        ("", "the last line of toy.py is not JSON; nothing is recorded"),
    ],
)
def test_a_failed_run_is_not_recorded(scripts: Path, tmp_path: Path, script: str, message: str) -> None:
    (scripts / "toy.py").write_text(script)
    with pytest.raises(SystemExit, match=message):
        record.record("toy", [], tmp_path)
    assert not (tmp_path / "toy.json").exists()


def test_what_is_recorded_of_this_code_is_skipped(tmp_path: Path) -> None:
    script = record.ROOT / "benchmarks/pruning.py"
    facts = {"command": record.shown(script, ["--sizes", "10"]), "commit": record.git("rev-parse", "HEAD")}
    file = tmp_path / "pruning.json"
    file.write_text(json.dumps(facts | {"dirty": False}))
    changed = record.git("diff", "--name-only", "HEAD", "--", *record.MEASURED, str(script))
    assert record.is_recorded("pruning", ["--sizes", "10"], tmp_path) == (not changed)
    assert not record.is_recorded("pruning", ["--sizes", "20"], tmp_path)
    file.write_text(json.dumps(facts | {"dirty": True}))
    assert not record.is_recorded("pruning", ["--sizes", "10"], tmp_path)


def test_a_command_without_its_folder_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODEL", raising=False)
    command = record.Command("speed", "scoring", "1", "--model $MODEL --samples 2")
    assert command.filled() is None
    monkeypatch.setenv("MODEL", "/a folder/m")
    assert command.filled() == ["--model", "/a folder/m", "--samples", "2"]
