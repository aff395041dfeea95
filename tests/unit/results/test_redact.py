"""`prunegrid redact`: the copy has no text of a data set, and `prunegrid verify` still passes."""

from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from prunegrid.cli.app import main
from prunegrid.core import files
from prunegrid.core.errors import PrunegridError
from prunegrid.evaluation.records import TEXTS
from prunegrid.experiment import layout
from prunegrid.results.redact import redact
from prunegrid.verification.verify import verify
from support.finished_folder import edit_json, write_finished
from support.folder_contents import contents


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A finished folder, evaluated with `items: scores`."""
    root = write_finished(tmp_path / "home")
    for path in root.glob("evaluation/**/*.parquet"):
        if path.parent.name != layout.EVALUATION_CACHE:
            table = pq.read_table(path).drop_columns([*TEXTS])
            empty = pc.if_else(pc.is_null(table["response"]), None, "")
            place = table.column_names.index("response")
            files.write_parquet(path, table.set_column(place, table.schema.field("response"), empty))
            edit_json(path.with_suffix(".json"), items_hash=files.sha256(path))
    return root


def test_the_copy_lacks_only_its_texts(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "published/results/whole"
    main(["redact", str(finished), "--out", str(target)])
    assert "4 files with texts" in capsys.readouterr().out
    verification = verify(target)
    assert [str(problem) for problem in verification.problems] == []
    named = {"data/benchmarks/A.jsonl", "data/benchmarks/T.jsonl", "data/d.parquet", "scores/m/tokens.parquet"}
    assert verification.walk.unpublished == named
    assert verification.numbers and verification.numbers.scores
    assert "cats drink" in contents(finished / "data")
    assert "cats drink" not in contents(target)
    (target / layout.LEFT_OUT).unlink()
    assert {problem.where.split("whole/")[1] for problem in verify(target).problems} == named


def test_item_files_with_texts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PrunegridError, match=r"evaluation/.*\.parquet: holds texts in the columns .*items: scores"):
        redact(write_finished(tmp_path / "home"), tmp_path / "published")
    assert not (tmp_path / "published").exists()


def test_a_folder_that_holds_files_is_not_written_to(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "published").mkdir()
    (tmp_path / "published/notes.txt").write_text("mine")
    with pytest.raises(PrunegridError, match=r"published: exists and is not an empty folder; choose a new one"):
        redact(finished, tmp_path / "published")
    assert contents(tmp_path / "published") == "mine"


def test_only_a_results_folder_is_copied(tmp_path: Path) -> None:
    with pytest.raises(PrunegridError, match=r"has no experiment.json; name a folder results/<experiment>"):
        redact(tmp_path, tmp_path / "published")
