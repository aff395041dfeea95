"""What an experiment's jobs do about a GPU's memory: those that share one, and `gradient_checkpointing: auto`."""

from collections.abc import Iterator
from pathlib import Path
from textwrap import fill

from prunegrid.experiment.config import Experiment
from prunegrid.plan import memory
from prunegrid.plan.memory import PASSES, TRAINING
from prunegrid.training.memory_model import MIB, USABLE_SHARE


def sharing_fits(experiment: Experiment, card_bytes: float, root: Path | None = None) -> tuple[bool, str]:
    """Whether the jobs that share a GPU of so many bytes fit it together, and in words how they do."""
    jobs = experiment.runtime.cells_per_gpu
    peaks = {rule: MIB * memory.gpu_peak_mb(rule, experiment, root=root) for rule in _sharing_rules(experiment)}
    rule = max(peaks, key=peaks.__getitem__)
    largest = peaks[rule]
    words = f"{jobs} x {largest / 1e9:.1f} GB ({rule}, the largest) = {jobs * largest / 1e9:.1f} GB"
    if jobs * largest <= USABLE_SHARE * card_bytes:
        return True, f"{words}, on {card_bytes / 1e9:.0f} GB"
    most = max(1, int(USABLE_SHARE * card_bytes / largest))
    return False, (
        f"{words} do not fit {USABLE_SHARE:.0%} of {card_bytes / 1e9:.0f} GB; take runtime.cells_per_gpu: {most}, or "
        "smaller passes (batch_tokens of scoring, training, evaluation)"
    )


def gpu_lines(experiment: Experiment, root: Path) -> Iterator[str]:
    """What the plan assumes about GPUs, and what follows for checkpointing and for jobs that share one."""
    if experiment.device != "cuda":
        return
    card, stated = memory.gpu_bytes(experiment), experiment.runtime.gpu_memory_gb
    how = "runtime.gpu_memory_gb" if stated else "assumed; give runtime.gpu_memory_gb"
    yield f"  GPU     {card / 1e9:.0f} GB each ({how})"
    if experiment.training.gradient_checkpointing == "auto":
        for name in experiment.models:
            (size,) = memory.sizes(experiment, name, root).values()
            decided = memory.resolve_checkpointing(experiment, size).gradient_checkpointing
            yield f"  GPU     {name}: gradient_checkpointing is auto: {'on' if decided else 'off'}"
    if experiment.runtime.cells_per_gpu > 1:
        right, words = sharing_fits(experiment, card, root)
        mark = "  " if right else "!!"
        yield fill(f"jobs that share one: {words}", 118, initial_indent=f"{mark}GPU     ", subsequent_indent=" " * 10)


def _sharing_rules(experiment: Experiment) -> list[str]:
    """The rules whose jobs share a GPU."""
    return [*PASSES, *(TRAINING if experiment.training.ranks == 1 else ())]
