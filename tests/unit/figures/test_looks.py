"""How figures look: no text on another, titles with n, the table's order, hatching of noise, huge intervals."""

import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from prunegrid.audit import figure
from prunegrid.audit.measure import COLUMNS
from prunegrid.audit.report import KINDS
from prunegrid.core import files
from prunegrid.experiment.names import AVERAGE
from prunegrid.figures import bars, differences, heat_map, noise, pareto, points, squares, style
from prunegrid.figures.draw import plots
from prunegrid.figures.model_results import ModelResults
from prunegrid.results import collect, work
from prunegrid.statistics import deltas as statistics
from prunegrid.status import Files
from prunegrid.table.labels import Labels
from prunegrid.table.layout import lay_out
from support.figures_folder import DELTAS, deltas_of, fill, many
from support.results_folder import an_experiment, put


def visible_texts(figure: Figure) -> list[Text]:
    """The texts that are drawn: of ticks only those within the axis."""
    figure.draw_without_rendering()
    axes = [axis for plot in figure.axes if plot.get_visible() for axis in (plot.xaxis, plot.yaxis)]
    labels = {id(label) for axis in axes for label in axis.get_ticklabels(which="both")}
    drawn = {id(tick.label1) for axis in axes for tick in axis._update_ticks()}  # type: ignore[attr-defined]
    hidden = {id(text) for plot in figure.axes if not plot.get_visible() for text in plot.findobj(Text)}
    return [
        text
        for text in figure.findobj(Text)
        if isinstance(text, Text) and text.get_visible() and text.get_text().strip()
        if id(text) not in hidden and (id(text) not in labels or id(text) in drawn)
    ]


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts whose boxes share more than a pixel and a half both ways; slanted ones lie side by side."""
    boxes = [(text, text.get_window_extent()) for text in visible_texts(figure)]
    found = []
    for (one, a), (other, b) in combinations(boxes, 2):
        wide, high = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        if wide > 1.5 and high > 1.5 and not (one.get_rotation() % 90 and other.get_rotation() % 90):
            found.append((one.get_text(), other.get_text()))
    return found


def outside(figure: Figure) -> list[str]:
    """The texts that leave the page."""
    wide, high = figure.bbox.width, figure.bbox.height
    boxes = [(text.get_text(), text.get_window_extent()) for text in visible_texts(figure)]
    return [t for t, box in boxes if box.x0 < -1 or box.y0 < -1 or box.x1 > wide + 1 or box.y1 > high + 1]


def drawn(given: ModelResults, name: str) -> Figure:
    with style.styled():
        figure = plots(given.experiment)[name](given)
        style.freeze(figure)
        return figure


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> ModelResults:
    root = tmp_path_factory.mktemp("whole")
    fill(root)
    return ModelResults(root, many(), "m", collect.collect_from(root), deltas_of(DELTAS), "seconds")


def imagined(
    root: Path, variants: list[Any], seeds: int = 3, mde_points: float = 2.0, **changes: Any
) -> tuple[ModelResults, pd.DataFrame]:
    """Results with a score in every cell and noise of about `mde_points`, and the deltas that they have."""
    experiment = an_experiment(variants=variants, seeds=list(range(seeds)), **changes)
    frame = collect.collect(experiment, root)
    rng = np.random.default_rng(0)
    frame = frame.assign(score=30 + 5 * rng.standard_normal(len(frame)), status="done", n_items=100)
    frame = frame.assign(trained_tokens=rng.integers(1e4, 1e6, len(frame)), steps=rng.integers(50, 99, len(frame)))
    frame = collect.with_deltas(frame, collect.baselines(experiment))
    rows = []
    columns = ["sample_ratio", "token_ratio", "variant", "benchmark"]
    for place, part in frame[frame["delta"].notna()].groupby(columns, sort=False):
        delta = float(part["delta"].mean())
        noise_of = {"item_se": mde_points / 4, "item_df": 99.0, "run_se": mde_points / 4, "run_df": seeds - 1.0}
        rows.append(
            dict(zip(columns, place, strict=True))
            | noise_of
            | {"both_se": 0.0, "level": 0.05, "n_family": len(variants), "n_seeds": seeds, "delta": delta}
            | {"low": delta - mde_points, "high": delta + mde_points, "significant": abs(delta) > mde_points}
        )
    found = deltas_of(rows).reindex(columns=statistics.SCHEMA.names)
    model = next(iter(experiment.models))
    return ModelResults(root, experiment, model, frame, found, "seconds"), found


@pytest.mark.parametrize("name", ["eu-plane", "tokens", "pareto", "heat-map", "bars-s0.5-t0.5", "curves"])
def test_no_text_lies_on_another_and_the_title_has_model_data_and_n(whole: ModelResults, name: str) -> None:
    figure = drawn(whole, name)
    assert overlaps(figure) == [] and outside(figure) == []
    words = " ".join(text.get_text() for text in visible_texts(figure)[:400])
    assert "m \N{MIDDLE DOT} world \N{MIDDLE DOT}" in words
    n = {
        "eu-plane": "8 samples",
        "tokens": "sample 4 of 8, 12 response tokens",
        "curves": "100 samples of the training",
    }
    assert n.get(name, "2 seeds, 250 items") in words.replace("\n", " ")


def test_names_that_are_long_or_latex_stay_apart_and_on_the_page(tmp_path: Path) -> None:
    names = ["y" * 60, "many-parts_and-underscores+to-break-at-where-it-is-long", "a_b_c_d"]
    given, _ = imagined(tmp_path, ["random+random", "qtuning", *({name: {"method": "random+ppl"}} for name in names)])
    name = "a-$model_name$-of-" + "z" * 90
    given = replace(given, model=name, frame=given.frame.assign(model=name))
    for name in ("bars-s0.125-t0.5", "pareto"):
        figure = drawn(given, name)
        assert overlaps(figure) == [] and outside(figure) == [], name


def test_a_grid_of_104_cells_stays_readable(tmp_path: Path) -> None:
    samples = ["random", "longest", "entropy", "infobatch", "loss", "ppl-mid"]
    pairs = [f"{sample}+{token}" for sample in samples for token in ("random", "ppl", "fastv", "sparsevlm")]
    budgets = [{"sample_ratio": r, "token_ratio": t} for r in (0.125, 0.5) for t in (0.5, 0.7)]
    given, _ = imagined(tmp_path, [*pairs, "qtuning", "token-first"], seeds=1, budgets=budgets)
    for name in ("heat-map", "bars-s0.125-t0.5", "pareto"):
        figure = drawn(given, name)
        assert overlaps(figure) == [] and outside(figure) == [], name


def test_rows_have_the_tables_order(tmp_path: Path) -> None:
    """Joint methods stand below pairs, wherever the config has them; the baseline has no bar."""
    variants = ["random+random", "qtuning", "random+ppl", {"second": {"method": "qtuning"}}, "longest+random"]
    given, deltas = imagined(tmp_path, variants)
    (budget,) = given.experiment.grid_budgets
    table = lay_out(given.frame, title="t", deltas=deltas, labels=Labels(given.experiment))
    (group,) = [group for group in table.groups if group.budget == budget]
    rows = [row.variant for row in group.rows if row.kind != "reference"]
    assert given.order(budget) == rows == ["random+random", "random+ppl", "longest+random", "qtuning", "second"]
    drawn_rows = differences.differences(given, budget)
    assert list(drawn_rows["variant"].unique()) == rows[1:]
    assert drawn_rows.groupby("variant", sort=False)["is_qtuning"].first().tolist() == [False, False, True, True]
    figure = drawn(given, "bars-s0.125-t0.5")
    ticks = [label for label in figure.axes[0].get_yticklabels() if label.get_fontweight() == "bold"]
    assert [label.get_text() for label in ticks] == ["Q-Tuning", "second"]


def hatched(figure: Figure) -> int:
    axis = figure.axes[0]
    return sum(isinstance(patch, Rectangle) and patch.get_hatch() is not None for patch in axis.patches)


def test_the_heat_map_hatches_what_is_below_the_detectable_difference(tmp_path: Path) -> None:
    """Colours reach three detectable differences even where no delta does. What is significant has no hatch."""
    given, deltas = imagined(tmp_path, ["random+random", "random+ppl", "longest+random", "longest+ppl"])
    (budget,) = given.experiment.grid_budgets
    shifts = {"random+ppl": 0.4, "longest+random": 9.0, "longest+ppl": 0.5}
    frame = given.frame.assign(delta=given.frame["variant"].map(shifts))
    quiet = deltas.assign(significant=deltas["variant"] == "longest+ppl")
    given = replace(given, frame=frame, deltas=quiet)
    (found,) = noise.detectable(given, budget).values()
    assert 1 < found < 4
    places = squares.squares(given, budget)
    assert {place: square.within_noise for place, square in places.items()} == {
        ("random", "random"): False,
        ("random", "ppl"): True,
        ("longest", "random"): False,
        ("longest", "ppl"): False,
    }
    figure = drawn(given, "heat-map")
    assert hatched(figure) == 1
    small = replace(given, frame=frame.assign(delta=frame["delta"] / 100))
    assert heat_map._half_range([*squares.squares(small, budget).values()]) == pytest.approx(3 * found)
    unknown = replace(given, deltas=quiet.drop(columns=["item_se", "run_se"]).assign(significant=None))
    assert all(s.within_noise for s in squares.squares(unknown, budget).values() if not s.is_base)


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        ({"n_seeds": 3, "delta": 4.0, "low": 1.0, "high": 7.0, "significant": True}, "better"),
        ({"n_seeds": 3, "delta": -4.0, "low": -7.0, "high": -1.0, "significant": True}, "worse"),
        ({"n_seeds": 3, "delta": 4.0, "low": 1.0, "high": 7.0, "significant": False}, "noise"),
        ({"n_seeds": 1, "delta": 4.0, "item_low": 1.0, "item_high": 7.0}, "better"),
        ({"n_seeds": 1, "delta": 4.0, "item_low": -1.0, "item_high": 9.0}, "noise"),
        ({"n_seeds": 1, "delta": 40.0}, "noise"),
    ],
)
def test_a_colour_takes_a_finding(row: dict[str, Any], verdict: str) -> None:
    (line,) = deltas_of([row]).itertuples()
    assert noise.verdict(line, row["delta"]) == verdict


def test_a_huge_interval_is_cut_and_an_arrow_says_so(tmp_path: Path) -> None:
    given, deltas = imagined(tmp_path, ["random+random", "random+ppl", "longest+random", "qtuning"])
    (budget,) = given.experiment.grid_budgets
    usual = differences.limits(differences.differences(given, budget))
    wide = deltas["variant"].eq("qtuning") & deltas["benchmark"].eq(AVERAGE)
    given = replace(given, deltas=deltas.assign(low=deltas["low"].where(~wide, -9_000.0)))
    assert differences.limits(differences.differences(given, budget))[0] > usual[0] - 10
    figure = drawn(given, "bars-s0.125-t0.5")
    assert bars.CUT_LABEL in [text.get_text() for text in figure.legends[0].get_texts()]
    assert [line.get_marker() for line in figure.axes[-1].lines if line.get_marker() in "<>"] == ["<"]


def test_pareto_points_have_the_interval_of_their_difference(tmp_path: Path) -> None:
    given, _ = imagined(tmp_path, ["random+random", "random+ppl"], mde_points=2.0)
    rows = points.points(given).set_index("variant")
    one = rows.loc["random+ppl"]
    assert (one["low"], one["high"]) == pytest.approx((one["score"] - 2, one["score"] + 2))
    assert np.isnan(rows.loc["random+random", "low"])
    assert list(pareto._columns(given, rows, None)) == ["tokens", "steps"]


def test_equal_work_tells_a_shared_machine(whole: ModelResults, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = pd.DataFrame({"work": [100.0, 101.0, 103.5, 400.0], "seconds": [10.0, 12.0, 99.0, 20.0]})
    monkeypatch.setattr(points, "cells", lambda _: cells)
    assert points.spread(whole) == pytest.approx(1.2)
    monkeypatch.setattr(points, "cells", lambda _: cells.iloc[2:])
    assert points.spread(whole) is None


def test_the_work_of_a_finished_training(whole: ModelResults, tmp_path: Path) -> None:
    """Random + Random reads no scores: 3 x 100. Q-Tuning's two seeds and Random + PPL's share a pass of 90 tokens."""
    root = tmp_path / "copy"
    shutil.copytree(whole.root, root)
    meta = root / "scores/m/meta.json"
    put(meta, files.read_json(meta) | {"tokens": 90})
    for file in root.glob("trained/**/training.json"):
        put(file, files.read_json(file) | {"forwarded_tokens": 100, "epochs": 2.0})
    cells = work.token_passes(whole.experiment, Files(root))
    by_name = {(cell.variant, cell.seed): tokens for cell, tokens in cells.items()}
    assert by_name["random+random", 0] == by_name["full", 1] == by_name["random-dynamic", 0] == 300
    assert by_name["q3", 0] == by_name["random+ppl", 0] == 300 + 90 / 4
    assert by_name["never", 0] is None


def test_the_audits_figure_has_a_legend_and_counts() -> None:
    place = {"what": "samples", "pruner": "qtuning", "sample_ratio": 0.5, "n": 40, "share": 0.3, "chance": 0.5}
    ends = {"low": -0.3, "high": -0.1, "p_holm": 0.01, "agree": True}
    kinds = [(unit, kind, ratio) for unit, ratio in (("samples", None), ("tokens", 0.5)) for kind in KINDS[unit]]
    rows = [
        place
        | {"what": unit, "kind": kind, "token_ratio": 0.5 if unit == "tokens" else None, "model": model, "seed": n}
        for unit, kind, ratio in kinds
        for n, model in ((0, "m"), (1, "m@seed1"), (None, None))
    ]
    frame = pd.DataFrame([row | (ends if row["seed"] is None else {}) for row in rows]).reindex(columns=[*COLUMNS])
    audit = figure.make(frame.astype(COLUMNS))
    assert overlaps(audit) == [] and outside(audit) == []
    texts = [text.get_text() for text in visible_texts(audit)]
    assert "m \N{MIDDLE DOT} 2 base models \N{MIDDLE DOT} 280 planted samples" in texts
    assert {"new fact\n40", "by chance", "one base model", "mean of the base models, 95 % interval"} <= set(texts)


def test_one_benchmark_one_seed_and_missing_cells(tmp_path: Path) -> None:
    given, found = imagined(tmp_path, ["random+random", "random+ppl", "longest+random", "qtuning"], seeds=1)
    gone = given.frame["variant"].eq("longest+random")
    frame = given.frame.assign(status=given.frame["status"].mask(gone, "failed"), score=given.frame["score"].mask(gone))
    frame = frame.assign(delta=frame["delta"].mask(gone))
    left = found[found["variant"] != "longest+random"].assign(significant=None, low=np.nan, high=np.nan)
    left = left.assign(item_low=left["delta"] - 2, item_high=left["delta"] + 2)
    given = replace(given, frame=frame[frame["benchmark"].isin(["A", AVERAGE])], deltas=left)
    for name in ("bars-s0.125-t0.5", "heat-map", "pareto"):
        figure = drawn(given, name)
        assert overlaps(figure) == [] and outside(figure) == [], name
    rows = differences.differences(given, given.experiment.grid_budgets[0])
    states = rows[rows["variant"] == "longest+random"].set_index("benchmark")["state"]
    assert states.to_dict() == {"A": "failed", "B": "missing", AVERAGE: "failed"}
    assert set(rows.loc[rows["variant"] == "qtuning", "interval"]) == {"items"}


def test_a_title_breaks_between_its_parts() -> None:
    parts = " \N{MIDDLE DOT} ".join(["a-model", "data", "12.5 % samples of all there are", "3 seeds"])
    assert style.heading_lines(parts, 2.9) == [
        "a-model \N{MIDDLE DOT} data",
        "12.5 % samples of all there are \N{MIDDLE DOT} 3 seeds",
    ]
