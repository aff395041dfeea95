"""Minutes that a scheduler is asked for: four times the estimate (docs/plan.md), an hour at least.

On a GPU it is ten times while its rates are not measured: they are an H100's, and a card may be much slower.

Rules that run a model follow the size of the model and of the data set, counted where its scores are there; before, an
upper bound of it. Of the cells the longest is taken, which keeps every sample and token.
"""

from math import ceil
from pathlib import Path

from prunegrid.experiment.config import Experiment
from prunegrid.models.size import Size
from prunegrid.plan import gpu_rates, memory, workload
from prunegrid.plan.counts import RESPONSE_SHARE, TokenCounts, benchmark_size
from prunegrid.plan.workload import Workload

MARGIN, UNMEASURED = 4, 10
MINIMUM, DEFAULT = 60, 30
SMALL = {"prune": 5, "benchmark_items": 10}  # so that a group of them stays short
MODEL, COLLECT = 120, 60  # a download, or a pre-training; bootstraps
TOKENS_PER_SAMPLE = 400  # tokens, where samples are not counted


def minutes(rule: str, experiment: Experiment, model: str | None = None, root: Path | None = None) -> int:
    """Of one job of `rule`; `model` is the one that it runs, by default the largest."""
    if rule in ("score", "extra_score", "train", "evaluate"):
        sizes = memory.sizes(experiment, model, root).values()
        longest = max(
            workload.seconds(rule, _workload(rule, experiment, size, root), experiment.device) for size in sizes
        )
        margin = MARGIN if experiment.device == "cpu" or gpu_rates.measured() else UNMEASURED
        return max(MINIMUM, ceil(margin * longest / 60))
    return {"model": MODEL, "collect": COLLECT}.get(rule, SMALL.get(rule, DEFAULT))


def _workload(rule: str, experiment: Experiment, size: Size, root: Path | None) -> Workload:
    folder = root or Path(experiment.results)
    if rule == "evaluate":
        return workload.evaluation_workload(
            experiment, size, (benchmark_size(experiment, name, folder) for name in experiment.evaluation.benchmarks)
        )
    count = memory.dataset_tokens(experiment, root)
    response = round(RESPONSE_SHARE * count)
    samples = experiment.dataset.max_samples or max(1, count // TOKENS_PER_SAMPLE)
    tokens = TokenCounts(samples, count - response, response, "at most")
    if rule == "train":
        training = memory.resolve_checkpointing(experiment, size)
        return workload.training_workload(training, size, tokens, (tokens.prompt, tokens.response), 1.0)
    return workload.scoring_workload(experiment.scoring, size, tokens)
