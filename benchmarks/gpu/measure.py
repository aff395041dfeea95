"""What a section measures with: clocks, memory, profiles, and the file that its numbers go to at once."""

import contextlib
import gc
import statistics
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from gpu import limits
from gpu.processes import write_json


class Section:
    """A section of the run: its device, model and deadline, and the JSON file of its results."""

    def __init__(self, device: str, model: str, path: Path, seconds: float, card: limits.Card) -> None:
        self.device, self.model, self.path, self.card = device, model, path, card
        self.deadline = time.monotonic() + seconds
        self.results: dict[str, Any] = {}
        self.toy = device == "cpu"
        self.cuda = device == "cuda"

    @property
    def shape(self) -> limits.Shape:
        return limits.SHAPES[self.model]

    def put(self, name: str, value: Any) -> None:
        """Store a result; what comes after it cannot lose it."""
        self.results[name] = value
        write_json(self.path, self.results)
        print(name, value, flush=True)

    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()

    @contextlib.contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """An error inside is stored as `<name>_error`, and the section goes on; unused device memory is freed."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            self.put(f"{name}_error", f"{type(error).__name__}: {str(error)[:400]}")
        gc.collect()
        if self.cuda:
            torch.cuda.empty_cache()

    def synchronize(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()

    def seconds(self, run: Callable[[], Any], repeats: int = 5, warmups: int = 1) -> float:
        """The median time of `run`, the device's work included; on a CPU of one run."""
        for _ in range(0 if self.toy else warmups):
            run()
        return statistics.median(self._timed(run) for _ in range(1 if self.toy else repeats))

    def _timed(self, run: Callable[[], Any]) -> float:
        self.synchronize()
        started = time.perf_counter()
        run()
        self.synchronize()
        return time.perf_counter() - started

    def reset_peak(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()

    def peak_gb(self) -> float | None:
        """Of the device's memory since `reset_peak`; None on a CPU."""
        return round(torch.cuda.max_memory_allocated() / 1e9, 2) if self.cuda else None

    def extra_gb(self, run: Callable[[], Any]) -> float | None:
        """GB that `run` needs beyond what is allocated before it."""
        baseline = torch.cuda.memory_allocated() / 1e9 if self.cuda else 0.0
        self.reset_peak()
        run()
        peak = self.peak_gb()
        return None if peak is None else round(peak - baseline, 2)

    def pulse(self, name: str) -> None:
        """The matrix rate at this moment shows a card that has slowed down (heat, a neighbour) for what it is."""
        self.put(f"pulse_{name}_tflops", round(matrix_rate(self, torch.bfloat16, 10) / 1e12, 3))


def matrix_rate(section: Section, dtype: torch.dtype, repeats: int = 5) -> float:
    """Operations a second of a square matrix product."""
    n = 256 if section.toy else 8192
    a, b = (torch.randn(n, n, device=section.device, dtype=dtype) for _ in range(2))
    return 2 * n**3 / section.seconds(lambda: a @ b, repeats, warmups=3)


def profile(section: Section, run: Callable[[], Any], kernels: int = 14) -> dict[str, Any]:
    """Of one warm run: seconds by the clock, seconds that the device is busy, and the kernels that take most of them.

    On a CPU it counts torch's operators, so that this code runs there too.
    """
    activity = torch.profiler.ProfilerActivity
    with torch.profiler.profile(activities=[activity.CUDA if section.cuda else activity.CPU]) as recorded:
        wall = section._timed(run)
    return summary(recorded, wall, section.cuda, kernels)


def summary(recorded: Any, wall: float, cuda: bool, kernels: int = 14) -> dict[str, Any]:
    def milliseconds(event: Any) -> float:
        return float(event.device_time_total if cuda else event.self_cpu_time_total) / 1e3

    events = sorted(recorded.key_averages(), key=milliseconds, reverse=True)
    return {
        "wall_ms": round(1e3 * wall, 2),
        "busy_ms": round(sum(map(milliseconds, events)), 2),
        "kernels": sum(event.count for event in events),
        "top_ms_count": {event.key[:70]: [round(milliseconds(event), 2), event.count] for event in events[:kernels]},
    }


def rounded(values: dict[str, float]) -> dict[str, float]:
    """Four significant digits."""
    return {key: float(f"{value:.4g}") for key, value in values.items()}


def mfu(operations_a_second: float, card: limits.Card) -> float:
    """Percent of the card's matrix rate."""
    return float(f"{100 * operations_a_second / card.peak:.3g}")
