"""A results folder of an experiment with a ladder: answers of every cell, each variant with a chance of its own."""

from pathlib import Path
from typing import Any

import numpy as np

from prunegrid.core import files
from prunegrid.experiment import layout
from prunegrid.experiment.config import Experiment
from prunegrid.results import collect
from support.item_files import cell, write_experiment
from support.results_folder import an_experiment

CLIP, RATE = ({"training": {key: value}} for key, value in (("max_grad_norm", 2.0), ("learning_rate", 1e-5)))
LADDER: dict[str, Any] = {
    "gap": ["qtuning", "random"],
    "rows": {"qtuning": {"method": "qtuning"}, "random": {"method": "random+random"}},
    "differences": {
        "lambda": {"label": "Lambda", "qtuning": {"neighbor_lambda": 0.0}},
        "clip": {"label": "Clipping", "random": CLIP, "qtuning": CLIP},
        "rate": {"label": "Rate", "random": RATE},
        "once": {"label": "Once", "only": "up", "random": {"training": {"weight_decay": 0.1}}},
    },
}


def laddered(seeds: int = 3, names: str = "AB", **changes: Any) -> Experiment:
    tasks = {name: {"task": "arc_easy", "data": {"path": "d.jsonl"}} for name in names}
    values = {"seeds": list(range(seeds)), "references": [], "evaluation": {"benchmarks": tasks}}
    return an_experiment(variants=[], ladder=LADDER | changes, **values)


def random_values(experiment: Experiment, items: int = 60) -> dict[Any, Any]:
    """Right or wrong answers by cell and benchmark."""
    rng = np.random.default_rng(0)
    return {
        (cell(variant.name, seed), name): (rng.random(items) < 0.3 + 0.03 * index).astype(float)
        for index, variant in enumerate(experiment.variants)
        for seed in experiment.seeds
        for name in experiment.evaluation.benchmarks
    }


def fill(root: Path, experiment: Experiment, values: dict[Any, Any]) -> None:
    """What `prunegrid ladder` and the waterfall read."""
    collect.write(write_experiment(root, values), root / layout.RESULTS)
    files.write_json(root / layout.EXPERIMENT, experiment.model_dump(mode="json"))
