"""Finished results of version 0.1 stay valid: `data/results-0.1.tar.xz` holds a tiny sandbox run at commit 2603643.

Weights, tokenizers, figures and generated text are emptied in it. The files that record what was done are complete, and
so are Snakemake's records of each job's parameters.
"""

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from prunegrid.experiment.config import load
from prunegrid.experiment.dataset import DataRef
from prunegrid.experiment.evaluation import Evaluation
from prunegrid.experiment.model import Model, Source
from prunegrid.experiment.training import Runtime, Training
from prunegrid.status import Files, all_statuses
from prunegrid.status.text import remove_lines
from support.snakemake_runs import planned

ARCHIVE = Path(__file__).with_name("data") / "results-0.1.tar.xz"


@pytest.fixture
def older(tmp_path: Path) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="tar")  # "data" would change the modes, and so the times, of folders
    return tmp_path


def results(folder: Path) -> Path:
    return folder / "results/tiny"


def recorded(folder: Path) -> dict[str, Any]:
    actual: dict[str, Any] = json.loads((results(folder) / "experiment.json").read_text())
    return actual


def states(folder: Path, **changes: Any) -> dict[str, list[str]]:
    """Paths of cells by state, where the experiment is the recorded one with other values in some sections."""
    values = recorded(folder)
    values |= {name: values[name] | change for name, change in changes.items()}
    actual: dict[str, list[str]] = {}
    for cell, status in all_statuses(load(values), Files(results(folder))).items():
        actual.setdefault(status.worst, []).append(cell.path)
    return actual


def test_older_results_are_only_collected_again(older: Path) -> None:
    assert planned(older) == {"collect": 1, "figures": 1, "report": 1, "table": 1}


def test_older_results_are_done(older: Path) -> None:
    assert set(states(older)) == {"done"}


def test_older_results_have_the_same_dumps(older: Path) -> None:
    """A key that is new is `added`, or this fails: it would be among the parameters of every finished job."""
    assert load(recorded(older)).model_dump(mode="json") == recorded(older)


@pytest.mark.parametrize("key", [key for key in Training.model_fields if key not in ("mode", "removal")])
def test_unrecorded_keys_of_training_are_defaults(older: Path, key: str) -> None:
    """As results older than the key are: they are up to date where the config leaves it at its default, too."""
    default = Training().model_dump(mode="json").get(key)
    for path in results(older).glob("trained/**/training.json"):
        made = json.loads(path.read_text())
        same = made["training"].pop(key, default) == default
        path.write_text(json.dumps(made))
    assert len(states(older).get("stale", [])) == (0 if same else 4)


@pytest.mark.parametrize(
    ("section", "change", "stale"),
    [
        ("training", {"deterministic": True}, 4),
        ("training", {"rescore_every": 2}, 1),
        ("evaluation", {"engine": "vllm"}, 5),
        ("runtime", {"cells_per_gpu": 4}, 0),
    ],
)
def test_added_keys_with_a_value_make_cells_stale(
    older: Path, section: str, change: dict[str, Any], stale: int
) -> None:
    assert len(states(older, **{section: change}).get("stale", [])) == stale


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        (Training(), "deterministic", True),
        (Training(), "rescore_every", "epoch"),
        (Runtime(), "cells_per_gpu", 2),
        (Runtime(), "gpu_memory_gb", 80.0),
        (Evaluation(benchmarks={"A": {"task": "arc_easy", "data": {"path": "a"}}}), "engine", "vllm"),
        (DataRef(path="a"), "sha256", "0" * 64),
        (Source(path="a"), "trust_remote_code", "read"),
        (Model(path="a"), "parameters", 7),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_added_keys_are_dumped_only_with_a_value(section: Any, key: str, value: Any) -> None:
    assert key not in section.model_dump()
    assert section.model_copy(update={key: value}).model_dump()[key] == value
    assert type(section).as_recorded(section.model_dump(mode="json")) == section.model_dump(mode="json")


def test_unreadable_sections_are_compared_unchanged() -> None:
    assert Training.as_recorded({"no_such_key": 1}) == {"no_such_key": 1}


def test_what_status_says_to_remove_is_made_again(older: Path) -> None:
    """A selection is another cell's: its times are in order, so that Snakemake sees nothing to be done."""
    nothing = planned(older)
    (summary,) = results(older).glob("pruned/m/*/random+*/seed0/selection.json")
    made = json.loads(summary.read_text())
    time = summary.stat().st_mtime_ns
    summary.write_text(json.dumps(made | {"variant": "another"}))
    os.utime(summary, ns=(time, time))
    assert planned(older) == nothing
    experiment = load(recorded(older))
    lines = list(remove_lines(results(older), all_statuses(experiment, Files(results(older)))))
    for name in lines[1].split()[1:]:
        Path(name).unlink()
    assert {"prune", "train", "evaluate"} <= planned(older).keys()
