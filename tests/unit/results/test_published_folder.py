"""Results that are published have no text of a data set, and can still be verified."""

from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from prunegrid.core import files
from prunegrid.evaluation.records import TEXTS
from prunegrid.experiment import layout
from prunegrid.verification.verify import verify
from support.finished_folder import edit_json, write_finished
from support.folder_contents import contents
from support.programs import publish_folder


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


def test_what_is_published_is_whole_but_for_its_texts(finished: Path, tmp_path: Path) -> None:
    target = tmp_path / "published/results/whole"
    publish_folder.publish(finished, target)
    verification = verify(target)
    assert [str(problem) for problem in verification.problems] == []
    named = {"data/benchmarks/A.jsonl", "data/benchmarks/T.jsonl", "data/d.parquet", "scores/m/tokens.parquet"}
    assert verification.walk.unpublished == named
    assert verification.numbers and verification.numbers.scores
    assert "cats drink" in contents(finished / "data")
    assert "cats drink" not in contents(target)
    (target / layout.LEFT_OUT).unlink()
    assert {problem.where.split("whole/")[1] for problem in verify(target).problems} == named


def test_item_files_with_texts_are_not_published(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="items: scores"):
        publish_folder.publish(write_finished(tmp_path / "home"), tmp_path / "published")
