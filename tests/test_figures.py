"""Figures: what they say, from small folders made by hand; which there are; that they are the same bytes each time."""

import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest

import handmade
from figures_folder import AT, DELTAS, byte_tokenizer, deltas_of, fill, many, worked_scores
from prunegrid import draws, io, pruners, results
from prunegrid.errors import PrunegridError
from prunegrid.figures import curves, names, pareto, response, tokens
from prunegrid.figures.draw import draw_all, drawings
from prunegrid.figures.source import Source, signed
from prunegrid.figures.style import save, styled
from results_folder import an_experiment, put
from snake import ROOT


def said(folder: Path, name: str, model: str = "m") -> list[str]:
    """The texts of a figure's SVG, which must be XML; its PNG must be one."""
    file = folder / "figures" / model / f"{name}.svg"
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG\r\n")
    return ["".join(text.itertext()) for text in ET.parse(file).iter("{http://www.w3.org/2000/svg}text")]


def drawn(folder: Path, deltas: pd.DataFrame | None = None) -> list[Path]:
    """Collect the folder and draw it."""
    results.write(results.collect_from(folder), folder / "results.parquet")
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
        save(drawings(given.experiment)[name](given), folder / "figures/m", name)
    return said(folder, name)


def source(folder: Path, deltas: pd.DataFrame | None = None) -> Source:
    frame = results.collect_from(folder)
    return Source(folder, results.experiment_of(folder), "m", frame, deltas)


def test_what_is_drawn_is_what_the_names_say(whole: Path) -> None:
    files = list((whole / "figures/m").iterdir())
    expected = {"eu-plane", "tokens", "pareto", "heat-map", f"bars-{AT}", "curves"}
    assert {file.stem for file in files} == expected == set(names.figures(many()))
    assert sorted(file.suffix for file in files) == [".png"] * 6 + [".svg"] * 6


def test_what_an_experiment_has_no_figures_of() -> None:
    bare = {"eu-plane", "tokens", "pareto"}
    assert set(names.figures(an_experiment(variants=["random+ppl", "qtuning"]))) == bare
    assert set(names.figures(an_experiment(variants=["random+random"]))) == bare
    joint = an_experiment(variants=["random+random", "qtuning"])
    assert set(names.figures(joint)) == bare | {"bars-s0.125-t0.5"}
    assert "curves" in names.figures(an_experiment(training={"mode": "dynamic"}))


@pytest.mark.parametrize(
    "variants",
    [
        ["random+ppl", "qtuning"],
        ["random+random", "random+ppl"],
        [{"plain": {"method": "random+random", "removal": "drop"}}, "qtuning"],
        ["qtuning", {"equal": {"method": "random+random", "match": "qtuning"}}],
    ],
)
def test_there_are_deltas_to_draw_where_there_is_a_baseline(variants: list[Any]) -> None:
    experiment = an_experiment(variants=variants)
    assert names.comparable(experiment) == bool(results.baselines(experiment))


def test_every_figure_has_its_drawing_and_its_caption() -> None:
    experiment = many()
    assert list(drawings(experiment)) == list(names.figures(experiment))
    captions = {kind: (ROOT / f"workflow/report/{kind}.rst").read_text() for kind in names.figures(experiment).values()}
    assert all(len(text) > 200 for text in captions.values())


def test_names_are_cheap_to_ask_for() -> None:
    code = "import sys; from prunegrid.figures import names; print({'pandas', 'matplotlib', 'torch'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_same_bytes_whatever_matplotlib_is_set_to(whole: Path, folder: Path) -> None:
    first = {file.name: file.read_bytes() for file in (whole / "figures/m").iterdir()}
    with matplotlib.rc_context({"font.size": 20, "svg.fonttype": "path", "axes.facecolor": "red"}):
        again = {file.name: file.read_bytes() for file in drawn(folder, deltas_of(DELTAS))}
    assert again == first
    assert not any(b"<dc:date>" in content for content in first.values())


def test_the_plane_of_the_worked_example(whole: Path) -> None:
    """docs/pruners.md: 0 and 3 are Q4, 4 and 7 Q2; of the others 5 and 6 are high on both axes, 1 and 2 low."""
    texts = said(whole, "eu-plane")
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
        (folder / f"pruned/m/{AT}/q3/seed{seed}/selection.parquet").unlink()
    texts = texts_of(folder, "eu-plane")
    assert "50 % of samples, q3: no selection" in texts and "kept as Q2" not in texts


def test_windows_of_their_own_have_no_lines(folder: Path) -> None:
    file = folder / f"pruned/m/{AT}/q3/seed0/selection.json"
    put(file, io.read_json(file) | {"thresholds": {"windows": 100, "quartiles": {}}})
    assert "100 windows, each with thresholds of its own" in texts_of(folder, "eu-plane")


def test_heat_map_has_numbers_and_holes(whole: Path) -> None:
    """random+ppl, seed 0: (20 + 31.25) / 2 against (30 + 40) / 2, of one seed in two; longest+random failed."""
    texts = said(whole, "heat-map")
    cells = ["base", "\u22129.4", "(1/2)", "failed", "\u2013"]
    assert [text for text in texts if text in cells] == cells
    assert {"Random", "Longest", "PPL", "50 % samples \u00d7 50 % tokens"} <= set(texts)


def test_a_star_in_the_heat_map_is_significant(folder: Path) -> None:
    star = deltas_of([{"variant": "random+ppl", "benchmark": "Avg", "delta": -9.375, "significant": True}])
    assert "\u22129.4*" in texts_of(folder, "heat-map", star)
    assert "\u22129.4" in texts_of(folder, "heat-map", star.assign(significant=False))


def test_bars_tell_both_kinds_of_intervals_and_what_is_missing(whole: Path) -> None:
    texts = said(whole, f"bars-{AT}")
    assert {
        "A",
        "B",
        "Avg",
        "q3",
        "Random + PPL",
        "Difference from Random + Random of the same mode and removal (points)",
    } <= set(texts)
    assert "95 % interval: items and seeds" in texts
    assert "95 % interval: item noise only (one seed)" in texts
    assert "filled: differs, after Holm's correction" in texts
    assert [text.strip() for text in texts].count("failed") == 3
    assert "Random + Random" not in texts


def test_bars_of_one_seed_promise_no_more(folder: Path) -> None:
    texts = texts_of(folder, f"bars-{AT}", deltas_of(DELTAS[2:]))
    assert "95 % interval: item noise only (one seed)" in texts
    assert not [text for text in texts if "seeds" in text or "Holm" in text]


def test_the_front_is_what_nothing_cheaper_equals() -> None:
    cost, score = np.array([1.0, 2.0, 3.0, 2.0, 5.0]), np.array([5.0, 7.0, 6.0, 7.0, 9.0])
    assert pareto.front(cost, score, -np.inf) == [0, 1, 4]
    assert pareto.front(cost, score, 5.0) == [1, 4]
    assert pareto.front(cost, score, 9.0) == []


def test_cost_is_scoring_and_training(whole: Path) -> None:
    given = source(whole)
    frame = given.frame.assign(train_seconds=5.0, scoring_seconds=given.frame["variant"].map({"q3": 2.0}))
    costs = pareto._points(Source(whole, given.experiment, "m", frame, None)).set_index("variant")["cost"]
    assert costs.to_dict() == {"random+random": 5, "random+ppl": 5, "q3": 7, "random-dynamic": 5, "full": 5}
    hours = pareto._points(Source(whole, given.experiment, "m", frame.assign(gpu_hours=0.5), None))
    assert set(hours["cost"]) == {0.5} and pareto._unit(hours) == "Scoring and training (GPU-hours)"


def test_pareto_names_the_front_and_zero_shot(whole: Path) -> None:
    """All cells cost the same here, so Full Dataset alone is on the front."""
    texts = said(whole, "pareto")
    assert texts.count("Full Dataset") == 2
    assert {"Zero-Shot, 15.00 %", "Pareto front", "Random + Random", "Avg (%)"} <= set(texts)
    assert "Scoring and training (seconds)" in texts


def test_curves_are_means_over_seeds(whole: Path) -> None:
    given = source(whole)
    (budget,) = given.experiment.grid_budgets
    assert curves._probes(given, budget, "random-dynamic").to_dict("list") == {
        "step": [0, 7],
        "ppl": [100.0, 40.0],
        "entropy": [2.0, 1.0],
    }
    assert {"random-dynamic", "never (not there)", "Mean perplexity"} <= set(said(whole, "curves"))


def test_tokens_are_those_that_the_cells_keep(whole: Path) -> None:
    """The sample is 4: of the two that are Q2, with 12 and 13 tokens, the lower median."""
    experiment = many()
    shown = response.read(whole, experiment, "m")
    assert (shown.sample_id, shown.treated_as, shown.prompt) == (4, 2, "Why so?")
    assert "".join(shown.texts) == "No, it is 4."
    assert shown.kept["sparsevlm"] == "one layer only"
    seed = draws.derive(0, "pruning")
    for name in ("random", "ppl", "fastv"):
        all_samples = pruners.select(worked_scores(), f"random+{name}", {}, 1.0, 0.5, seed)
        assert shown.kept[name] == set(all_samples.kept(4).tolist())
    qtuning = pruners.select(worked_scores(), "qtuning", {"bisection_steps": 3}, 0.5, 0.5, seed)
    assert qtuning.sample_id.tolist() == [0, 3, 4, 7]
    assert shown.kept["qtuning"] == set(qtuning.kept(2).tolist())


def test_tokens_are_shown_as_text(whole: Path) -> None:
    texts = said(whole, "tokens")
    assert {"Random", "PPL", "FastV", "SparseVLM", "Q-Tuning"} <= set(texts)
    assert "not scored: one layer only" in texts
    assert [text for text in texts if text.startswith("Sample 4: 12 response tokens, 50 % kept; Q2 to Q-Tuning")]
    assert texts.count("N") == 4


def test_which_sample_is_shown_where_no_response_is_long() -> None:
    given = handmade.scores(
        [3, 5, 5, 9], sample_id=[2, 4, 6, 8], samples={"ppl": [1, 2, 3, 4], "entropy": [4, 3, 2, 1]}
    )
    chosen = pruners.choose(given, "qtuning", {}, 0.5, 0.5, pruners.Draw(0))
    assert response.row_of(given, chosen)[0] == 4


def test_which_sample_is_shown_of_long_responses() -> None:
    plane = {"ppl": [9, 8, 7, 6, 1, 1, 1, 1], "entropy": [1, 1, 1, 1, 9, 9, 9, 9]}
    given = handmade.scores([61, 70, 65, 11, 20, 20, 20, 20], samples=plane)
    chosen = pruners.choose(given, "qtuning", {"final": "loose"}, 1.0, 0.5, pruners.Draw(0))
    assert response.row_of(given, chosen) == (2, 2)


def test_parts_of_a_character_are_shown_with_its_last() -> None:
    tokenizer = byte_tokenizer()
    ids = tokenizer.encode("a\u00e9 \u20ac").ids
    assert response.texts(tokenizer, ids) == [
        "a",
        "",
        "\u00e9",
        " ",
        "",
        "",
        "\u20ac",
    ]


def test_lines_break_between_tokens() -> None:
    width = tokens.WIDTH
    pieces = tokens.lay_out(["x" * (width - 1), "ab", "\n", "y" * (width + 5)])
    assert [(piece.line, piece.column) for piece in pieces] == [(0, 0), (1, 0), (1, 2), (2, 0)]
    assert pieces[2].text == "\u21b5" and len(pieces[3].text) == width
    assert tokens.visible("a\U0001f9ff$") == "a\u25a1$"


def test_a_folder_with_nothing_in_it_says_so_in_every_figure(tmp_path: Path) -> None:
    put(tmp_path / "experiment.json", many().model_dump(mode="json"))
    assert len(drawn(tmp_path)) == 12
    for name in names.figures(many()):
        assert " ".join(said(tmp_path, name)).startswith("nothing to show: "), name


def test_a_damaged_file_is_an_error_and_leaves_no_half_figure(folder: Path) -> None:
    (folder / "scores/m/samples.parquet").write_text("no")
    with pytest.raises(PrunegridError, match=r"samples\.parquet: damaged"):
        drawn(folder)
    assert not (folder / "figures").exists()


def test_many_samples_are_shown_as_density(folder: Path) -> None:
    rng = np.random.default_rng(0)
    n = 6_000
    given = handmade.scores([2] * n, samples={"ppl": rng.lognormal(1, 1, n), "entropy": rng.random(n)})
    handmade.write(folder / "scores/m", given)
    for seed in (0, 1):
        (folder / f"pruned/m/{AT}/q3/seed{seed}/selection.parquet").unlink()
    assert "all 6,000 samples" in texts_of(folder, "eu-plane")
    assert (folder / "figures/m/eu-plane.svg").stat().st_size < 300_000


@pytest.mark.parametrize(("points", "text"), [(0.04, "0.0"), (-0.04, "0.0"), (1.26, "+1.3"), (-12.0, "\u221212.0")])
def test_deltas_carry_their_sign(points: float, text: str) -> None:
    assert signed(points) == text
