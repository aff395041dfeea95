"""Whether jobs that share a GPU fit its memory, and what `gradient_checkpointing: auto` decides."""

from collections.abc import Iterator
from pathlib import Path
from textwrap import fill

from prunegrid.experiment import grid
from prunegrid.experiment.config import Experiment
from prunegrid.plan import memory
from prunegrid.plan.memory import PASSES, TRAINING
from prunegrid.training.memory_model import MIB, USABLE_SHARE


def sharing_fits(experiment: Experiment, card_bytes: float, root: Path | None = None) -> tuple[bool, str]:
    """Whether the jobs that share a GPU of `card_bytes` fit it together, and the sum in words."""
    jobs = experiment.runtime.cells_per_gpu
    rules = [*PASSES, *(TRAINING if experiment.training.ranks == 1 else ())]
    peaks = {rule: MIB * memory.gpu_peak_mb(rule, experiment, root=root) for rule in rules}
    rule = max(peaks, key=peaks.__getitem__)
    largest = peaks[rule]
    words = f"{jobs} x {largest / 1e9:.1f} GB ({rule}, the largest) = {jobs * largest / 1e9:.1f} GB"
    if jobs * largest <= USABLE_SHARE * card_bytes:
        return True, f"{words}, on {card_bytes / 1e9:.0f} GB"
    limit = max(1, int(USABLE_SHARE * card_bytes / largest))
    return False, (
        f"{words} do not fit {USABLE_SHARE:.0%} of {card_bytes / 1e9:.0f} GB; take runtime.cells_per_gpu: {limit}, or "
        "smaller passes (batch_tokens of scoring, training, evaluation)"
    )


def gpu_lines(experiment: Experiment, root: Path) -> Iterator[str]:
    """The GPUs that the plan assumes, and what follows for checkpointing and for jobs that share one."""
    if experiment.device != "cuda":
        return
    card_bytes = memory.gpu_bytes(experiment)
    source = "runtime.gpu_memory_gb" if experiment.runtime.gpu_memory_gb else "assumed; give runtime.gpu_memory_gb"
    yield f"  GPU     {card_bytes / 1e9:.0f} GB each ({source})"
    if experiment.training.gradient_checkpointing == "auto":
        for name in experiment.models:
            (size,) = memory.sizes(experiment, name, root).values()
            resolved = [memory.resolve_checkpointing(experiment, size, item) for item in grid.trainings(experiment)]
            decisions = {"on" if training.gradient_checkpointing else "off" for training in resolved}
            setting = decisions.pop() if len(decisions) == 1 else "on for some variants, off for others"
            yield f"  GPU     {name}: gradient_checkpointing is auto: {setting}"
    if experiment.runtime.cells_per_gpu > 1:
        fit, words = sharing_fits(experiment, card_bytes, root)
        mark = "  " if fit else "!!"
        yield fill(f"jobs that share one: {words}", 118, initial_indent=f"{mark}GPU     ", subsequent_indent=" " * 10)
