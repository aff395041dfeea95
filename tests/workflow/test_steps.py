"""The list of steps is what Snakemake plans: rules, outputs, inputs and logs of every job."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prunegrid.experiment import layout
from prunegrid.experiment.config import load
from prunegrid.experiment.steps import all_steps
from support.snakemake_runs import DEFAULT, snakemake

BUDGETS = [{"sample_ratio": 0.5, "token_ratio": 0.5}]
Job = tuple[str, frozenset[str], frozenset[str], str]

WINS = {"kind": "imported", "scores": "judge/{model}/{cell}.jsonl"}
GRIDS: dict[str, dict[str, Any]] = {
    "default": {},
    "extra scores, a reference model, a match, dynamic cells": {
        "budgets": BUDGETS,
        "variants": [
            "random+random",
            "ifd+rho1",
            {"equal": {"method": "random+random", "match": "ifd+rho1"}},
            {"while-training": {"method": "qtuning", "mode": "dynamic"}},
            {"equal-dynamic": {"method": "random+random", "mode": "dynamic", "match": "while-training"}},
            {"whole": {"method": "qtuning", "mode": "dynamic", "entropy_over": "sequence"}},
            {"short": {"method": "longest+rho1", "mode": "dynamic", "length_of": "instruction"}},
            {"like-short": {"method": "random+random", "mode": "dynamic", "match": "short"}},
        ],
        "seeds": [0, 1],
        "references": ["full", "shuffled-responses"],
    },
    "data sets that the sandbox draws for who reads them": {
        "budgets": BUDGETS,
        "variants": ["random+random", "rds+random", {"judge": {"method": "imported+random"}}],
        "query": {"name": "sums", "hub": "sandbox/gsm8k", "config": "main", "split": "train"},
        "scores": {"quality": f"results/{DEFAULT['experiment']}/world/sandbox/judge/default/train.jsonl"},
    },
    "shards, contamination, deleted weights, own data, imported scores": {
        "budgets": BUDGETS,
        "variants": ["qtuning", {"equal": {"method": "random+ppl", "match": "qtuning"}}],
        "scoring": {"shards": 3},
        "contamination": True,
        "pruning": {"shards": 3},
        "runtime": {"retention": "scores"},
        "dataset": {"name": "own", "path": "own.jsonl"},
        "evaluation": {"benchmarks": DEFAULT["evaluation"]["benchmarks"] | {"Wins": WINS}},
    },
}


def jobs(output: str, results: str) -> Iterator[Job]:
    """The jobs of a dry run; of their files those in the results folder."""
    for block in re.split(r"^(?:local)?rule ", output, flags=re.MULTILINE)[1:]:
        rule, _, lines = block.partition(":\n")
        fields = dict(re.findall(r"^    (input|output|log): (.*)$", lines, re.MULTILINE))
        if rule != "all":
            made, needed = (files(fields.get(key, ""), results) for key in ("output", "input"))
            yield rule, made, needed, fields["log"].removeprefix(f"{results}/")


def files(field: str, results: str) -> frozenset[str]:
    """All figures are one file of their step."""
    names = (name.removeprefix(f"{results}/") for name in field.split(", ") if name.startswith(f"{results}/"))
    return frozenset(layout.FIGURES if name.startswith(f"{layout.FIGURES}/") else name for name in names)


@pytest.mark.parametrize("name", GRIDS)
def test_steps_are_the_jobs_of_snakemake(name: str, tmp_path: Path) -> None:
    config = DEFAULT | GRIDS[name]
    (tmp_path / "own.jsonl").write_text("")
    done = snakemake(tmp_path, "--dry-run", "--verbose", config=config)
    assert done.returncode == 0, done.stderr
    experiment = load(config)
    planned = set(jobs(done.stdout, experiment.results))
    steps = all_steps(experiment)
    assert {(step.rule, frozenset(step.makes), frozenset(step.needs), step.log) for step in steps} == planned
    assert len(steps) == len(planned)
