"""Optional scores in the scoring pass: its shards make them, and no rule of their own does."""

from pathlib import Path

import pytest

from prunegrid.scoring.reader import ScoresFolder
from support.snakemake_runs import planned, snakemake
from support.toy_experiment import toy_config

EXTRA = "results/toy/scores/m/extra"


def test_the_pass_makes_what_the_key_names(tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    chain = {"dataset": 1, "model": 1, "gather_scores": 1, "score": 2}
    targets = [f"{EXTRA}/hidden_mean.arrow", f"{EXTRA}/ifd.parquet"]
    assert planned(tmp_path, *targets, config=config) == {**chain, "extra_score": 1, "vector_score": 1}
    config["scoring"] = {**config.get("scoring", {}), "extra": ["hidden_mean", "ifd"]}
    assert planned(tmp_path, *targets, config=config) == chain
    others = [*targets, f"{EXTRA}/s_ifd.parquet"]
    assert planned(tmp_path, *others, config=config) == {**chain, "extra_score": 2}, "nll_alone, and from it s_ifd"


@pytest.mark.slow
@pytest.mark.usefixtures("warm_workflow")
def test_shards_are_scored_with_their_columns(tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    config["scoring"] = {**config.get("scoring", {}), "extra": ["hidden_mean", "nll_alone"]}
    target = f"{EXTRA}/s_ifd.parquet"
    planned(tmp_path, target, config=config)
    done = snakemake(tmp_path, "--cores", "1", target)
    assert done.returncode == 0, done.stderr
    folder = ScoresFolder(tmp_path / "results/toy/scores/m")
    assert {"hidden_mean", "s_ifd"} <= {*folder.columns("sample")}
    assert "nll_alone" in folder.columns("token")
    assert not list(folder.path.glob("shards/*/*"))
    assert planned(tmp_path, target) == {}
