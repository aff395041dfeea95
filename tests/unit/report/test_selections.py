"""The views of selections, as data and in a browser: each number is one of Python's, each text is text."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunegrid.api.overlap import overlap
from prunegrid.core import files
from prunegrid.data.datasets import write_dataset
from prunegrid.experiment import config, grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.models import materialise
from prunegrid.report import overlap_view, page, plane_view, sample_view, selections
from prunegrid.report.selections import ModelSelections
from prunegrid.scoring.score import score
from prunegrid.selection.prune import prune
from prunegrid.table.text import NONE
from support.browser import opened
from support.tiny_llama import write_tiny_model
from support.toy_tasks import write_jsonl

BUDGET = "s0.5-t0.5"
VARIANTS = ["random+random", "random+ppl", "loss+entropy", "qtuning"]
ANSWERS = [
    "</script><script>document.title = 'run'</script>",
    "Katzen trinken Milch, na\N{LATIN SMALL LETTER I WITH DIAERESIS}v.",
    "שלום לכולם",
    "猫は牛乳を飲む。",
    "<img src=x onerror=\"document.title = 'run'\">\n{{ 7 * 7 }}",
    "\N{PARTY POPPER} yes\ttab",
]


def an_experiment(home: Path) -> Experiment:
    return config.load(
        {
            "experiment": "texts",
            "models": {"m": {"path": str(home / "model")}},
            "dataset": {"name": "d", "path": str(home / "rows.jsonl"), "carry": ["kind"]},
            "budgets": [{"sample_ratio": 0.5, "token_ratio": 0.5}],
            "variants": VARIANTS,
            "seeds": [0, 1],
            "scoring": {"max_length": 400},
            "evaluation": {"benchmarks": {"A": {"task": "arc_easy", "data": {"path": "items.jsonl"}}}},
        }
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with the selections of four variants and two seeds, of 24 hostile or foreign texts."""
    home = tmp_path_factory.mktemp("home")
    root = home / "results/texts"
    write_tiny_model(home / "model")
    rows = [
        {"prompt": f"Say {i}: {ANSWERS[i % 6]}", "response": ANSWERS[i % 6] * (1 + i % 3), "kind": f"<b>{i % 2}</b>"}
        for i in range(24)
    ]
    experiment, data = an_experiment(home), root / layout.dataset("d")
    write_jsonl(home / "rows.jsonl", rows)
    files.write_json(root / layout.EXPERIMENT, experiment.model_dump(mode="json"))
    write_dataset(experiment.dataset, experiment.dataset.path, data, root / layout.dataset_counts("d"))
    model = root / layout.base_model("m")
    materialise("m", experiment.sources["m"], model, root / layout.manifest("m"))
    score(model, data, root / layout.scores("m"), experiment.scoring)
    for cell in (cell for cell in grid.cells(experiment) if cell.pruned):
        out = root / layout.pruned(cell.name)
        prune(root / layout.scores("m"), out, grid.pruning_of(experiment, cell), cell.seed or 0)
    return root


@pytest.fixture(scope="module")
def models(root: Path) -> list[ModelSelections]:
    return selections.experiment_selections(an_experiment(root.parents[1]), root)


@pytest.fixture(scope="module")
def report(root: Path, models: list[ModelSelections]) -> Path:
    views = [plane_view.make(models), sample_view.make(models), overlap_of(root)]
    page.write(root / "report.html", "Texts", [view for view in views if view])
    return root / "report.html"


def overlap_of(root: Path) -> page.View | None:
    return overlap_view.make(an_experiment(root.parents[1]), root)


def selection(root: Path, variant: str, seed: int = 0) -> Any:
    """The rows of a selection by sample."""
    folder = root / layout.pruned(f"m/{BUDGET}/{variant}/seed{seed}")
    return files.read_parquet(folder / layout.SELECTION).to_pandas().set_index("sample_id")


def tokens(root: Path) -> Any:
    return files.read_parquet(root / layout.scores("m") / layout.TOKENS).to_pandas().set_index("sample_id")


def address(variant: str, sample: int, **more: Any) -> str:
    rest = "".join(f"&{name}={value}" for name, value in more.items())
    return f"#sample?model=m&id={sample}&budget={BUDGET}&variant={variant.replace('+', '%2B')}{rest}"


def places(tab: Any, selector: str) -> set[int]:
    """The positions of the tokens that the answer's elements `selector` have."""
    spans = tab.locator(f"pre.answer {selector}").evaluate_all("all => all.map((one) => one.dataset.places)")
    return {int(place) for span in spans for place in span.split()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_struck_tokens_are_those_that_the_selection_drops(
    variant: str, root: Path, report: Path, models: list[ModelSelections], browser: Any
) -> None:
    (data,) = sample_view.make(models).data["models"]  # type: ignore[union-attr]
    rows, lengths = selection(root, variant), tokens(root)["response_ids"].map(len)
    with opened(browser, report, address(variant, rows.index[0], seed=0)) as tab:
        for sample in (*rows.index[:4], next(i for i in lengths.index if i not in rows.index)):
            tab.evaluate("(address) => { location.hash = address }", address(variant, sample, seed=0))
            tab.get_by_text(f"Sample {sample}: <b>", exact=False).wait_for()
            kept = set(rows["kept"].get(sample, []))
            dropped = set(range(lengths[sample])) - kept
            counts = next(one.get("counts") for one in data["samples"] if one["id"] == sample)
            pieces = np.split(np.arange(lengths[sample]), np.cumsum(counts or [1] * lengths[sample])[:-1])
            struck = {int(place) for piece in pieces for place in piece if dropped & set(piece.tolist())}
            assert places(tab, "del") == struck and places(tab, ".token") == set(range(lengths[sample]))
            verdict = tab.locator("#sample-verdict").text_content()
            assert (f"keeps {len(kept)} of {lengths[sample]} tokens" if kept else "drops this sample") in verdict


def test_answer_is_the_exact_text_of_the_tokens(
    root: Path, report: Path, models: list[ModelSelections], browser: Any
) -> None:
    rows = tokens(root)
    (model,) = models
    decode = sample_view.text_source(model.scores).decode
    with opened(browser, report, address("none", 0)) as tab:
        for sample in range(6):
            tab.evaluate("(address) => { location.hash = address }", address("none", sample))
            tab.get_by_text(f"Sample {sample}: <b>", exact=False).wait_for()
            prompt, answer = (list(map(int, rows[name][sample])) for name in ("prompt_ids", "response_ids"))
            assert tab.locator("pre.prompt").text_content() == decode(prompt)
            assert tab.locator("pre.answer").text_content() == decode([*prompt, *answer])[len(decode(prompt)) :]
            assert ANSWERS[sample] in tab.locator("pre.answer").text_content()
            assert tab.locator("pre.answer del").count() == 0 and tab.title() == "Texts"


def test_hover_and_table_have_each_token_score(root: Path, report: Path, browser: Any) -> None:
    row = tokens(root).loc[3]
    with opened(browser, report, address("qtuning", 3)) as tab:
        notes = "\n".join(tab.locator("pre.answer .token").evaluate_all("all => all.map((one) => one.title)"))
        expected = [f"{value:.4g}" for value in row["nll"]]
        assert [float(line.split("NLL (nats) ")[1].split(",")[0]) for line in notes.splitlines()] == list(
            map(float, expected)
        )
        tab.get_by_text("As a table").click()
        tab.wait_for_selector("details .tabulator-row")
        shown = tab.locator("details .tabulator-cell[tabulator-field=entropy]").all_text_contents()
        assert [float(text) for text in shown[:3]] == [float(f"{value:.4g}") for value in row["entropy"][:3]]


def test_buttons_change_the_pruner_and_keys_press_them(root: Path, report: Path, browser: Any) -> None:
    rows = selection(root, "loss+entropy")
    sample = int(rows.index[0])
    with opened(browser, report, address("qtuning", sample, seed=0)) as tab:
        tab.locator("[id='pruner-loss+entropy']").focus()
        tab.keyboard.press("Enter")
        tab.wait_for_selector("[id='pruner-loss+entropy'][aria-pressed=true]")
        assert f"keeps {len(rows['kept'][sample])} of" in tab.locator("#sample-verdict").text_content()
        assert tab.evaluate("document.activeElement.id") == "pruner-loss+entropy"
        tab.locator("#sample-next").press("Enter")
        tab.get_by_text(f"Sample {sample + 1}: <b>", exact=False).wait_for()
        assert f"id={sample + 1}" in tab.url and "variant=loss%2Bentropy" in tab.url


def test_plane_has_a_dot_a_sample_in_the_colour_of_the_choice(
    root: Path, report: Path, models: list[ModelSelections], browser: Any
) -> None:
    (data,) = plane_view.make(models).data["models"]  # type: ignore[union-attr]
    samples = files.read_parquet(root / layout.scores("m") / layout.SAMPLES).to_pandas()
    assert data["ids"] == samples["sample_id"].tolist()
    assert data["ppl"] == pytest.approx(samples["ppl"].tolist(), rel=1e-3)
    assert data["x"]["entropy"] == pytest.approx(samples["entropy"].tolist(), rel=1e-3)
    (choice,) = (one for one in data["selections"] if (one["variant"], one["seed"]) == ("qtuning", 0))
    letters = {"q2": "2", "q4": "4"}
    rows = selection(root, "qtuning")
    for sample, mark in zip(data["ids"], choice["marks"], strict=True):
        row = rows.loc[sample] if sample in rows.index else None
        fill = row is not None and row["reason"] == "fill"
        expected = "." if row is None else {2: "a", 4: "b"}[row["treated_as"]] if fill else letters[row["reason"]]
        assert mark == expected
    with opened(browser, report, f"#plane?variant=qtuning&budget={BUDGET}&seed=0") as tab:
        assert tab.locator(".plane").get_attribute("data-dots") == "24"
        assert "All 24 samples are drawn." in tab.locator("#view-plane").text_content()
        assert f"keeps {len(rows)} samples" in tab.locator("#view-plane").text_content()


def drag(tab: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Over these shares of the plane's width and height."""
    tab.locator(".plane canvas").scroll_into_view_if_needed()
    box = tab.locator(".plane canvas").bounding_box()
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    tab.mouse.move(*at[0])
    tab.mouse.down()
    tab.mouse.move(*at[1], steps=5)
    tab.mouse.up()


def test_brush_lists_the_samples_inside_of_it(root: Path, report: Path, browser: Any) -> None:
    samples = files.read_parquet(root / layout.scores("m") / layout.SAMPLES).to_pandas()
    with opened(browser, report, "#plane?variant=qtuning&seed=0") as tab:
        drag(tab, (0.25, 0.2), (0.65, 0.85))
        tab.get_by_text("in the area").wait_for()
        view = "document.querySelector('.plane').view.signal('brush')"
        (x, y) = tab.evaluate(f"[{view}.x, {view}.y]")
        inside = samples["entropy"].between(min(x), max(x)) & samples["ppl"].between(min(y), max(y))
        assert 0 < inside.sum() < len(samples)
        assert f"{inside.sum()} samples in the area" in tab.locator("#plane-count").text_content()
        tab.wait_for_function(f"document.querySelectorAll('.plane-list .tabulator-row').length <= {inside.sum()}")
        shown = tab.locator(".plane-list .tabulator-cell[tabulator-field=id]").all_text_contents()
        assert {*map(int, shown)} <= {*samples["sample_id"][inside].tolist()} and shown
        tab.locator(".plane-list .tabulator-cell[tabulator-field=id] a").first.press("Enter")
        tab.get_by_text(f"Sample {shown[0]}: <b>", exact=False).wait_for()
        assert tab.url.endswith(f"budget={BUDGET}&variant=qtuning&seed=0") and f"id={shown[0]}" in tab.url


@pytest.mark.parametrize("measure", ["samples", "tokens", "spearman"])
def test_matrix_has_the_numbers_of_overlap(measure: str, root: Path, report: Path, browser: Any) -> None:
    frame = overlap(root, seed=1).to_pandas()
    with opened(browser, report, f"#overlap?seed=1&measure={measure}") as tab:
        rows = tab.locator(".matrix tbody tr").all()
        first = "cells => cells.map((cell) => cell.firstChild.textContent)"
        shown = [row.locator("td").evaluate_all(first) for row in rows]
    for row in frame.itertuples():
        i, j = VARIANTS.index(str(row.variant)), VARIANTS.index(str(row.other_variant))
        value: Any = getattr(row, measure)
        assert shown[i][j] == NONE if np.isnan(value) else abs(float(shown[i][j]) - value) < 0.0051
        assert shown[i][j] == shown[j][i]


def test_of_many_samples_the_page_has_disputed_ones_and_random_ones(models: list[ModelSelections]) -> None:
    (model,) = models
    ids, lengths = np.arange(24), np.full(24, 10)
    some, why = sample_view.instructive_samples(ids, lengths, model.choices, 8, 1000)
    assert why == {"samples": 24, "random": 4, "disagreement": 4} and len(some) == 8
    votes = np.sum([np.isin(ids, choice.sample_ids) for choice in model.choices], axis=0)
    split = np.abs(2 * votes - len(model.choices))[votes > 0]
    assert np.abs(2 * votes - len(model.choices))[some].min() == split.min()
    few, why = sample_view.instructive_samples(ids, lengths, model.choices, 8, 45)
    assert why["random"] == why["disagreement"] == 2 and len(few) == 4


def test_of_many_samples_the_plane_draws_random_and_kept_ones(
    models: list[ModelSelections], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plane_view, "RANDOM", 6)
    monkeypatch.setattr(plane_view, "KEPT", 3)
    (model,) = models
    kept = np.unique(np.concatenate([choice.sample_ids for choice in model.choices]))
    ids, counts = plane_view.drawn_samples(np.arange(24), model.choices)
    assert counts["samples"] == 24 and counts["random"] == 6 and counts["kept"] == len(kept)
    assert counts["kept_drawn"] == np.isin(ids, kept).sum() and len(ids) == 9


def test_without_scores_the_views_say_so(root: Path, tmp_path: Path, browser: Any) -> None:
    copy = tmp_path / "results/texts"
    shutil.copytree(root, copy)
    (copy / layout.scores("m") / layout.TOKENS).unlink()
    models = selections.experiment_selections(an_experiment(root.parents[1]), copy)
    views = [plane_view.make(models), sample_view.make(models)]
    page.write(tmp_path / "report.html", "Gone", [view for view in views if view])
    for view in ("plane", "sample"):
        with opened(browser, tmp_path / "report.html", f"#{view}") as tab:
            text = tab.locator(f"#view-{view}").text_content()
            assert "the folder lacks scores/m/tokens.parquet (not scored yet, or removed)" in text
