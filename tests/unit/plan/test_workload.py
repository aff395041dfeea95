"""The cost model: operations and layer passes of a job by hand, and the seconds that they take at a rate."""

from dataclasses import replace
from typing import Any

import pytest
import yaml

from prunegrid.experiment import config
from prunegrid.experiment.training import Training
from prunegrid.models.architecture import Shape
from prunegrid.models.size import Size
from prunegrid.plan import counts, gpu_rates, workload
from prunegrid.plan.epochs import realised_ratio
from prunegrid.plan.workload import Workload, seconds
from prunegrid.pruners import PruningSpec
from support.results_folder import an_experiment
from support.snakemake_runs import ROOT

PAPER = config.load(yaml.safe_load((ROOT / "experiments/paper.yaml").read_text()))

TINY = Size(10_000, "known", Shape(10, 20, 10, 2, 100, tied=True))

ROWS = {"sample_ratio": 0.25, "token_ratio": 1.0}
BY_EPOCH = {"mode": "dynamic", "prune_samples": "epoch"}
TOKENS = counts.TokenCounts(640, 6400, 19_200, "known")


def test_forward_operations_by_hand() -> None:
    """Head 10 x 100, tied: 9,000 parameters inside. 50 tokens x (18,000 + 2 x 2 x 10 x 30) + 20 x 2,000."""
    assert workload.forward_operations(TINY, 50, 30, 20) == 50 * (18_000 + 1_200) + 40_000


@pytest.mark.parametrize(
    ("changes", "times", "through"),
    [
        ({"method": "full"}, 3, 6400 + 19_200),
        ({"method": "lora"}, 2, 6400 + 19_200),
        ({"method": "lora", "gradient_checkpointing": True}, 3, 6400 + 19_200),
        ({"method": "full", "removal": "drop"}, 3, 6400 + 9600),
    ],
    ids=["full", "lora", "checkpointing", "drop"],
)
def test_training_operations_by_hand(changes: dict[str, Any], times: int, through: int) -> None:
    """640 samples / (8 x 4) = 20 steps an epoch, 2 epochs; half of the 19,200 response tokens are learned."""
    training = Training.model_validate({"num_train_epochs": 2, "batch_tokens": 1000} | changes)
    actual = workload.training_workload(training, TINY, TOKENS, (6400.0, 19_200.0), 0.5)
    assert actual.steps == 40
    assert actual.operations == 2 * times * workload.forward_operations(TINY, through, 40, 9600)
    passes = 2 if through == 25_600 else 1  # 1,280 or 800 tokens a step, 1,000 a pass
    assert actual.layers == 40 * times * passes * 2


def test_training_operations_are_shared_by_ranks() -> None:
    """640 / (8 x 4 x 4) = 5 steps an epoch, a quarter of the operations for each rank."""
    one, four = (workload.training_workload(Training(ranks=n), TINY, TOKENS, (6400.0, 19_200.0), 1.0) for n in (1, 4))
    assert (one.steps, four.steps) == (60, 15)
    assert four.operations == one.operations / 4


def test_dynamic_training_also_scores_every_candidate() -> None:
    kept = (800.0, 2400.0)
    static, dynamic = (
        workload.training_workload(Training(mode=mode), TINY, TOKENS, kept, 0.5) for mode in ("static", "dynamic")
    )
    assert dynamic.operations == static.operations
    assert dynamic.scored == 3 * workload.forward_operations(TINY, 25_600, 40, 19_200)
    assert dynamic.mini_batches == 60 * 4


@pytest.mark.parametrize(
    ("every", "passes"), [(1, 2), (4, 6 / 4), (1000, 26 / 20), ("epoch", 26 / 20)], ids=["1", "4", "1000", "epoch"]
)
def test_dynamic_scoring_fills_its_passes(every: int | str, passes: float) -> None:
    """20 steps an epoch of 1,280 tokens, 1,000 a pass: 2 a step, 6 in four steps, 26 in an epoch."""
    training = Training.model_validate({"mode": "dynamic", "rescore_every": every, "batch_tokens": 1000})
    assert workload.scoring_passes(training, 1280, 20) == passes
    kept = (800.0, 2400.0)
    static = workload.training_workload(training.model_copy(update={"mode": "static"}), TINY, TOKENS, kept, 0.5)
    dynamic = workload.training_workload(training, TINY, TOKENS, kept, 0.5)
    assert dynamic.layers - static.layers == pytest.approx(60 * passes * 2)


def test_training_max_steps_decides() -> None:
    actual = workload.training_workload(Training(max_steps=10), TINY, TOKENS, (6400.0, 19_200.0), 1.0)
    assert actual.steps == 10
    assert actual.operations == pytest.approx(0.5 * 2 * workload.forward_operations(TINY, 25_600, 40, 19_200))


def test_evaluation_workload_by_hand() -> None:
    """100 items: 80 prompt tokens, then 130 of an answer one by one; 100 x (80 + 256) tokens are 5 passes of 8,192."""
    benchmarks = {"G": {"task": "gsm8k", "data": {"path": "d.jsonl"}}}
    asked = counts.BenchmarkSize(100, 80, 0, 130, 256, True)
    actual = workload.evaluation_workload(an_experiment(evaluation={"benchmarks": benchmarks}), TINY, [asked])
    assert actual.operations == workload.forward_operations(TINY, 8000, 80, 100) + workload.forward_operations(
        TINY, 13_000, 210, 13_000
    )
    assert actual.layers == 5 * 257 * 2
    assert actual.read == 5 * 256 * 10_000 * 4


def test_seconds_of_work() -> None:
    """Scoring has two threads of 5e10 each; on a GPU a process starts 10 s later, and its rates are its model's."""
    job = Workload(operations=1e12, layers=1000, table_tokens=1e7, loaded=2e9)
    assert seconds("score", job, "cpu") == pytest.approx(4.5 + 10 + 0.6 + 3 + 2)
    seven = Workload(operations=3.2e15, bf16=True, kind="lora", parameters=7 * 10**9)
    assert seconds("train", replace(seven, steps=100), "cuda") == pytest.approx(6 + 10 + 10 + 3)
    assert seconds("train", replace(seven, scored=9.2e15), "cuda") == pytest.approx(6 + 10 + 10 + 20)
    assert seconds("train", replace(seven, bf16=False), "cuda") == pytest.approx(6 + 10 + 64)
    assert seconds("prune", Workload(table_tokens=1e6), "cuda") == pytest.approx(0.7 + 0.3), "it uses no GPU"
    decoding = Workload(layers=1000, read=6e12)
    assert seconds("evaluate", decoding, "cuda") == pytest.approx(5 + 10 + 2), "weights are read while layers start"


@pytest.mark.parametrize(
    ("parameters", "forward"), [(7 * 10**9, 4.6e14), (10**8, 3.3e14), (3 * 10**9, 4.6e14), (0, 3.3e14)]
)
def test_gpu_rates_of_a_model_are_those_of_the_nearest_size(parameters: int, forward: float) -> None:
    assert gpu_rates.ESTIMATED.operations("forward", parameters, bf16=True) == forward


@pytest.mark.parametrize(
    ("changes", "ratio", "options", "expected"),
    [
        ({"mode": "dynamic"}, 0.0625, {}, 1 / 8),  # half a sample of 8: one is kept
        ({"mode": "dynamic"}, 0.3, {}, 2 / 8),
        ({"mode": "dynamic"}, 0.3125, {"sample_count": "round"}, 2 / 8),
        ({"mode": "dynamic"}, 0.35, {"sample_count": "round"}, 3 / 8),
        ({"mode": "dynamic", "per_device_train_batch_size": 16}, 0.0625, {}, 1 / 16),
        ({"mode": "dynamic", "prune_samples": "epoch"}, 0.0625, {}, 0.0625),
        ({"mode": "static"}, 0.0625, {}, 0.0625),
    ],
)
def test_mini_batches_keep_a_whole_number_of_samples(
    changes: dict[str, Any], ratio: float, options: dict[str, Any], expected: float
) -> None:
    training = Training.model_validate(changes)
    pruning = PruningSpec(method="qtuning", options=options, sample_ratio=ratio, token_ratio=0.5)
    assert realised_ratio(training, pruning) == expected


@pytest.mark.parametrize(
    ("changes", "method", "steps", "trained", "scored"),
    [
        # 160 of 640 samples in steps of 32, three epochs; 8 of a mini-batch become 2.
        ({"steps": "kept"}, "random+random", 15, 3.0, 0.0),
        ({"steps": "kept", "prune_twice": True}, "random+random", 15, 0.75, 0.0),
        ({"prune_twice": True}, "random+random", 60, 0.75, 0.0),
        ({"mode": "dynamic", "prune_twice": True}, "random+random", 60, 1.5, 12.0),  # one of 2 that are kept of 8
        (BY_EPOCH, "random+random", 60, 3.0, 3.0),
        (BY_EPOCH | {"steps": "kept", "prune_twice": True}, "random+random", 15, 0.75, 0.75),
        # InfoBatch's first epoch has all 640 samples, 20 steps, and every visit is scored.
        (BY_EPOCH | {"steps": "kept", "prune_twice": True}, "infobatch+random", 30, 1.5, 6.0),
        ({"steps": "kept"}, "all", 60, 3.0, 0.0),
    ],
)
def test_epochs_that_are_as_long_as_what_is_kept(
    changes: dict[str, Any], method: str, steps: int, trained: float, scored: float
) -> None:
    """`trained` and `scored` are in tokens of the 160 samples that an epoch keeps, 1,600 of prompts and 4,800."""
    options = {"infobatch": "epochs"} if method.startswith("infobatch") else {}
    pruning = PruningSpec(method=method, options=options, **ROWS)
    training = Training.model_validate({"method": "full", "batch_tokens": 10_000} | changes)
    actual = workload.training_workload(training, TINY, TOKENS, (1600.0, 4800.0), 1.0, pruning)
    assert actual.steps == steps
    assert actual.operations == pytest.approx(3 * trained * workload.forward_operations(TINY, 6400, 40, 4800))
    assert actual.scored == pytest.approx(scored * workload.forward_operations(TINY, 6400, 40, 4800))
