"""What the workflow would do: dry runs of the shipped experiments, and bad configs as a user meets them."""

import copy
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.programs import imported_by
from support.snakemake_runs import DEFAULT, ROOT, command, environment, planned, snakemake


def shipped(name: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "experiments" / f"{name}.yaml").read_text())
    return config


def test_paper_expands_to_the_published_grid(tmp_path: Path) -> None:
    assert planned(tmp_path, config=shipped("paper")) == {
        "record": 1,
        "benchmark_items": 5,
        "dataset": 1,
        "model": 2,
        "score": 2,
        "gather_scores": 2,
        "prune": 102,
        "train": 104,
        "evaluate": 106,
        "collect": 1,
        "figures": 1,
        "report": 1,
        "table": 1,
    }


@pytest.mark.parametrize(
    ("name", "models", "budgets", "benchmarks"),
    [("paper_v2", 2, 6, 5), ("paper_math", 3, 3, 2), ("paper_openhermes", 1, 6, 5)],
)
def test_v2_experiments_train_each_pruned_cell_dynamically(
    name: str, models: int, budgets: int, benchmarks: int, tmp_path: Path
) -> None:
    pruned = models * budgets * 17
    assert planned(tmp_path, config=shipped(name)) == {
        "record": 1,
        "benchmark_items": benchmarks,
        "dataset": 1,
        "model": models,
        "score": models,
        "gather_scores": models,
        "train_dynamic": pruned,
        "train": models,
        "evaluate": pruned + 2 * models,
        "collect": 1,
        "figures": 1,
        "report": 1,
        "table": 1,
    }


def test_paper_asks_for_gpus_where_they_are_needed(tmp_path: Path) -> None:
    target = "results/paper/trained/Mistral-7B/full/seed0/training.json"
    done = snakemake(tmp_path, "--dry-run", target, config=shipped("paper"))
    asked = {}
    for block in done.stdout.split("rule ")[1:]:
        words = [word.strip(",") for word in block.split()]
        asked[block.partition(":")[0]] = next((word for word in words if word.startswith("gpu=")), "none")
    assert asked == {"dataset": "none", "model": "none", "score": "gpu=1", "gather_scores": "none", "train": "gpu=8"}


def test_default_is_the_whole_table(tmp_path: Path) -> None:
    jobs = planned(tmp_path, config=DEFAULT)
    assert (jobs["prune"], jobs["train"], jobs["evaluate"], jobs["score"]) == (18, 19, 20, 1)


def test_default_profile_is_loaded_wherever_the_run_is(tmp_path: Path) -> None:
    """Without it one failed cell would stop the grid."""
    done = snakemake(tmp_path, "--dry-run", config=DEFAULT)
    assert re.search("Using workflow specific profile .*profiles/default", done.stdout + done.stderr)


def test_target_outside_the_grid_is_one_clear_line(tmp_path: Path) -> None:
    done = snakemake(tmp_path, "results/sandbox/trained/sandbox-1M/full/seed7/training.json", "-n", config=DEFAULT)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "sandbox-1M/full/seed7 is not a cell of sandbox" in output
    assert "KeyError" not in output


def test_seeds_and_ratio_lists_expand(tmp_path: Path) -> None:
    config = {k: v for k, v in DEFAULT.items() if k != "budgets"}
    config |= {
        "sample_ratios": [0.125, 0.25],
        "token_ratios": [0.5, 0.7],
        "seeds": [0, 1],
        "variants": ["qtuning"],
    }
    jobs = planned(tmp_path, config=config)
    assert (jobs["prune"], jobs["train"], jobs["evaluate"], jobs["score"]) == (8, 10, 11, 1)


def test_parsing_imports_nothing_heavy(tmp_path: Path) -> None:
    """What the real Snakefile imports, which Snakemake parses again in every job."""
    line = command(tmp_path, "--dry-run", config=DEFAULT)
    line[1:1] = ["-X", "importtime"]
    done = subprocess.run(line, capture_output=True, text=True, env=environment(), check=True)
    imported = re.findall(r"^import time:.*\| +(prunegrid[\w.]*)$", done.stderr, re.MULTILINE)
    assert {"prunegrid.experiment.steps", "prunegrid.plan.memory"} <= set(imported)
    modules = imported_by(*imported)  # without Snakemake, which imports pandas itself
    assert not {"torch", "transformers", "pandas", "lm_eval", "matplotlib", "deepspeed"} & modules


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trainng": {}}, "trainng: is not a key; did you mean training?"),
        (
            {"budgets": [{"sample_ratio": 0.125, "token_ratio": 1.4}]},
            "budgets[0].token_ratio: is 1.4; give a fraction in (0, 1]",
        ),
        ({"variants": ["random+perplexity"]}, "variants[0]: perplexity: "),
    ],
)
def test_bad_config_is_one_clear_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    done = snakemake(tmp_path, "--dry-run", config=copy.deepcopy(DEFAULT) | change)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert f"experiment.yaml: {message}" in output
    assert "Traceback" not in output


def test_published_table(tmp_path: Path) -> None:
    done = snakemake(tmp_path, "--cores", "1", "published", config=DEFAULT)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "results/published"
    assert (folder / "results.parquet").exists()
    assert "LLaMA2-7B" in (folder / "table/table.md").read_text()


def test_conda_file_has_the_locks_pins() -> None:
    lock = (ROOT / "envs/requirements.txt").read_text().splitlines()
    conda = yaml.safe_load((ROOT / "envs/prunegrid.yaml").read_text())["dependencies"][-1]["pip"]
    assert conda == [line for line in lock if line and not line.startswith("#")]
