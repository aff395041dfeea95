"""Results beside the published tables or another run's: hand-worked intervals, matching, output, errors."""

# ruff: noqa: RUF001

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from prunegrid.cli import app
from prunegrid.core.files import Record
from prunegrid.experiment import grid
from prunegrid.published import compare as comparing
from prunegrid.published import compare_report
from prunegrid.published import frame as published
from prunegrid.published.compare import compare
from prunegrid.results import collect
from support.errors import refused
from support.results_folder import an_experiment, finish, put, shared_files

FIVE = ("ARC-E", "ARC-C", "GSM8K", "SQuAD", "TriviaQA")


@pytest.fixture(scope="module")
def reference() -> pd.DataFrame:
    return published.reference()


def cell(scores: dict[str, float], **changes: Any) -> list[Record]:
    """One cell's rows, Avg included: LLaMA2-7B, 12.5 x 50, random+random, on WizardLM unless changed."""
    described = {
        "experiment": "mine",
        "dataset": "wizardlm",
        "model": "LLaMA2-7B",
        "sample_ratio": 0.125,
        "token_ratio": 0.5,
        "sample_pruner": "random",
        "token_pruner": "random",
        "variant": "random+random",
        "mode": "dynamic",
        "seed": 0,
        "protocol": "paper",
        "metric": "acc",
        "status": "done",
    }
    items = changes.pop("n_items", published.ITEMS)
    rows = [described | changes | {"benchmark": b, "score": s, "n_items": items[b]} for b, s in scores.items()]
    return [*rows, collect.average(rows)]


def arc_e(*scores: float, **changes: Any) -> pd.DataFrame:
    """A cell of one benchmark with a seed for each score."""
    return collect.tidy([row for seed, s in enumerate(scores) for row in cell({"ARC-E": s}, seed=seed, **changes)])


def first(compared: pd.DataFrame) -> Any:
    return next(compared.itertuples())


def test_three_seeds_against_a_published_score_by_hand(reference: pd.DataFrame) -> None:
    """The interval of docs/explanation/published.md: 1.96 x 2.902 from the items, 4.303 x 0.9714 sqrt(4/3) from the
    seeds."""
    row = first(compare(arc_e(61.20, 60.14, 62.08), reference))
    assert (row.score, row.n_seeds, row.n_items) == (pytest.approx(61.14), 3, 567)
    assert (row.their_score, row.their_n_seeds, row.their_n_items) == (59.25, 1, 567)
    assert row.seed_sd == pytest.approx(math.sqrt((0.06**2 + 1.00**2 + 0.94**2) / 2))
    assert row.item_se == pytest.approx(100 * math.sqrt((0.6110084 * 0.3889916 + 0.5921749 * 0.4078251) / 569))
    assert row.difference == pytest.approx(1.89)
    items, seeds = 1.959964 * row.item_se, 4.302653 * row.seed_sd * math.sqrt(4 / 3)
    assert (round(items, 2), round(seeds, 2)) == (5.69, 4.83)
    assert row.high == pytest.approx(1.89 + math.sqrt(items**2 + seeds**2))
    assert row.low == pytest.approx(1.89 - 7.459376)
    assert row.half_width == pytest.approx(7.459376)
    assert row.verdict == "within noise"


def test_two_runs_with_seeds_pool_their_spread() -> None:
    """Seeds 60, 62 and 69, 70, 71: pooled variance (2 + 2) / 3, 3 degrees of freedom (t = 3.182446), 1/2 + 1/3."""
    frame, other = arc_e(60, 62, n_items={"ARC-E": 10**6}), arc_e(69, 70, 71, n_items={"ARC-E": 10**6})
    row = first(compare(frame, other))
    seeds = 3.182446 * math.sqrt(4 / 3 * (1 / 2 + 1 / 3))
    items = 1.959964 * 100 * math.sqrt((0.61 * 0.39 + 0.7 * 0.3) / 10**6)
    assert (row.high - row.low) / 2 == pytest.approx(math.hypot(items, seeds), rel=1e-5)
    assert row.difference == -9
    assert row.verdict == "differs"


def test_one_seed_has_item_noise_only(reference: pd.DataFrame) -> None:
    """The half width at 59.25 against 59.25 is 5.70, so 5 points are within and 6 outside."""
    for difference, verdict in ((5, "within noise"), (6, "outside")):
        row = first(compare(arc_e(59.25 + difference), reference))
        assert row.verdict == f"items only: {verdict}"
        assert (row.high - row.low) / 2 == pytest.approx(1.959964 * row.item_se)
        assert math.isnan(row.seed_sd)


def test_an_untrained_model_has_no_seed_noise(reference: pd.DataFrame) -> None:
    zero = {"sample_pruner": "zero-shot", "token_pruner": None, "variant": "zero-shot"}
    zero |= {"sample_ratio": None, "token_ratio": None}
    for score, verdict in ((53.44, "within noise"), (60.0, "differs")):
        assert first(compare(arc_e(score, **zero), reference)).verdict == verdict


def test_none_right_of_a_few_is_not_certain() -> None:
    """0 of 48: p = 1/50, so the variance is 0.02 x 0.98 / 50."""
    variance = comparing.item_variance(pd.Series([0.0]), pd.Series([48.0]))
    assert variance[0] == pytest.approx(10_000 * 0.02 * 0.98 / 50)


def test_an_average_has_its_parts_noise(reference: pd.DataFrame) -> None:
    scores = dict(zip(FIVE, (60.0, 41.0, 8.0, 13.0, 49.0), strict=True))
    compared = compare(collect.tidy(cell(scores)), reference).set_index("benchmark")
    average = compared.loc["Avg"]
    assert average["score"] == pytest.approx(171 / 5)
    assert average["their_score"] == pytest.approx((59.25 + 41.02 + 8.11 + 12.75 + 48.75) / 5)
    assert average["item_se"] == pytest.approx(math.sqrt((compared.loc[list(FIVE), "item_se"] ** 2).sum()) / 5)
    assert pd.isna(average["n_items"])


def test_an_average_over_other_benchmarks_has_no_counterpart(reference: pd.DataFrame) -> None:
    compared = compare(collect.tidy(cell({"ARC-E": 60, "GSM8K": 8})), reference).set_index("benchmark")
    assert compared["verdict"].to_dict() == {
        "ARC-E": "items only: within noise",
        "GSM8K": "items only: within noise",
        "Avg": "no counterpart",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"sample_ratio": 0.1},
        {"token_pruner": "loss", "variant": "random+loss"},
        {"model": "Qwen3-8B"},  # published on OpenHermes, and this is WizardLM
    ],
)
def test_no_counterpart(change: dict[str, Any], reference: pd.DataFrame) -> None:
    row = first(compare(arc_e(60, **change), reference))
    assert row.verdict == "no counterpart"
    assert math.isnan(row.difference) and math.isnan(row.low)


def test_data_sets_of_the_same_name_go_together(reference: pd.DataFrame) -> None:
    """Mistral-7B is published at 25 x 50 on WizardLM and on MathInstruct."""
    budget = {"model": "Mistral-7B", "sample_ratio": 0.25}
    frames = {name: collect.tidy(cell({"GSM8K": 20}, dataset=name, **budget)) for name in ("MathInstruct", "mine")}
    matched, both = (compare(frames[name], reference).query("benchmark == 'GSM8K'") for name in frames)
    assert matched["their_dataset"].tolist() == ["MathInstruct"]
    assert sorted(both["their_dataset"]) == ["MathInstruct", "WizardLM"]


def test_methods_of_the_paper_under_prunegrids_names(reference: pd.DataFrame) -> None:
    budget = {"sample_ratio": 0.125, "token_ratio": 0.5}
    for sample, token, variant, published_score in (
        ("random", "token-cleaning", "random+token-cleaning", 58.73),
        ("random", "rho1", "random+rho1", 53.97),
        ("alpagasus", "random", "alpagasus+random", 58.91),
        ("deita", "random", "deita+random", 58.20),
        ("ds2", "random", "ds2+random", 58.73),
        ("less", "random", "less+random", 58.20),
        ("qtuning", None, "qtuning", 64.20),
    ):
        frame = arc_e(60, sample_pruner=sample, token_pruner=token, variant=variant, **budget)
        assert first(compare(frame, reference)).their_score == published_score


def test_a_named_variant_is_left_out(reference: pd.DataFrame) -> None:
    named = cell({"ARC-E": 70}, variant="qtuning-l0", sample_pruner="qtuning", token_pruner=None)
    compared = compare(collect.tidy([*cell({"ARC-E": 60}), *named]), reference)
    assert set(compared["variant"]) == {"random+random"}


def test_models_of_other_names(reference: pd.DataFrame) -> None:
    row = first(compare(arc_e(60, model="llama"), reference, {"llama": "LLaMA2-7B"}))
    assert (row.model, row.their_model, row.their_score) == ("llama", "LLaMA2-7B", 59.25)


@pytest.mark.parametrize(
    ("models", "where", "message", "fix"),
    [
        ({}, "models", "ours llama; theirs LLaMA2-7B, Mistral-7B, ", "--model OURS=THEIRS"),
        ({"lama": "LLaMA2-7B"}, "--model", "lama is none of ours", "llama"),
        ({"llama": "LLaMA2"}, "--model", "LLaMA2 is none of theirs", "LLaMA2-7B, "),
    ],
)
def test_compare_refuses_unknown_models(
    models: dict[str, str], where: str, message: str, fix: str, reference: pd.DataFrame
) -> None:
    with refused(where, message, fix=fix):
        compare(arc_e(60, model="llama"), reference, models)


def test_compare_needs_a_score_that_is_done(reference: pd.DataFrame) -> None:
    with refused("mine", "no score", fix="run the workflow"):
        compare(arc_e(60, status="missing"), reference)


def test_v1_agrees_with_v2(reference: pd.DataFrame) -> None:
    compared = compare(published.frame(), reference)
    assert len(compared) == 636
    assert set(compared["difference"]) == {0}


def run(capsys: Any, *arguments: object) -> str:
    app.main(["compare", *map(str, arguments)])
    return str(capsys.readouterr().out)


def test_a_harness_run_is_compared_under_a_warning(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "mine.parquet"
    collect.write(arc_e(60, 61, protocol="harness", mode="static", dataset="alpaca"), path)
    shown = run(capsys, path)
    assert shown.splitlines()[2].startswith(
        "1 scores are compared. 1 are judged with all of their noise: 0 differ, 1 lie within it. 1 more have no"
    )
    assert "Chance alone makes at most about 5 % of the scores judged with both noises differ: 0.1 of 1." in shown
    assert "Not the paper's protocol: ours `harness`, theirs `paper`." in shown
    assert "Fine-tuned on other data: ours on alpaca, theirs on WizardLM." in shown
    assert "Pruned in another way: ours static, theirs dynamic." in shown
    assert "| 12.5 × 50 | Random + Random | ARC-E       | 60.50 (2) | 59.25    | +1.25 ± " in shown


def test_the_papers_protocol_has_no_warning(tmp_path: Path, capsys: Any) -> None:
    collect.write(arc_e(60, 61), tmp_path / "mine.parquet")
    shown = run(capsys, tmp_path / "mine.parquet")
    assert "protocol" not in shown and "Fine-tuned on other data" not in shown


def test_nothing_in_common_but_the_model(root: Path, capsys: Any) -> None:
    shown = run(capsys, root, "--model", "m=LLaMA2-7B")
    assert "0 scores are compared. 12 more have no counterpart." in shown
    assert "Half widths" not in shown and "chance" not in shown
    assert "protocol" not in shown


def test_two_folders(root: Path, tmp_path_factory: pytest.TempPathFactory, capsys: Any) -> None:
    """A folder beside itself. Zero-shot, random+random and random+ppl's A (two seeds) are within noise; full and
    the rest of random+ppl have one seed. Of the 7, three are zero-shot's, which has no seeds. q0 has a name of its own.
    """
    other = tmp_path_factory.mktemp("other")
    collect.write(collect.collect_from(root), other / "results.parquet")
    shown = run(capsys, root, "--with", other)
    assert (
        "12 scores are compared. 7 are judged with all of their noise: 0 differ, 7 lie within it. 5 have one" in shown
    )
    assert (
        "5 have one seed on both sides and are judged with the noise of items alone: 0 lie outside it, 5 within."
        in shown
    )
    assert "Chance alone makes at most about 5 % of the scores judged with both noises differ: 0.2 of 4." in shown
    assert "Left out: variants with a name of their own (q0)." in shown
    assert "protocol" not in shown


def test_only_what_has_both_noises_is_counted_for_chance(reference: pd.DataFrame) -> None:
    """Two seeds of one cell, one of another; half widths by hand: seeds 60 and 62 have 12.706 x 1.41421 sqrt(3/2)."""
    both, one = arc_e(60, 62), arc_e(60, sample_ratio=0.25)
    compared = compare(pd.concat([both, one]), reference).query("benchmark == 'ARC-E'")
    assert compared["verdict"].tolist() == ["within noise", "items only: within noise"]
    wide = math.hypot(12.706205 * math.sqrt(2 * 3 / 2), 1.959964 * compared["item_se"].iloc[0])
    assert compared["half_width"].tolist() == pytest.approx([wide, 1.959964 * compared["item_se"].iloc[1]])
    summary = compare_report.summary(compared)
    assert summary.endswith(
        "Chance alone makes at most about 5 % of the scores judged with both noises differ: 0.1 of 1."
    )
    assert "Half widths: 5.7 to 22.7 points, median 14.2." in summary


def reading_folder(folder: Path) -> Path:
    """Random + Random and all of the data in two readings, one seed of each done."""
    copied = {
        name: {"method": method, "reading": "authors-2025-09"}
        for name, method in {"rr-copy": "random+random", "all-copy": "all"}.items()
    }
    variants = ["random+random", *({name: body} for name, body in copied.items())]
    experiment = an_experiment(variants=variants, seeds=[0])
    put(folder / "experiment.json", experiment.model_dump(mode="json"))
    shared_files(folder, experiment)
    scores = {
        "zero-shot": (10, 20),
        "full": (50, 60),
        "random+random": (30, 40),
        "rr-copy": (20, 30),
        "all-copy": (45, 55),
    }
    for cell in grid.cells(experiment):
        finish(folder, cell, *scores[cell.variant], experiment=experiment)
    return folder


def test_rows_of_another_reading_are_compared_under_their_methods_names(tmp_path: Path) -> None:
    folder = reading_folder(tmp_path)
    paper, copy = (
        compare_report.compare_folders(folder, None, {"m": "LLaMA2-7B"}, reading)[0].query("benchmark == 'A'")
        for reading in ("paper", "authors-2025-09")
    )
    assert paper.set_index("variant")["score"].to_dict() == {"zero-shot": 10, "full": 50, "random+random": 30}
    assert copy.set_index("variant")["score"].to_dict() == {"zero-shot": 10, "full": 45, "random+random": 20}
    assert copy.set_index("variant")["sample_ratio"].isna().to_dict() == {
        "zero-shot": True, "full": True, "random+random": False
    }  # fmt: skip


def test_a_reading_that_no_variant_has_is_refused(root: Path, tmp_path: Path) -> None:
    with refused(root, "has no variant with reading: authors-2025-09", fix="give variants reading"):
        compare_report.compare_folders(root, None, {}, "authors-2025-09")
    collect.write(arc_e(60, 61), tmp_path / "mine.parquet")
    with refused(tmp_path / "mine.parquet", "does not say which variants", fix="experiment.json"):
        compare_report.compare_folders(tmp_path / "mine.parquet", None, {}, "authors-2025-09")


def test_csv_is_what_was_compared(tmp_path: Path, capsys: Any, reference: pd.DataFrame) -> None:
    path, out = tmp_path / "mine.parquet", tmp_path / "out.csv"
    collect.write(arc_e(60, 61, protocol="harness"), path)
    run(capsys, path, "--out", out)
    written, expected = pd.read_csv(out, comment="#"), compare(collect.read(path), reference)
    assert list(written) == list(expected)
    assert written["verdict"].tolist() == ["within noise", "no counterpart"]
    assert written["difference"].tolist()[0] == expected["difference"].tolist()[0] == 1.25
    assert written["low"].tolist()[0] == pytest.approx(expected["low"].tolist()[0], rel=1e-12)
    assert "# Not the paper's protocol" in out.read_text()


def test_without_results_the_audit(tmp_path: Path, capsys: Any) -> None:
    shown = run(capsys, "--out", tmp_path / "audit.csv")
    assert shown.startswith("# The published tables, audited")
    assert pd.read_csv(tmp_path / "audit.csv")["finding"].value_counts()["delta"] == 17


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "a=b"], "--model: .*; give the results first"),
        (["--with", "x"], "--with and .*; give the results first"),
        (["nowhere"], r"nowhere: no experiment\.json .*; .*`prunegrid table nowhere` writes results.parquet"),
        (["some/results.parquet"], "results.parquet: no such file; write it with `prunegrid table some`"),
        (["nowhere", "--model", "a"], "--model a: .*NAME=VALUE"),
    ],
)
def test_compare_reports_bad_input_in_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message) as raised:
        app.main(["compare", *arguments])
    assert len(str(raised.value.code).splitlines()) == 1


@pytest.mark.parametrize(
    ("variant", "reader"), [("deita", "imported"), ("deita+random", "imported"), ("deita", "diverse")]
)
def test_imported_scores_stand_for_the_tool_they_are_named_after(
    variant: str, reader: str, tmp_path: Path, capsys: Any
) -> None:
    """58.20 is printed for Deita + Random on ARC-E; `judge` has a name of its own, `ds2` no imported scores."""
    judged = {"sample_pruner": reader, "token_pruner": "random"}
    frame = pd.concat(
        [
            arc_e(60, 61),
            arc_e(59, 60, variant=variant, **judged),
            arc_e(70, variant="judge", **judged),
            arc_e(70, variant="ds2", sample_pruner="loss"),
        ]
    )
    collect.write(frame, tmp_path / "mine.parquet")
    shown = run(capsys, tmp_path / "mine.parquet")
    assert "| 12.5 × 50 | Deita + Random  | ARC-E       | 59.50 (2) | 58.20    | +1.30 ± " in shown
    assert f"compared with the tool that they are named after: {variant} ({reader}) for deita." in shown
    assert "Left out: variants with a name of their own (judge, ds2)." in shown
    assert "Published at these budgets and not here: alpagasus, ds2, less." in shown
    assert "ds2: {method: imported+random, sample_scores: ds2}" in shown


def test_no_tool_is_asked_for_where_none_is_published(tmp_path: Path, capsys: Any) -> None:
    collect.write(arc_e(60, 61, sample_ratio=0.5, token_ratio=0.7), tmp_path / "mine.parquet")
    shown = run(capsys, tmp_path / "mine.parquet")
    assert "1 scores are compared" in shown and "alpagasus" not in shown
    collect.write(arc_e(60, 61), tmp_path / "mine.parquet")
    assert "alpagasus" not in run(capsys, tmp_path / "mine.parquet", "--with", tmp_path / "mine.parquet")
