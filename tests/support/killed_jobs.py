"""Small training jobs for the tests that kill them: one call to run, one to compare what two have left."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from prunegrid.core.files import read_json, read_parquet
from prunegrid.experiment.training import Runtime, Training
from prunegrid.pruners import PruningSpec
from prunegrid.selection.prune import prune
from prunegrid.training import Job, processes, train

SETTINGS: dict[str, Any] = {
    "method": "full",
    "learning_rate": 1e-2,
    "num_train_epochs": 2,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 2,
    "batch_tokens": 128,
}
DYNAMIC = PruningSpec(method="qtuning", sample_ratio=0.5, token_ratio=0.5)
VOLATILE_KEYS = ("seconds", "loop_seconds", "peak_memory_bytes", "resumed", "halvings")


class Inputs(NamedTuple):
    model: Path
    scores: Path
    selection: Path


def prepare(folder: Path, model: Path, scores: Path) -> Inputs:
    prune(scores, folder, PruningSpec(method="random+random", sample_ratio=0.5, token_ratio=0.5), 0)
    return Inputs(model, scores, folder / "selection.parquet")


def run(
    out: Path,
    inputs: Inputs,
    save_steps: int = 2,
    dynamic: bool = False,
    device: str = "cpu",
    options: dict[str, Any] | None = None,
    pruning: dict[str, Any] | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """`options` are those of Q-Tuning, which prunes a dynamic job; `pruning` has fields of another method's."""
    spec = DYNAMIC.model_copy(update={"options": options or {}} | (pruning or {}))
    job = Job(
        model=inputs.model,
        scores=inputs.scores,
        selection=None if dynamic else inputs.selection,
        pruning=spec if dynamic else None,
        training=Training(**(SETTINGS | {"mode": "dynamic" if dynamic else "static"} | settings)),
        runtime=Runtime(save_steps=save_steps, report_to=[]),
        seed=0,
        device=device,
    )
    return train(job, out / "model", out / "training.json")


def inject_failure(monkeypatch: pytest.MonkeyPatch, what: str = "none", **plan: Any) -> None:
    """From now on ranks meet this misfortune."""
    plan = {key: str(value) if isinstance(value, Path) else value for key, value in plan.items()}
    monkeypatch.setattr(processes, "WORKER", "support.programs.killed_worker")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.setenv("MISFORTUNE", json.dumps({"what": what, **plan}))


def assert_same(left: Path, right: Path) -> None:
    """Weights, counts, losses, probes and selection log: bit for bit; and nothing half-written is left."""
    assert_same_weights(left, right)
    reports = [read_json(out / "training.json") for out in (left, right)]
    for report in reports:
        del report["files"]["tokenizer_config.json"]  # its size: transformers notes there how it was loaded
        del report["sha256"]["model/tokenizer_config.json"]
        report["inputs"] = sorted(report["inputs"].values())  # by paths from the two folders to the same files
    first, second = ({k: v for k, v in report.items() if k not in VOLATILE_KEYS} for report in reports)
    assert first == second
    assert (left / "selection.json").exists() == (right / "selection.json").exists()
    if (left / "selection.json").exists():
        assert read_json(left / "selection.json") == read_json(right / "selection.json")
        assert read_parquet(left / "selection_log.parquet").equals(read_parquet(right / "selection_log.parquet"))
    assert_tidy(left)


def assert_same_weights(left: Path, right: Path, exact: bool = True, tied: bool = False) -> None:
    import torch
    from safetensors.torch import load_file

    first, second = (load_file(next((out / "model").glob("*.safetensors"))) for out in (left, right))
    for weights in (first, second):
        if tied and "lm_head.weight" in weights:  # below ZeRO-3 it is saved once more
            assert torch.equal(weights.pop("lm_head.weight"), weights["model.embed_tokens.weight"])
    assert first.keys() == second.keys()
    for name in first:
        if exact:
            assert torch.equal(first[name], second[name]), name
        else:
            torch.testing.assert_close(first[name], second[name], atol=2e-4, rtol=1e-3)


def assert_tidy(out: Path) -> None:
    """A finished job's folder: no checkpoint, nothing half-written."""
    names = {path.name for path in out.iterdir()} - {"selection.json", "selection_log.parquet", "tensorboard"}
    assert names == {"model", "training.json"}
    assert not [path for path in (out / "model").iterdir() if path.name.startswith(".")]


def checkpoint_steps(out: Path) -> list[int]:
    """Of the checkpoints that are there."""
    return sorted(int(path.name.split("-")[1]) for path in (out / "checkpoints").glob("checkpoint-*"))
