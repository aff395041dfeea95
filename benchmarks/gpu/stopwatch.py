"""Callbacks of a Trainer that time its steps, ours or a library's."""

import time
from typing import Any

import torch
from transformers import TrainerCallback

from gpu.measure import Section, summary

WARMUP = 2  # steps before the clock starts, unless a side needs more


class Stopwatch(TrainerCallback):
    """Seconds from the end of step `warmup` to the end of the last; of our jobs also what they counted meanwhile."""

    def __init__(self, section: Section, jobs: Any = None, warmup: int = WARMUP) -> None:
        self.section, self.jobs, self.warmup = section, jobs, warmup
        self.seconds, self.steps, self.scored = 0.0, 0, 0.0
        self.counted: dict[str, int] = {}

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        if state.global_step not in (self.warmup, state.max_steps):
            return
        self.section.synchronize()
        end = time.perf_counter()
        count, scored = (self.jobs.counters, sum(self.jobs.scored)) if self.jobs else ({}, 0.0)
        if state.global_step == self.warmup:
            self.began, self.before, self.scored_before = end, count, scored
            return
        self.seconds, self.steps = end - self.began, state.max_steps - self.warmup
        self.scored = scored - self.scored_before
        self.counted = {key: value - self.before.get(key, 0) for key, value in count.items()}


class Recorder(TrainerCallback):
    """A profile of the step after `step`."""

    def __init__(self, section: Section, step: int) -> None:
        self.section, self.step = section, step
        self.found: dict[str, Any] = {}

    def on_step_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        if state.global_step == self.step:
            activity = torch.profiler.ProfilerActivity
            self.recorded = torch.profiler.profile(activities=[activity.CUDA if self.section.cuda else activity.CPU])
            self.section.synchronize()
            self.began = time.perf_counter()
            self.recorded.__enter__()

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        if state.global_step == self.step + 1:
            self.section.synchronize()
            wall = time.perf_counter() - self.began
            self.recorded.__exit__(None, None, None)
            self.found = summary(self.recorded, wall, self.section.cuda, kernels=16)
