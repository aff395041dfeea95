"""`prunegrid ladder` and the waterfall: what they say of a finished, a partial and a wrong folder."""

import json
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from prunegrid.cli import app
from prunegrid.experiment.variant import Budget
from prunegrid.figures import names, waterfall
from prunegrid.figures.model_results import ModelResults, NothingToShow
from prunegrid.figures.style import save, styled
from prunegrid.results import collect
from prunegrid.results.decomposition import decompose_folder
from support.errors import refused
from support.item_files import cell
from support.ladder_folder import fill, laddered, random_values
from support.results_folder import an_experiment, put

BUDGET = Budget(sample_ratio=0.125, token_ratio=0.5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    experiment = laddered(columns={"drawn": {"label": "Answers sampled at temperature 1", "A": "C"}}, names="ABC")
    fill(tmp_path, experiment, random_values(experiment))
    return tmp_path


def test_terminal_has_every_number_of_avg(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app.main(["ladder", str(folder), "--out", str(folder / "all.csv")])
    text = capsys.readouterr().out
    frame = decompose_folder(folder)
    assert max(map(len, text.splitlines())) <= 100
    average = frame[(frame["benchmark"] == "Avg") & frame["part"].isin(["contribution", "paper", "copy", "left-over"])]
    assert len(average) == 8
    for row in average.itertuples():
        line = next(line for line in text.splitlines() if f"{row.points:+.2f}  " in line)
        assert f"{row.low:+.2f} to {row.high:+.2f}" in line
    assert "3 seeds, 120 items" in text
    assert pd.read_csv(folder / "all.csv")["points"].to_numpy() == pytest.approx(frame["points"].to_numpy())


def test_json_is_the_frame(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app.main(["ladder", str(folder), "--json"])
    rows = json.loads(capsys.readouterr().out)
    frame = decompose_folder(folder)
    assert [row["points"] for row in rows] == pytest.approx(frame["points"].tolist())
    assert list(rows[0]) == list(frame.columns)


def test_missing_cells_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment = laddered()
    values = {key: value for key, value in random_values(experiment).items() if key[0].variant != "random-copy-rate"}
    fill(tmp_path, experiment, values)
    app.main(["ladder", str(tmp_path)])
    text = " ".join(capsys.readouterr().out.split())
    assert "3 cells are not finished: random-copy-rate/seed0, random-copy-rate/seed1, random-copy-rate/seed2." in text


def test_folder_without_a_ladder_or_a_table_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "experiment.json", an_experiment().model_dump(mode="json"))
    with refused(tmp_path, "no ladder", fix="section ladder"):
        decompose_folder(tmp_path)
    put(tmp_path / "experiment.json", laddered().model_dump(mode="json"))
    with refused(tmp_path, "no results.parquet", fix=f"prunegrid table {tmp_path}"):
        decompose_folder(tmp_path)


def test_gap_of_unknown_rows_is_refused(folder: Path) -> None:
    with refused("--gap", "'full'", fix="qtuning, random"):
        decompose_folder(folder, ("qtuning", "full"))
    with refused("--gap", "random with itself", fix="qtuning, random"):
        decompose_folder(folder, ("random", "random"))


def model_results(folder: Path) -> ModelResults:
    experiment = collect.read_folder(folder)
    frame = collect.read(folder / "results.parquet")
    return ModelResults(folder, experiment, "m", frame, None, "s")  # type: ignore[arg-type]


def test_waterfall_starts_each_bar_where_the_last_one_ended(folder: Path) -> None:
    results = model_results(folder)
    assert names.figures(results.experiment)["waterfall-s0.125-t0.5"] == "waterfall"
    with styled():
        figure = waterfall.draw(results, BUDGET)
        (file, _) = save(figure, folder, "waterfall")
    bars: Any = figure.axes[0].patches
    spans = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars]
    frame = decompose_folder(folder).query("benchmark == 'Avg'").set_index(["part", "difference"])["points"]
    assert spans[0] == pytest.approx((0, frame["paper", ""]))
    for (_, end), (start, _) in pairwise(spans[:-1]):
        assert start == pytest.approx(end)
    assert spans[-2][1] == pytest.approx(frame["copy", ""]), "differences and what is left over make up the whole"
    assert spans[-1] == pytest.approx((0, frame["copy", ""]))
    texts = ["".join(text.itertext()) for text in ET.parse(file).iter("{http://www.w3.org/2000/svg}text")]
    assert any("3 seeds, 120 items" in text for text in texts)
    assert waterfall.NO_FINDING in texts, "no difference of these toy runs is a finding"


def test_waterfall_of_nothing_says_so(tmp_path: Path) -> None:
    experiment = laddered()
    values = {key: value for key, value in random_values(experiment).items() if key[0] == cell("qtuning-paper")}
    fill(tmp_path, experiment, values)
    with pytest.raises(NothingToShow, match="no cell"):
        waterfall.draw(model_results(tmp_path), BUDGET)
