"""prunegrid's training jobs one after another in this process; with `package.py` all that the kit knows of the package.

`launch.train` is called as it is, but for three things: its rank runs here instead of in a process of its own, whose
start would cost ten seconds; the model's weights are random and made on the device; and the process group stays for the
next job. `counters` and `scored` are what the last job's trainer counted, and its seconds of dynamic scoring.
"""

import contextlib
import fcntl
import gc
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import TrainerCallback

from gpu import package
from gpu.measure import Section
from gpu.random_model import MAX_LENGTH, build, write_folder
from prunegrid.experiment.training import Runtime, Training
from prunegrid.pruners import PruningSpec
from prunegrid.training import Job, assembly, checkpoints, launch, processes, worker
from prunegrid.training.processes import ExitStatus
from prunegrid.training.signals import STOP_SIGNALS
from prunegrid.training.trainer import PrunedTrainer

BUDGET = {"sample_ratio": 0.125, "token_ratio": 0.5}
PRUNING = PruningSpec(method="qtuning", **BUDGET)


class Jobs:
    """Jobs on a folder of random scores for `samples`."""

    def __init__(self, section: Section, work: Path, samples: Any) -> None:
        self.section, self.work = section, work
        self.model = write_folder(section.shape, work / "model")
        luck, count = np.random.default_rng(1), int(samples.response_N.sum())
        values = {name: luck.gamma(2.0, 1.0, count).astype(np.float32) for name in package.SCORES}
        self.scores = package.store_scores(work / "scores", samples, values, MAX_LENGTH)
        self.trainer: Any = None
        self.scored: list[float] = []
        self._locks: list[int] = []
        self._callbacks: list[TrainerCallback] = []
        self._replace()

    @property
    def counters(self) -> dict[str, int]:
        """Samples, tokens and passes so far of the job that runs."""
        return dict(self.trainer.counters.counts)

    def job(self, budget: bool = False, save_steps: int = 10**9, **training: Any) -> Job:
        """Four micro-batches a step; `budget` prunes it to 12.5 x 50, dynamically where `mode` says so."""
        small = {"per_device_train_batch_size": 2, "batch_tokens": 512}
        usual = small if self.section.toy else {"per_device_train_batch_size": 8, "batch_tokens": 8192}
        settings = {"bf16": True, "gradient_accumulation_steps": 4, **usual, **training}
        mode = settings.get("mode", "static")
        static = budget and mode == "static"
        return Job(
            model=self.model,
            scores=self.scores,
            selection=self._selection() if static else None,
            pruning=PRUNING if mode == "dynamic" else None,
            seed=0,
            device=self.section.device,
            threads=4 if self.section.cuda else torch.get_num_threads(),
            training=Training(**settings),
            runtime=Runtime(save_steps=save_steps, report_to=[]),
        )

    def _selection(self) -> Path:
        out = self.work / "selection"
        if not out.exists():
            package.select(self.scores, out, "qtuning", **BUDGET)
        return out / "selection.parquet"

    def run(self, job: Job, out: Path, *callbacks: TrainerCallback) -> dict[str, Any]:
        """What `training.json` says; a job that left a checkpoint in `out` resumes from it."""
        self.scored.clear()
        self._callbacks = list(callbacks)
        environment = dict(os.environ)
        try:
            return launch.train(job, out / "model", out / "training.json")
        finally:
            while self._locks:
                os.close(self._locks.pop())
            os.environ.clear()
            os.environ.update(environment)
            release(self.trainer)
            self.trainer = None
            reset_libraries()

    def _replace(self) -> None:
        """See the module's docstring."""
        share = checkpoints.share_lock

        def shared(folder: Path) -> int:
            self._locks.append(share(folder))  # freed after each job, as the end of a rank's process frees it
            return self._locks[-1]

        checkpoints.share_lock = shared
        launch.run_ranks = self._run_here
        assembly.build_trainer = self._built(assembly.build_trainer)
        PrunedTrainer.call_model = self._timed(PrunedTrainer.call_model)  # a dynamic job's forwards without gradients
        transformers.AutoModelForCausalLM.from_pretrained = staticmethod(self._random)
        torch.distributed.destroy_process_group = lambda *_: None

    def _run_here(self, order: Any, spec: Path, lock: int) -> ExitStatus:
        spec.write_text(order.model_dump_json())
        os.environ.update(processes.rank_environment(order.job))
        with spec.open("r+") as alive:
            fcntl.flock(alive, fcntl.LOCK_EX)
            worker.main(spec)
        return ExitStatus()

    def _built(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def built(*arguments: Any, **options: Any) -> Any:
            self.trainer = original(*arguments, **options)
            for callback in self._callbacks:
                self.trainer.add_callback(callback)
            return self.trainer

        return built

    def _timed(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **options: Any) -> Any:
            self.section.synchronize()
            started = time.perf_counter()
            found = original(*arguments, **options)
            self.section.synchronize()
            self.scored.append(time.perf_counter() - started)
            return found

        return timed

    def _random(self, _: Any, **options: Any) -> Any:
        model = build(self.section, options.get("attn_implementation") or "sdpa", options["dtype"]).train()
        return (model, {"missing_keys": []}) if options.get("output_loading_info") else model


def release(trainer: Any) -> None:
    """Free the device's memory: DeepSpeed's hooks hold the model in cycles that are never collected."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    if trainer is None:
        return
    with contextlib.suppress(Exception):
        trainer.model_wrapped.destroy()
    for optimizer in (trainer.optimizer, getattr(trainer.model_wrapped, "optimizer", None)):
        for value in list(vars(optimizer).values()) if optimizer is not None else []:
            _empty(value)
    for parameter in (*trainer.model.parameters(), *trainer.model.buffers()):
        _empty(parameter)


def _empty(value: Any, depth: int = 3) -> None:
    """Drop the storage of the tensors in lists and dicts."""
    if isinstance(value, torch.Tensor) and not value.is_meta:
        with contextlib.suppress(Exception):
            value.grad = None
            value.data = torch.empty(0)
    elif depth and isinstance(value, dict | list | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            _empty(one, depth - 1)


def reset_libraries() -> None:
    """What a trainer leaves in the modules of accelerate, transformers and torch."""
    from accelerate.state import AcceleratorState, GradientState
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()
    AcceleratorState._reset_state()
    GradientState._reset_state()
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic = False
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
