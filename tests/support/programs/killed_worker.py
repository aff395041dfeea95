"""A rank of a training job that meets a misfortune: `prunegrid.training.worker` with a few of its functions wrapped.

`MISFORTUNE` (JSON) says which, at which step (from 1), on which ranks (all, where none are named), and
optionally a `marker` that is made when the moment has come. Nothing of it is in the package itself.
"""

import io
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from prunegrid.models import head_chunks
from prunegrid.training import assembly, checkpoints, report, settings, trainer, worker

PLAN: dict[str, Any] = json.loads(os.environ["MISFORTUNE"])
IS_AFFECTED = int(os.environ["RANK"]) in PLAN.get("ranks", [0, 1])


def die() -> None:
    """At once, and torchrun with this rank where the whole job is to go."""
    mark()
    if PLAN.get("torchrun"):
        os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def mark() -> None:
    if "marker" in PLAN:
        Path(PLAN["marker"]).touch()


def linger() -> None:
    """A long step: whoever waits for the marker acts within it."""
    mark()
    until = time.monotonic() + PLAN.get("seconds", 2)
    while time.monotonic() < until:
        time.sleep(0.05)


def spoil(model: Any) -> None:
    """Make the weights of the last norm infinite."""
    *_, weight = (p for name, p in model.named_parameters() if "norm" in name)
    weight.data.fill_(float("inf"))


def run_out(*_: Any) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def act_at_step(act: Callable[[Any], Any], when: str) -> None:
    """`before` or `after` the forward and backward passes of the step."""
    original = trainer.PrunedTrainer.training_step

    def training_step(self: Any, model: Any, *arguments: Any) -> Any:
        here = IS_AFFECTED and self.state.global_step + 1 == PLAN["step"]
        if here and when == "before":
            act(model)
        loss = original(self, model, *arguments)
        if here and when == "after":
            act(model)
        return loss

    trainer.PrunedTrainer.training_step = training_step


def exhaust_memory() -> None:
    original = trainer.PrunedTrainer.compute_loss

    def compute_loss(self: Any, *arguments: Any, **named: Any) -> Any:
        if IS_AFFECTED and self.state.global_step + 1 == PLAN["step"]:
            run_out()
        return original(self, *arguments, **named)

    trainer.PrunedTrainer.compute_loss = compute_loss


def kill_writing() -> None:
    """Half of one of DeepSpeed's files has reached the disk: the optimizer's, or at ZeRO 0 the model's with it."""
    original = torch.save

    def save(value: Any, file: Any, *arguments: Any, **named: Any) -> None:
        if IS_AFFECTED and f".saving-{PLAN['step']}" in str(file) and Path(file).name.endswith("_states.pt"):
            whole = io.BytesIO()
            original(value, whole, *arguments, **named)
            Path(file).write_bytes(whole.getvalue()[: whole.tell() // 2])
            die()
        original(value, file, *arguments, **named)

    torch.save = save


def kill_renaming() -> None:
    """The checkpoint is complete but for its name."""
    original = checkpoints._sync

    def sync(path: Path) -> None:
        if f".saving-{PLAN['step']}" in str(path):
            die()
        original(path)

    checkpoints._sync = sync


def finishing() -> None:
    """All steps are done and saved, the model is not."""

    def finish(*_: Any) -> None:
        die()

    report.write_outputs = finish


def no_room() -> None:
    """All steps are done and saved, but no file may grow any more: what a full disk looks like, without root."""
    original = report.write_outputs

    def finish(*arguments: Any) -> None:
        if IS_AFFECTED:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        original(*arguments)

    report.write_outputs = finish


def starting() -> None:
    """Before the rank can hear a signal."""
    original = assembly.build_trainer

    def build_trainer(*arguments: Any) -> Any:
        linger()
        return original(*arguments)

    assembly.build_trainer = build_trainer


def small_chunks() -> None:
    """Chunks of 8 tokens; under ZeRO-3 all weights in pieces, the small ones too; and no rank waits for ever."""
    head_chunks.CHUNK["cpu"] = 8
    original = settings.deepspeed_config

    def deepspeed_config(training: Any) -> dict[str, Any]:
        config = original(training)
        config["zero_optimization"]["stage3_param_persistence_threshold"] = 0
        return config

    settings.deepspeed_config = deepspeed_config
    signal.alarm(PLAN["seconds"])


def without_kernel(_: Any) -> None:
    """An operation that torch has no deterministic kernel for, on a CPU either."""
    torch.zeros(2).put_(torch.tensor([0, 0]), torch.ones(2))


READS = ("item", "tolist", "__bool__", "__float__", "__int__")  # each waits for the device, if the tensor is on one


def counting() -> None:
    """Of each step note, in the file `reads`, its passes, what is read of tensors meanwhile, DeepSpeed's waits and
    its bucket's size."""
    from deepspeed.accelerator import get_accelerator

    seen: list[str] = []
    original, steps = trainer.PrunedTrainer.training_step, []

    def training_step(self: Any, model: Any, inputs: Any, *arguments: Any) -> Any:
        seen.clear()
        loss = original(self, model, inputs, *arguments)
        bucket = model.optimizer.reduce_bucket_size
        steps.append({"passes": len(inputs), "reads": list(seen), "bucket": bucket})
        Path(PLAN["reads"]).write_text(json.dumps(steps))
        return loss

    def noted(of: Any, name: str) -> None:
        plain = getattr(of, name)

        def call(*arguments: Any, **named: Any) -> Any:
            caller = sys._getframe(1).f_code
            seen.append(f"{name} in {Path(caller.co_filename).name}, {caller.co_name}")
            return plain(*arguments, **named)

        setattr(of, name, call)

    for name in READS:
        noted(torch.Tensor, name)
    noted(type(get_accelerator()), "synchronize")
    trainer.PrunedTrainer.training_step = training_step


MISFORTUNES: dict[str, Callable[[], None]] = {
    "none": lambda: None,
    "killed before": lambda: act_at_step(lambda _: die(), "before"),
    "killed after": lambda: act_at_step(lambda _: die(), "after"),
    "killed while writing": kill_writing,
    "killed before renaming": kill_renaming,
    "killed while finishing": finishing,
    "no room": no_room,
    "spoilt": lambda: act_at_step(spoil, "before"),
    "spoilt after": lambda: act_at_step(spoil, "after"),
    "out of memory": exhaust_memory,
    "slow": lambda: act_at_step(lambda _: linger(), "before"),
    "slow start": starting,
    "no deterministic kernel": lambda: act_at_step(without_kernel, "before"),
    "counted": counting,
    "small chunks": small_chunks,
}

if __name__ == "__main__":
    MISFORTUNES[PLAN["what"]]()
    try:
        worker.main(Path(sys.argv[1]))
    except worker.PrunegridError as error:
        sys.exit(str(error))
