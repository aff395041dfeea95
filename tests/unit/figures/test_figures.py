"""Figures: what they say, from small folders made by hand; which there are; that they are the same bytes each time."""

import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest

from prunegrid.cli import app
from prunegrid.core import files as io
from prunegrid.experiment import grid
from prunegrid.figures import differences, eu_plane, names, pareto, points, probes
from prunegrid.figures.draw import draw_all, draw_folder, plots
from prunegrid.figures.model_results import ModelResults, NothingToShow
from prunegrid.figures.style import save, styled
from prunegrid.results import collect
from prunegrid.statistics import deltas
from prunegrid.table.layout import lay_out
from support import handmade_scores
from support.errors import refused
from support.figures_folder import BUDGET, DELTAS, HALF, deltas_of, fill, many, worked_scores
from support.results_folder import an_experiment, finish, put, shared_files
from support.snakemake_runs import ROOT


def figure_texts(folder: Path, name: str, model: str = "m") -> list[str]:
    """The texts of a figure's SVG, which must be XML; its PNG must be one."""
    file = folder / "figures" / model / f"{name}.svg"
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG\r\n")
    return ["".join(text.itertext()) for text in ET.parse(file).iter("{http://www.w3.org/2000/svg}text")]


def drawn(folder: Path, deltas: pd.DataFrame | None = None) -> list[Path]:
    """Collect the folder and draw it."""
    collect.write(collect.collect_from(folder), folder / "results.parquet")
    return draw_all(folder, deltas)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `fill` leaves, and all of its figures; for reading only."""
    root = tmp_path_factory.mktemp("whole")
    fill(root)
    drawn(root, deltas_of(DELTAS))
    return root


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of it without figures."""
    shutil.copytree(whole, tmp_path / "copy", ignore=shutil.ignore_patterns("figures"))
    return tmp_path / "copy"


def texts_of(folder: Path, name: str, deltas: pd.DataFrame | None = None) -> list[str]:
    """Draw one figure of the folder; its texts."""
    given = source(folder, deltas)
    with styled():
        save(plots(given.experiment)[name](given), folder / "figures/m", name)
    return figure_texts(folder, name)


def source(folder: Path, deltas: pd.DataFrame | None = None) -> ModelResults:
    frame = collect.collect_from(folder)
    return ModelResults(folder, collect.read_folder(folder), "m", frame, deltas, "seconds")


def test_draw_all_writes_the_figures_that_names_lists(whole: Path) -> None:
    files = list((whole / "figures/m").iterdir())
    expected = {"eu-plane", "tokens", "pareto", "heat-map", f"bars-{BUDGET}", "curves"}
    assert {file.stem for file in files} == expected == set(names.figures(many()))
    assert sorted(file.suffix for file in files) == [".png"] * 6 + [".svg"] * 6


def test_every_figure_has_its_drawing_and_its_caption() -> None:
    experiment = many()
    assert list(plots(experiment)) == list(names.figures(experiment))
    captions = {kind: (ROOT / f"workflow/report/{kind}.rst").read_text() for kind in names.figures(experiment).values()}
    assert all(len(text) > 200 for text in captions.values())


def test_the_same_bytes_whatever_matplotlib_is_set_to(whole: Path, folder: Path) -> None:
    first = {file.name: file.read_bytes() for file in (whole / "figures/m").iterdir()}
    with matplotlib.rc_context({"font.size": 20, "svg.fonttype": "path", "axes.facecolor": "red"}):
        redrawn = {file.name: file.read_bytes() for file in drawn(folder, deltas_of(DELTAS))}
    assert redrawn == first
    assert not any(b"<dc:date>" in content for content in first.values())


def test_the_plane_of_the_worked_example(whole: Path) -> None:
    """docs/reference/pruners.md: 0 and 3 are Q4, 4 and 7 Q2; of the others 5 and 6 are high on both axes, 1 and 2
    low."""
    texts = figure_texts(whole, "eu-plane")
    assert "50 % of samples, q3: 0 filled in" in texts
    for corner, count in {
        "Q1 noise": "2",
        "Q2 misconception": "2, kept 2",
        "Q3 redundant": "2",
        "Q4 calibration": "2, kept 2",
        "between": "0",
    }.items():
        assert texts[texts.index(corner) + 1] == count
    assert "all 8 samples" in texts


def test_the_plane_without_a_selection(folder: Path) -> None:
    for seed in (0, 1):
        (folder / f"pruned/m/{BUDGET}/q3/seed{seed}/selection.parquet").unlink()
    texts = texts_of(folder, "eu-plane")
    assert "50 % of samples, q3: no selection" in texts and "kept as Q2" not in texts


def test_windows_of_their_own_have_no_lines(folder: Path) -> None:
    file = folder / f"pruned/m/{BUDGET}/q3/seed0/selection.json"
    put(file, io.read_json(file) | {"thresholds": {"windows": 100, "quartiles": {}}})
    assert "100 windows, each with its own thresholds" in texts_of(folder, "eu-plane")


def with_options(folder: Path, **options: Any) -> None:
    """Give the variant q3 of the folder's experiment these options, too."""
    q3 = {"q3": {"method": "qtuning", "bisection_steps": 3, **options}}
    variants = ["random+random", "random+ppl", "longest+random", q3, *many().model_dump(mode="json")["variants"][4:]]
    put(folder / "experiment.json", many(variants=variants).model_dump(mode="json"))


def test_the_plane_has_the_entropy_that_the_thresholds_are_of(folder: Path) -> None:
    with_options(folder, entropy_over="sequence")
    with pytest.raises(NothingToShow, match=r"sequence_entropy\.parquet is missing"):
        texts_of(folder, "eu-plane")
    handmade_scores.write_extra(folder / "scores/m", "sequence_entropy", worked_scores(), [9.0] * 7 + [11.0])
    with styled():
        (axis, *_) = eu_plane.draw(source(folder)).axes
    assert axis.get_xlabel() == "Mean predictive entropy of prompt and response (nats)"
    assert axis.collections[0].get_offsets()[:, 0].tolist() == [9.0] * 7 + [11.0]


def test_heat_map_has_numbers_and_holes(whole: Path) -> None:
    """random+ppl, seed 0: (20 + 31.25) / 2 against (30 + 40) / 2, of one seed in two; longest+random failed."""
    texts = figure_texts(whole, "heat-map")
    cells = ["base", "\u22129.4", "(1/2)", "failed", "\u2013"]
    assert [text for text in texts if text in cells] == cells
    assert {"Random", "Longest removed", "PPL", "q3"} <= set(texts)


def test_a_star_in_the_heat_map_is_significant(folder: Path) -> None:
    star = deltas_of([{"variant": "random+ppl", "benchmark": "Avg", "delta": -9.375, "significant": True}])
    assert "\u22129.4*" in texts_of(folder, "heat-map", star)
    assert "\u22129.4" in texts_of(folder, "heat-map", star.assign(significant=False))


def test_bars_tell_both_kinds_of_intervals_and_what_is_missing(whole: Path) -> None:
    texts = figure_texts(whole, f"bars-{BUDGET}")
    assert {
        "A",
        "B",
        "Avg",
        "q3",
        "Random + PPL (1/2)",
        "Difference from Random + Random of the same mode and removal (points)",
    } <= set(texts)
    assert "95 % interval: items and seeds" in texts
    assert "95 % interval: item noise only (one seed)" in texts
    assert "filled: differs, corrected over the rows" in texts
    assert [text.strip() for text in texts].count("failed") == 3
    assert "Random + Random" not in texts


def test_bars_of_one_seed_promise_no_more(folder: Path) -> None:
    texts = texts_of(folder, f"bars-{BUDGET}", deltas_of(DELTAS[2:]))
    assert "95 % interval: item noise only (one seed)" in texts
    assert "open, grey: not tested" in texts
    assert not [text for text in texts if "and seeds" in text or "corrected" in text or "no interval" in text]


def test_bars_say_how_many_seeds_they_compare(whole: Path) -> None:
    """Two seeds in all: random+ppl's A has one of them."""
    assert {"Random + PPL (1/2)", "q3"} <= set(figure_texts(whole, f"bars-{BUDGET}"))
    both = deltas_of([{"variant": "q3", "n_seeds": n, "benchmark": b, "delta": 1.0} for n, b in ((1, "A"), (2, "B"))])
    assert differences.label(source(whole), both, "q3") == "q3 (1-2/2)"
    assert differences.label(source(whole), both, "random+ppl") == "Random + PPL"


def test_few_clusters_are_not_one_seed(folder: Path) -> None:
    rows = [{"variant": "q3", "benchmark": name, "delta": 3.0} for name in ("A", "B", "Avg")]
    texts = texts_of(folder, f"bars-{BUDGET}", deltas_of(rows))
    assert "no interval: fewer than 10 clusters of items" in texts
    assert not [text for text in texts if "95 %" in text]


PLAIN = {"plain": {"method": "random+random"}}


def test_a_baseline_of_another_name_is_the_base(tmp_path: Path) -> None:
    """`plain` is what random+ppl's deltas are against: (20 + 31.25) / 2 less (30 + 40) / 2."""
    experiment = an_experiment(variants=[PLAIN, "random+ppl"], budgets=[HALF], seeds=[0])
    put(tmp_path / "experiment.json", experiment.model_dump(mode="json"))
    shared_files(tmp_path, experiment)
    cells = {cell.path: cell for cell in grid.cells(experiment)}
    finish(tmp_path, cells[f"{BUDGET}/plain/seed0"], 30, 40, experiment=experiment)
    finish(tmp_path, cells[f"{BUDGET}/random+ppl/seed0"], 20, 31.25, experiment=experiment)
    texts = texts_of(tmp_path, "heat-map")
    assert [text for text in texts if text in ("base", "\u22129.4", "\u2013")] == ["base", "\u22129.4"]
    assert "baseline: plain" in texts_of(tmp_path, "pareto")


def with_costs(given: ModelResults, frame: pd.DataFrame, unit: Any = "seconds") -> "pd.Series[float]":
    rows = points.points(replace(given, frame=frame, unit=unit)).set_index("variant")["cost"]
    return rows.dropna()


def test_cost_is_scoring_and_training_as_in_the_table(whole: Path) -> None:
    """Where the share of the scoring pass is not known the cost is not. longest+random and `never` are not trained."""
    given = source(whole)
    shares = {"q3": 2.0, "random+random": 0.0, "full": 0.0}
    frame = given.frame.assign(train_seconds=5.0, scoring_seconds=given.frame["variant"].map(shares))
    assert with_costs(given, frame).to_dict() == {"random+random": 5, "q3": 7, "full": 5}
    assert set(with_costs(given, frame.assign(gpu_hours=0.5), "GPU-hours")) == {0.5}
    table = lay_out(frame, title="t")
    shown = {row.variant: row.measurements["m"].cost for row in table.rows}
    assert {name: shown[name] for name in ("random+random", "q3", "full", "random+ppl")} == {
        "random+random": 5,
        "q3": 7,
        "full": 5,
        "random+ppl": None,
    }


def test_measured_cost_is_shown_where_equal_work_takes_equal_time(whole: Path) -> None:
    """The unit is the table's; trainings that differ in time by more than 15 % compare no cost."""
    given = replace(source(whole), unit="GPU-hours")
    scored = points.points(given).dropna(subset="score")
    assert list(pareto._columns(given, scored, 1.03).items())[-1] == ("cost", "Measured (GPU-hours; equal work: +3 %)")
    assert "cost" not in pareto._columns(given, scored, 1.2) | pareto._columns(given, scored, None)
    assert points.time_remark(2.46).endswith("equal work took up to 2.5 times as long, as on a shared machine.")
    assert points.time_remark(1.1) == ""


def test_pareto_says_what_it_leaves_out(whole: Path, folder: Path) -> None:
    """longest+random failed, `never` is missing; random+ppl has one of two seeds."""
    texts = figure_texts(whole, "pareto")
    assert "Left out: 2 of 7 rows without Avg (1 missing, 1 failed)" in texts
    assert "circled: mean over fewer than 2 seeds" in texts
    given = source(folder)
    rows = points.points(given).set_index("variant")
    assert points.partial(rows).to_dict() == {name: name == "random+ppl" for name in rows.index}
    assert (rows.loc["random+ppl", "done"], rows.loc["random+ppl", "seeds"]) == (1, 2)
    full = folder / "evaluation/m/full/seed1/A.json"
    full.unlink()
    assert texts_of(folder, "pareto").count("Full Dataset (1/2)") == 2


def test_pareto_of_all_seeds_says_nothing_of_missing_ones(whole: Path) -> None:
    given = source(whole)
    whole_rows = given.frame[~given.frame["variant"].isin(["longest+random", "never", "random+ppl"])]
    every = points.points(replace(given, frame=whole_rows))
    assert (points.without_score(every), points.unknown(every, "tokens")) == ("", "")
    assert not points.partial(every).any()


def test_pareto_names_the_front_and_zero_shot(whole: Path) -> None:
    """All cells cost the same here, so Full Dataset alone is on the front."""
    texts = figure_texts(whole, "pareto")
    assert texts.count("Full Dataset") == 2
    assert {"Zero-Shot, 15.00 %", "Pareto front", "Avg (%)"} <= set(texts)
    assert {"Trained tokens, all epochs", "Optimizer steps"} <= set(texts)  # forwarded tokens are not on record


def test_curves_are_means_over_seeds(whole: Path) -> None:
    given = source(whole)
    (budget,) = given.experiment.grid_budgets
    line = probes.probes(probes.trained(given, budget, "random-dynamic")).to_dict("list")
    assert line == {
        "step": [0, 7],
        "ppl": [100.0, 40.0],
        "entropy": [2.0, 1.0],
        "ppl_min": [100.0, 30.0],
        "ppl_max": [100.0, 50.0],
        "entropy_min": [2.0, 1.0],
        "entropy_max": [2.0, 1.0],
        "seeds": [2, 2],
    }
    assert "least to greatest of the seeds" in figure_texts(whole, "curves")
    assert {"random-dynamic", "never (no training.json)", "Mean perplexity"} <= set(figure_texts(whole, "curves"))


def test_curves_tell_no_probes_from_no_training(folder: Path) -> None:
    for seed in (0, 1):
        file = folder / f"trained/m/{BUDGET}/random-dynamic/seed{seed}/training.json"
        put(file, io.read_json(file) | {"probes": []})
    assert "nothing to show: no probes in training.json of any dynamic cell" in " ".join(texts_of_nothing(folder))
    shutil.rmtree(folder / f"trained/m/{BUDGET}/random-dynamic")
    assert "nothing to show: no training.json of any dynamic cell" in " ".join(texts_of_nothing(folder))


def texts_of_nothing(folder: Path) -> list[str]:
    """What `curves` says of the folder where it has nothing to show; lines of the text are joined."""
    drawn(folder)
    return figure_texts(folder, "curves")


def test_tokens_are_shown_as_text(whole: Path) -> None:
    texts = figure_texts(whole, "tokens")
    assert {"Random", "PPL", "FastV", "SparseVLM", "Q-Tuning"} <= set(texts)
    assert "not scored: one layer only" in texts
    assert [text for text in texts if text.endswith("sample 4 of 8, 12 response tokens")]
    assert "To Q-Tuning: Q2. On blue: kept. Struck through: pruned." in texts
    assert texts.count("N") == 4


def test_every_figure_of_an_empty_folder_says_so(tmp_path: Path) -> None:
    put(tmp_path / "experiment.json", many().model_dump(mode="json"))
    assert len(drawn(tmp_path)) == 12
    for name in names.figures(many()):
        assert " ".join(figure_texts(tmp_path, name)).startswith("nothing to show: "), name


def test_a_damaged_file_is_an_error_and_leaves_no_half_figure(folder: Path) -> None:
    (folder / "scores/m/samples.parquet").write_text("no")
    with refused(folder / "scores/m/samples.parquet", "damaged"):
        drawn(folder)
    assert not (folder / "figures").exists()


@pytest.mark.parametrize("name", ["results.parquet", "deltas.parquet"])
def test_figures_need_the_table_first(folder: Path, name: str) -> None:
    """What the table has not written is named, with the command that writes it, in one line."""
    table = folder / "results.parquet", folder / "deltas.parquet"
    collect.write(collect.collect_from(folder), table[0])
    deltas.write(deltas_of([]).reindex(columns=deltas.SCHEMA.names), table[1])
    (folder / name).unlink()
    with pytest.raises(SystemExit) as raised:
        app.main(["figures", str(folder)])
    assert (
        raised.value.code == f"prunegrid figures: {folder}: no {name} there; write it with `prunegrid table {folder}`"
    )


def test_figures_of_a_folder_with_its_table(folder: Path) -> None:
    collect.write(collect.collect_from(folder), folder / "results.parquet")
    deltas.write(deltas_of(DELTAS).reindex(columns=deltas.SCHEMA.names), folder / "deltas.parquet")
    assert len(draw_folder(folder)) == 12
    assert "Random + PPL (1/2)" in figure_texts(folder, f"bars-{BUDGET}")


def test_many_samples_are_shown_as_density(folder: Path) -> None:
    rng = np.random.default_rng(0)
    n = 6_000
    given = handmade_scores.scores([2] * n, samples={"ppl": rng.lognormal(1, 1, n), "entropy": rng.random(n)})
    handmade_scores.write(folder / "scores/m", given)
    for seed in (0, 1):
        (folder / f"pruned/m/{BUDGET}/q3/seed{seed}/selection.parquet").unlink()
    assert "all 6,000 samples" in texts_of(folder, "eu-plane")
    assert (folder / "figures/m/eu-plane.svg").stat().st_size < 300_000
