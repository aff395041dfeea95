"""`prunegrid suggest`: its report, its files, and the seeds and cost of a grid."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

import prunegrid as pg
from prunegrid.cli import main
from prunegrid.core.files import write_parquet
from prunegrid.statistics.expectation import expected_difference
from prunegrid.statistics.resolution import expected, measured, shown
from support import handmade_scores
from support.errors import refused


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    given = handmade_scores.random_scores(40)
    del given.samples["hidden_mean"], given.samples["ifd"]
    folder = handmade_scores.write(tmp_path / "scores", given)
    kinds = ["good" if number % 2 else "bad" for number in given.sample_id.tolist()]
    write_parquet(folder / "data.parquet", pa.table({"sample_id": given.sample_id, "kind": kinds}))
    return folder


def test_report_begins_with_what_to_notice(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["suggest", str(scores), "--methods", "random+random,qtuning", "--samples", "10%,0.5,100%", "--kind", "kind"])
    text = capsys.readouterr().out
    head, _, tables = text.partition("## Trained tokens")
    assert "40 samples with" in head and "Half of the loss is in this share of the samples" in head
    assert len(head.splitlines()) < 15 and "qtuning trains" in head
    assert "| samples requested | 10 % | 50 % | 100 % |" in tables and "bad | good" in tables


def test_usual_methods_are_those_that_the_scores_can_run(scores: Path) -> None:
    assert pg.suggest(scores, samples=[0.5]).frame["method"].tolist() == [
        "random+random",
        "length+ppl",
        "loss+ppl",
        "ppl-mid+ppl",
        "entropy+ppl",
        "qtuning",
    ]


@pytest.mark.parametrize("ending", ["csv", "parquet", "md", "png", "svg"])
def test_out_writes_rows_report_or_curves(scores: Path, tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"out.{ending}"
    main(["suggest", str(scores), "--methods", "random+ppl", "--samples", "50%,100%", "--out", str(file)])
    if ending in ("csv", "parquet"):
        frame = pd.read_csv(file) if ending == "csv" else pd.read_parquet(file)
        assert frame["samples"].tolist() == [20, 40] and frame["sample_share"].tolist() == [0.5, 1.0]
    else:
        assert file.stat().st_size > 500


def test_seeds_are_the_least_that_find_the_difference(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resolution = expected(3, [2000, 2000, 2000], 2)
    assert (
        resolution.needed
        and resolution.detectable[resolution.needed] <= 3 < resolution.detectable[resolution.needed - 1]
    )
    assert resolution.detectable[5] == expected_difference([2000, 2000, 2000], 2, 5)
    assert resolution.needed in shown(resolution)
    assert expected(0.01, [50], 5).needed is None and 30 in shown(expected(0.01, [50], 5))
    arguments = ["--methods", "random+random,loss+ppl,qtuning", "--samples", "50%"]
    main(["suggest", str(scores), *arguments, "--detect", "3", "--items", "2000,2000,2000"])
    text = capsys.readouterr().out
    assert f"{resolution.needed} seeds." in text and "Assumed: the noise of the sandbox's three seeds" in text


def test_experiment_gives_items_and_cost(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--methods", "random+random", "--samples", "50%", "--detect", "5", "--experiment", "config.yaml"]
    main(["suggest", str(scores), *arguments])
    text = capsys.readouterr().out
    assert "| seeds | finds, points | cells | " in text and "data of this size" in text


def test_options_that_do_not_go_together_are_refused(scores: Path, tmp_path: Path) -> None:
    for arguments, words in (
        (["--items", "850"], "--detect POINTS"),
        (["--detect", "2"], "--items 850"),
        (["--detect", "-1", "--items", "5"], "above 0"),
        (["--detect", "2", "--items", "many"], "number for each benchmark"),
        (["--samples", "500"], "percentages"),
        (["--methods", "lost+ppl"], "did you mean"),
        (["--kind", "colour", "--methods", "random+ppl"], "no column colour"),
    ):
        with pytest.raises(SystemExit, match=words):
            main(["suggest", str(scores), *arguments])
    with refused(tmp_path, "deltas.parquet"):
        measured(2, tmp_path)
