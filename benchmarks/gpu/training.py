"""Training: ours full, with checkpointing, pruned to 12.5 x 50 and dynamic, against the libraries' own trainers.

All sides take the same samples and the same optimizer steps, LoRA of rank 8 unless said, and take turns by rounds. A
side is timed from the end of its second step (with `rescore_every`, of its first block of steps) to the end of its
last, and the device is waited for at both ends only. Liger's kernels replace transformers' classes for the rest of the
process, so the side that has them is the last.
"""

import gc
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from gpu import limits, peers
from gpu.jobs import Jobs
from gpu.measure import Section, mfu, rounded
from gpu.random_model import mean_context, rows
from gpu.stopwatch import WARMUP, Recorder, Stopwatch

STEPS = 14  # an epoch: a dynamic job's probe of a hundred samples comes once, before the clock starts
RESCORE = 4
LIGER = "full_liger"


def run(section: Section) -> None:
    section.pulse("before")
    batch = 8 if section.toy else 32
    samples = rows(section, batch * STEPS)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(section, Path(folder), samples, batch)
        for number in range(1 if section.toy else 2):
            sides = [name for name in bench.sides if name != LIGER]
            for name in sides[number:] + sides[:number]:
                bench.measure(name, number)
        if section.seconds_left() > 2 * bench.longest:
            with section.attempt("profile"):
                section.put("profile", bench.profile())
        if LIGER in bench.sides:
            bench.measure(LIGER, 0)
    section.pulse("after")


class Bench:
    """The sides by name, and what has been measured of them."""

    def __init__(self, section: Section, work: Path, samples: Any, batch: int) -> None:
        self.section, self.work, self.samples = section, work, samples
        self.jobs = Jobs(section, work, samples)
        self.peers = peers.Peers(section, work, samples, batch)
        self.rates: dict[str, list[float]] = {}
        self.batch_tokens: dict[str, int] = {}
        self.longest = 15.0  # seconds of a side: with less left none is started
        self.sides = self._sides()

    def _sides(self) -> dict[str, Callable[[], dict[str, Any]]]:
        short, long = (4, 10) if self.section.toy else (6, 14)
        dynamic = {"mode": "dynamic", "removal": "drop", "max_steps": short}
        settings: dict[str, dict[str, Any]] = {
            "full": {"max_steps": short},
            "drop": {"budget": True, "removal": "drop", "max_steps": long},
            "mask": {"budget": True, "removal": "mask", "max_steps": long},
            "dynamic": dynamic,
            f"dynamic_rescore_{RESCORE}": dynamic | {"rescore_every": RESCORE, "max_steps": 3 * RESCORE},
            "full_checkpointing": {"gradient_checkpointing": True, "max_steps": short - 1},
        }
        if self.section.model != "7b":  # its states would take 121 GB
            settings["full_all_weights"] = {"method": "full", "max_steps": short}
        if self.section.cuda and find_spec("liger_kernel"):
            settings[LIGER] = {"use_liger_kernel": True, "max_steps": short}
        ours = {name: self._ours(name, own) for name, own in settings.items()}
        return ours | {"trainer_padded": self.peers.padded, "trl_packed": self.peers.packed}

    def _ours(self, name: str, settings: dict[str, Any]) -> Callable[[], dict[str, Any]]:
        return lambda: self.run_job(name, settings)

    def measure(self, name: str, number: int) -> None:
        """One round of one side; numbers of an earlier round are kept beside it."""
        if name == "trl_packed" and not find_spec("trl"):
            self.section.put(name, "TRL is not installed")
            return
        least = 3 * self.longest if number else self.longest  # a second round leaves time for the profile and Liger
        if self.section.seconds_left() < least or (number and name in ("full_checkpointing", "mask")):
            return
        began = time.monotonic()
        with self.section.attempt(name):
            self.section.reset_peak()
            measured = self.sides[name]() | {"peak_gb": self.section.peak_gb()}
            self.rates.setdefault(name, []).append(measured["tokens_s"])
            rounds = self.rates[name]
            measured |= {"tokens_s": statistics.median(rounds), "rounds_tokens_s": rounds}
            self.section.put(name, measured)
            self.section.put("compared", compared(self.section.results))
        self.longest = max(self.longest, time.monotonic() - began)

    def run_job(self, name: str, settings: dict[str, Any]) -> dict[str, Any]:
        """Where memory does not suffice, with passes of half the tokens, which the result says."""
        job = self.jobs.job(**{**settings, **self._passes(name)})
        warmup = settings.get("rescore_every", WARMUP)  # whole blocks are timed: each step's scoring, and no other's
        watch, out = Stopwatch(self.section, self.jobs, warmup), self.work / name
        try:
            report = self.jobs.run(job, out, watch)
        except torch.OutOfMemoryError:
            if job.training.batch_tokens < 4096:
                raise
            self.batch_tokens[name] = job.training.batch_tokens // 2
            self.section.put(f"{name}_out_of_memory", f"at {job.training.batch_tokens} tokens a pass")
        else:
            fallbacks = {"fallbacks": report["fallbacks"]} if "fallbacks" in report else {}
            return self.rated(watch, job.training) | fallbacks
        finally:
            shutil.rmtree(out, ignore_errors=True)
            gc.collect()
        return self.run_job(name, settings)

    def _passes(self, name: str) -> dict[str, int]:
        return {"batch_tokens": self.batch_tokens[name]} if name in self.batch_tokens else {}

    def rated(self, watch: Stopwatch, training: Any) -> dict[str, Any]:
        """Seconds and tokens of the timed steps, and what limits.py expects of such tokens."""
        count, tokens = watch.counted, watch.counted["forwarded_tokens"]
        each = tokens / count["samples"]
        context = mean_context(self.samples.length_N) * each / float(self.samples.length_N.mean())
        share, again = count["trained_tokens"] / tokens, bool(training.gradient_checkpointing)
        limit = limits.training(self.section.shape, context, share, self.section.card, training.method, again)
        rate = tokens / watch.seconds
        measured = {
            "tokens_s": rate,
            "step_s": watch.seconds / watch.steps,
            "tokens_a_step": tokens / watch.steps,
            "passes_a_step": count["passes"] / watch.steps,
            "trained_share": share,
            "expected": limit.eager,
            "ideal": limit.ideal,
            "operations_a_token": limit.operations,
        }
        if training.mode == "dynamic":
            measured["scoring_s_a_step"] = watch.scored / watch.steps
            measured["scoring_share"] = watch.scored / watch.seconds
            measured["scoring_passes_a_step"] = count.get("scoring_passes", 0) / watch.steps
        return rounded(measured) | {
            "mfu": mfu(rate * limit.operations, self.section.card),
            "batch_tokens": training.batch_tokens,
        }

    def profile(self) -> dict[str, Any]:
        """The kernels of the third step of a full run."""
        recorder = Recorder(self.section, step=2)
        self.jobs.run(self.jobs.job(max_steps=3), self.work / "profile", recorder)
        return recorder.found


def compared(results: dict[str, Any]) -> dict[str, float]:
    """The ratios that the goals are about; a side that did not run has none."""
    sides = {name: side for name, side in results.items() if isinstance(side, dict) and "tokens_s" in side}
    ratios: dict[str, float] = {}
    for name in ("drop", "mask"):
        if {"full", name} <= sides.keys():
            ratios[f"seconds_a_token_{name}_over_full"] = sides["full"]["tokens_s"] / sides[name]["tokens_s"]
    for name in ("dynamic", f"dynamic_rescore_{RESCORE}"):
        if {"full", name} <= sides.keys():
            ratios[f"{name}_step_over_full_step"] = sides[name]["step_s"] / sides["full"]["step_s"]
    for name in ("trainer_padded", "trl_packed"):
        if {"full", name} <= sides.keys():
            ratios[f"full_over_{name}"] = sides["full"]["tokens_s"] / sides[name]["tokens_s"]
    return rounded(ratios)
