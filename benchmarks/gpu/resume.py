"""A job that is killed and resumed, against two that are not: are the weights the same, bit for bit?"""

import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from gpu import limits
from gpu.jobs import Jobs
from gpu.measure import Section
from gpu.random_model import rows

SHAPE = limits.Shape(1024, 8, 16, 8, 4096, 32000, True)
CASES: dict[str, dict[str, Any]] = {
    "bf16_deterministic": {"deterministic": True},
    "bf16_deterministic_dynamic": {"deterministic": True, "mode": "dynamic"},
    "bf16": {},
    "float32": {"bf16": False},
}
STEPS, SAVED, KILLED = 8, 4, 5


class Kill(TrainerCallback):
    """Ends the job without a checkpoint of its last step, as a kill does."""

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        if state.global_step == KILLED:
            raise KeyboardInterrupt


def run(section: Section) -> None:
    if not section.toy:
        limits.SHAPES["resume"] = SHAPE
        section.model = "resume"
    with tempfile.TemporaryDirectory() as work:
        jobs = Jobs(section, Path(work), rows(section, 64))
        for name, settings in CASES.items():
            if section.seconds_left() < 10:
                section.put(name, "no time left")
                continue
            with section.attempt(name):
                section.put(name, compare(jobs, Path(work, name), settings))


def compare(jobs: Jobs, folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Of an equal job that was not killed, and of the resumed one."""
    job = jobs.job(method="full", learning_rate=1e-3, max_steps=STEPS, save_steps=SAVED, **settings)
    jobs.run(job, folder / "first")
    jobs.run(job, folder / "again")
    try:
        jobs.run(job, folder / "killed", Kill())
    except KeyboardInterrupt:
        report = jobs.run(job, folder / "killed")
    assert report["resumed"] == [SAVED], f"it resumed from {report['resumed']}"
    first, again, killed = (weights(folder / name / "model") for name in ("first", "again", "killed"))
    return {"again": difference(first, again), "resumed": difference(first, killed)}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return {name: tensor for file in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(file).items()}


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> dict[str, Any]:
    assert one.keys() == other.keys()
    equal = all(torch.equal(one[name], other[name]) for name in one)
    return {"equal": equal, "distance": max(float((one[n].float() - other[n].float()).abs().max()) for n in one)}
