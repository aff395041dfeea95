"""`prunegrid choose` and `prunegrid cut`: a selection by several machines, by hand."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from prunegrid.api.selection import Selection
from prunegrid.cli import app
from support import handmade_scores

WHAT = ["--pair", "random+ppl", "--samples", "12", "--tokens", "50%", "--seed", "3"]


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    return handmade_scores.write(tmp_path / "scores", handmade_scores.random_scores(40))


def test_choose_and_cut_give_what_prune_gives(scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    app.main(["prune", "--scores", str(scores), *WHAT, "--out", str(whole)])
    app.main(["choose", "--scores", str(scores), *WHAT, "--out", str(out)])
    app.main(["cut", str(out), "--shard", "2/2"])
    assert "to be cut: 1" in capsys.readouterr().out
    assert not (out / "selection.json").exists()
    app.main(["cut", str(out), "--shard", "1/2"])
    assert "All 2 shards are cut.\nKept 12 of 40 samples" in capsys.readouterr().out
    expected = pq.read_table(whole / "selection.parquet")
    assert Selection.open(out).sample_ids == expected["sample_id"].to_pylist()
    assert Selection.open(out).to_pandas().equals(expected.to_pandas())
    assert Selection.open(out).summary().budget == {"samples": "12"}


@pytest.mark.parametrize("shard", ["0/2", "3/2", "2"])
def test_a_shard_that_is_none_is_refused(scores: Path, tmp_path: Path, shard: str) -> None:
    app.main(["choose", "--scores", str(scores), *WHAT, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit):
        app.main(["cut", str(tmp_path / "out"), "--shard", shard])
    assert not (tmp_path / "out/selection").exists()


def test_a_folder_without_a_choice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="prunegrid choose"):
        app.main(["cut", str(tmp_path), "--shard", "1/2"])
