"""`pg.overlap` and its report: of folders, and of an experiment with two models and two seeds."""

from pathlib import Path

import pandas as pd
import pytest

import prunegrid as pg
from prunegrid.api.overlap import grouped_pruners
from prunegrid.cli import main
from prunegrid.experiment import config, grid, layout
from support import handmade_scores
from support.errors import refused
from support.results_folder import an_experiment, put

CHANGES = {
    "models": {"m": {"path": "somewhere"}, "n": {"path": "elsewhere"}},
    "variants": ["random+random", "loss+random", "loss+ppl", {"twin": {"method": "loss+ppl", "loss": "middle"}}],
    "budgets": [{"sample_ratio": 0.5, "token_ratio": 0.5}],
    "training": {"mode": "static"},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A results folder with the selections of two models whose scores differ, and two seeds."""
    root = tmp_path / "results/tiny"
    experiment = an_experiment(**CHANGES)
    put(root / layout.EXPERIMENT, experiment.model_dump(mode="json"))
    given = handmade_scores.random_scores(40)
    for model, factor in ("m", 1), ("n", -1):
        given.samples["nll"] = factor * given.samples["nll"]
        handmade_scores.write(root / layout.scores(model), given, meta={"digests": {"data": "d", "tokenizer": "t"}})
    for cell in grid.cells(experiment):
        if cell.pruned:
            method = experiment.variant(cell.variant).method
            out = root / layout.pruned(cell.name)
            pg.prune(root / layout.scores(cell.model), method, samples=0.5, tokens=0.5, seed=cell.seed, out=out)
    return root


def row(frame: pd.DataFrame, *place: object) -> pd.Series:
    columns = ["model", "variant", "seed", "other_model", "other_variant", "other_seed"]
    return frame[(frame[columns] == list(place)).all(axis=1)].squeeze()


def test_overlap_of_an_experiment_has_every_pair(root: Path) -> None:
    frame = pg.overlap(root).to_pandas()
    assert len(frame) == 16 * 15 / 2 and set(frame["budget"]) == {"s0.5-t0.5"}
    seeds = row(frame, "m", "loss+ppl", 0, "m", "loss+ppl", 1)
    assert (seeds["samples"], seeds["tokens"], seeds["spearman"]) == (1, 1, pytest.approx(1))
    pruners = row(frame, "m", "loss+random", 0, "m", "loss+ppl", 0)
    assert pruners["samples"] == 1 and pruners["samples_chance"] == pytest.approx(1 / 3) and pruners["tokens"] < 1
    models = row(frame, "m", "loss+ppl", 0, "n", "loss+ppl", 0)
    assert models["samples"] < 0.1 and models["spearman"] == pytest.approx(-1)


def test_report_groups_pairs_by_their_pruners(root: Path) -> None:
    text = str(pg.overlap(root))
    samples, _, rest = text.partition("## s0.5-t0.5: Tokens")
    assert "Samples: Jaccard, chance 0.33" in samples and "| 1 random |" in samples and "| 3 twin   |" in samples
    assert "| 2 loss   | 0." in samples and " 1.00 |" in samples, "two seeds of loss keep the same"
    assert "random (0.33)" not in samples and "| 2 ppl    |" in rest
    assert "One pruner under two models" in rest and "-1.00" in rest


def test_part_of_an_experiment_is_chosen_by_name(root: Path) -> None:
    overlaps = pg.overlap(root, model="n", seed=1, budget="s0.5-t0.5")
    assert len(overlaps) == 6 and set(overlaps.frame["model"]) == {"n"}
    assert "diagonal" not in str(overlaps) and "two models" not in str(overlaps)
    with refused("model", "is o", fix="m, n"):
        pg.overlap(root, model="o")


def test_selections_that_are_missing_or_dynamic_are_counted(root: Path) -> None:
    (root / "pruned/m/s0.5-t0.5/loss+ppl/seed0/selection.json").unlink()
    variants = [*CHANGES["variants"], {"moving": {"method": "loss+ppl", "mode": "dynamic"}}]
    changed = an_experiment(**CHANGES | {"variants": variants})
    put(root / layout.EXPERIMENT, changed.model_dump(mode="json"))
    overlaps = pg.overlap(root)
    assert overlaps.notes[0] == "1 selection is left out: not pruned yet"
    assert overlaps.notes[1].startswith("4 selections are left out: pruned in training")
    assert str(overlaps).endswith("- 4 selections are left out: pruned in training, mini-batch by mini-batch")


def test_command_compares_folders_by_name(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (root / f"pruned/m/s0.5-t0.5/{name}/seed0" for name in ("loss+ppl", "random+random"))
    main(["overlap", f"a={first}", f"b={second}", "--out", str(tmp_path / "out.csv")])
    assert "| 2 b |" in capsys.readouterr().out
    frame = pd.read_csv(tmp_path / "out.csv")
    index = pg.Selection.open(first).overlap(pg.Selection.open(second))
    assert frame.loc[0, ["variant", "other_variant"]].tolist() == ["a", "b"]
    assert frame.loc[0, "samples"] == pytest.approx(index.samples) and frame.loc[0, "tokens"] == pytest.approx(
        index.tokens
    )


@pytest.mark.parametrize("ending", ["csv", "parquet", "md"])
def test_written_files_have_the_report_or_every_pair(root: Path, tmp_path: Path, ending: str) -> None:
    overlaps, file = pg.overlap(root, model="m"), tmp_path / f"out.{ending}"
    overlaps.write(file)
    if ending == "md":
        assert file.read_text() == f"{overlaps}\n"
    else:
        read = pd.read_csv(file) if ending == "csv" else pd.read_parquet(file)
        assert read["samples"].tolist() == pytest.approx(overlaps.frame["samples"].tolist())


def test_what_cannot_be_compared_is_refused(root: Path, tmp_path: Path) -> None:
    folder = root / "pruned/m/s0.5-t0.5/loss+ppl/seed0"
    with refused(folder, "nothing to compare", fix="two or more"):
        pg.overlap(folder)
    with refused("names", "a, a", fix="2 different"):
        pg.overlap(folder, folder, names=["a", "a"])
    with refused("model, budget and seed", fix="leave them out"):
        pg.overlap(folder, root / "pruned/m/s0.5-t0.5/loss+ppl/seed1", seed=0)
    with refused(tmp_path / "out.txt", ".txt", fix=".csv"):
        pg.overlap(root).write(tmp_path / "out.txt")
    put(
        tmp_path / "results/new" / layout.EXPERIMENT,
        config.load(an_experiment().model_dump(mode="json")).model_dump(mode="json"),
    )
    with refused(tmp_path / "results/new", "0 finished selections"):
        pg.overlap(tmp_path / "results/new")


def test_named_variants_share_the_rows_of_plain_pairs_where_their_options_are_the_default() -> None:
    variants = an_experiment(
        variants=[
            "random+random",
            "loss+ppl",
            {"first": {"method": "random+position"}},
            {"middle": {"method": "loss+random", "loss": "middle"}},
            {"longest-kept": {"method": "length+random"}},
            {"equal": {"method": "random+random", "match": "qtuning"}},
            "qtuning",
        ]
    ).variants
    assert grouped_pruners(variants) == {
        "random+random": ("random", "random"),
        "loss+ppl": ("loss", "ppl"),
        "first": ("random", "first"),
        "middle": ("middle", "random"),
        "longest-kept": ("longest-kept", "random"),
        "equal": ("equal", "equal"),
        "qtuning": ("qtuning", "qtuning"),
    }
