"""The time limits that a scheduler is given, in minutes: four times the estimate, and at least an hour.

docs/explanation/cost-model.md has the estimate.

On a GPU it is ten times until the rates are measured: the assumed ones are an H100's, and a card may be much slower.

Rules that run a model depend on the sizes of the model and of the data set (as scored, or before that an upper bound).
All cells get the limit of the longest, which keeps every sample and token and is trained as the slowest variant is.
"""

from collections.abc import Iterator
from math import ceil
from pathlib import Path

from prunegrid.experiment import grid
from prunegrid.experiment.config import Experiment
from prunegrid.models.size import Size
from prunegrid.plan import gpu_rates, memory, workload
from prunegrid.plan.counts import RESPONSE_SHARE, TokenCounts, benchmark_size
from prunegrid.plan.workload import Workload

MARGIN, UNMEASURED = 4, 10
MINIMUM, DEFAULT = 60, 30
LIMITS = {
    "prune": 5,  # short, so that a group of them is
    "benchmark_items": 10,
    "import_scores": 10,
    "imported_column": 30,
    "model": 120,  # a download or a pre-training
    "collect": 60,  # reads every item file of the grid
}
TOKENS_PER_SAMPLE = 400  # if samples are not counted


def minutes(rule: str, experiment: Experiment, model: str | None = None, root: Path | None = None) -> int:
    """The limit of one job of `rule`, which runs `model` (by default the largest)."""
    if rule in ("score", "extra_score", "vector_score", "query_score", "train", "evaluate"):
        sizes = memory.sizes(experiment, model, root).values()
        workloads = (work for size in sizes for work in _workloads(rule, experiment, size, root))
        longest = max(workload.seconds(rule, work, experiment.device) for work in workloads)
        margin = MARGIN if experiment.device == "cpu" or gpu_rates.measured() else UNMEASURED
        return max(MINIMUM, ceil(margin * longest / 60))
    return LIMITS.get(rule, DEFAULT)


def _workloads(rule: str, experiment: Experiment, size: Size, root: Path | None) -> Iterator[Workload]:
    folder = root or Path(experiment.results)
    if rule == "evaluate":
        benchmarks = (benchmark_size(experiment, name, folder) for name in experiment.evaluation.asked)
        yield workload.evaluation_workload(experiment, size, benchmarks)
        return
    count = memory.dataset_tokens(experiment, root)
    response = round(RESPONSE_SHARE * count)
    samples = experiment.dataset.max_samples or max(1, count // TOKENS_PER_SAMPLE)
    tokens = TokenCounts(samples, count - response, response, "at most")
    if rule != "train":
        yield workload.scoring_workload(experiment.scoring, size, tokens)
        return
    for item in grid.trainings(experiment):
        training = memory.resolve_checkpointing(experiment, size, item)
        yield workload.training_workload(training, size, tokens, (tokens.prompt, tokens.response), 1.0)
