"""`prune_samples: epoch`: whom each epoch keeps, what the last visits cost, and what is left of a mini-batch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from prunegrid.core.files import read_json
from prunegrid.experiment.training import Training
from prunegrid.pruners import Draw, KeptSamples, PruningSpec, choose_samples, select
from prunegrid.pruners.epochs import kept_in_epoch
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.training.counters import Counters, VisitLosses
from prunegrid.training.epochs import EpochPlans
from prunegrid.training.job import Job
from prunegrid.training.mini_batch import SampleStage
from prunegrid.training.schedule import Timetable, second_cut
from support.errors import refused
from support.killed_jobs import Inputs
from support.resumed_jobs import Kills, kill_twice_and_resume
from support.training_jobs import run

BY_EPOCH = {"mode": "dynamic", "prune_samples": "epoch"}
KEPT = {"steps": "kept", "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1, "num_train_epochs": 2}
EPOCHS = {"method": "infobatch+random", "options": {"infobatch": "epochs"}}


def spec(method: str, **options: Any) -> PruningSpec:
    return PruningSpec(method=method, sample_ratio=0.5, token_ratio=0.5, options=options).complete()


def plans(scores: Path, pruning: PruningSpec, rank: int = 0, **settings: Any) -> EpochPlans:
    training = Training(**BY_EPOCH | KEPT | settings)
    job = Job(model=Path("m"), scores=scores, pruning=pruning, training=training, seed=3)
    return EpochPlans(job, ScoresFolder(scores).sequences(), Counters(rank))


def begun(scores: Path, pruning: PruningSpec, step: int, **settings: Any) -> EpochPlans:
    made = plans(scores, pruning, **settings)
    made.begin(step, lambda own: own[None])
    return made


def rows(made: EpochPlans) -> list[int]:
    return sorted(row for step in made.plan.values() for batch in step for row in batch)


@pytest.mark.parametrize(("method", "redrawn"), [("random+random", True), ("longest+ppl", False)])
def test_an_epoch_keeps_what_the_sample_pruner_chooses_from_all_data(scores: Path, method: str, redrawn: bool) -> None:
    pruning, chosen = spec(method), []
    whole = ScoresFolder(scores).read_samples(pruning.needs)
    for epoch, first in ((0, 0), (1, 3)):
        made = begun(scores, pruning, first)
        expected = choose_samples(whole, pruning, Draw(3, epoch, 0, first / 6)).rows.tolist()
        assert rows(made) == expected and len(expected) == 10
        assert [[len(batch) for batch in step] for step in made.plan.values()] == [[4], [4], [2]]
        assert [*made.plan] == [first, first + 1, first + 2]
        chosen.append(expected)
    assert (chosen[0] != chosen[1]) is redrawn


def test_steps_full_spread_an_epochs_samples_over_the_steps_of_all_data(scores: Path) -> None:
    made = begun(scores, spec("random+random"), 0, steps="full")
    assert made.timetable == Timetable((0, 5, 10), 10)
    assert [[len(batch) for batch in step] for step in made.plan.values()] == [[2]] * 5
    cut = begun(scores, spec("random+random"), 0, steps="full", prune_twice=True)
    # 10 kept samples are groups of 4, 4 and 2, of which half stays.
    assert [[len(batch) for batch in step] for step in cut.plan.values()] == [[1]] * 5
    assert {*rows(cut)} < {*rows(made)}


@pytest.mark.parametrize("twice", [False, True])
def test_ranks_share_the_samples_of_one_rank(scores: Path, twice: bool) -> None:
    """The second cut is of the same groups of 4, whoever has them."""
    each = {"per_device_train_batch_size": 4, "prune_twice": twice, "steps": "kept"}
    one = begun(scores, spec("random+random"), 0, **each)
    two = []
    for rank in range(2):
        made = plans(scores, spec("random+random"), rank, **each, ranks=2)
        made.begin(0, lambda own: own[None])
        two += rows(made)
    assert sorted(two) == rows(one) and len(two) == (5 if twice else 10)


def test_losses_of_visits_are_means_over_the_padded_length(scores: Path) -> None:
    made = begun(scores, spec("infobatch+random", infobatch="epochs"), 0)
    folder = ScoresFolder(scores)
    table = pq.read_table(scores / "samples.parquet").to_pydict()
    length = [p + r for p, r in zip(table["prompt_tokens"], table["response_tokens"], strict=True)]
    own = [n * r for n, r in zip(table["nll"], table["response_tokens"], strict=True)]
    losses = made.counters.losses
    assert losses and losses.last_N == pytest.approx([s / t for s, t in zip(own, length, strict=True)], rel=1e-6)
    whole = folder.read_samples(spec("infobatch+random").needs)
    made.visit([[0, 1], [], [5]], whole.take(np.array([0, 1, 5])))
    widest = max(length[0], length[1])
    assert losses.seen_N[[0, 1, 5]] == pytest.approx([own[0] / widest, own[1] / widest, own[5] / length[5]], rel=1e-6)
    assert np.isnan(np.delete(losses.seen_N, [0, 1, 5])).all()


def test_ranks_take_over_each_others_visits() -> None:
    nan = np.nan
    losses = VisitLosses(np.array([1.0, 2.0, 3.0]), np.array([nan, 5.0, nan]))
    losses.close(lambda own: np.stack([own, [0.0, nan, nan]]))
    assert losses.last_N.tolist() == [0.0, 5.0, 3.0], "a loss of 0 is a visit; the third sample keeps its old one"
    assert np.isnan(losses.seen_N).all()


def test_infobatch_sees_all_samples_once_and_then_its_share(scores: Path) -> None:
    pruning = spec("infobatch+random", infobatch="epochs")
    assert [kept_in_epoch(pruning, 71, epoch) for epoch in range(3)] == [71, 35, 35]
    assert kept_in_epoch(spec("infobatch+random"), 71, 0) == 35
    made = begun(scores, pruning, 0)
    assert made.timetable == Timetable((0, 5, 8), 8) and rows(made) == list(range(20))
    assert made.counters.losses
    made.counters.losses.seen_N[:] = np.arange(20)[::-1]  # the last samples are the easiest: the mean is 9.5
    made.begin(5, lambda own: own[None])
    assert rows(made) == list(range(10)), "those of high loss, which come first in the data"
    assert made.samples(np.arange(10)).weight.tolist() == [1] * 10
    made.counters.losses.last_N = np.array([40.0, *range(19)])  # the mean is 10.55: 0 and 12 to 19
    made.epoch = -1
    made.begin(6, lambda own: own[None])
    high = [0, *range(12, 20)]
    assert [row for row in rows(made) if row in high] == high, "in the middle of an epoch nothing is gathered"
    (low,) = (row for row in rows(made) if row not in high)
    assert made.samples(np.array([0, low])).weight.tolist() == [1, 2]


def test_a_number_of_samples_that_no_one_counted_on_is_refused(scores: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = plans(scores, spec("random+random"))
    monkeypatch.setattr(made, "_planned", lambda epoch: 11)
    with refused("random+random", "keeps 10 samples in epoch 1", "11 were expected", fix="steps: full"):
        made.begin(0, lambda own: own[None])


def test_tokens_of_a_mini_batch_are_chosen_without_choosing_samples_again(scores: Path) -> None:
    pruning = spec("longest+ppl")
    whole = ScoresFolder(scores).read(pruning.needs)
    batch, draw = np.array([7, 2, 11]), Draw(3, 1, 4, 0.5)
    samples = KeptSamples.uniform("rank", 20)
    samples.weight[2] = 4
    kept = SampleStage(samples.take).select(whole.take(batch), batch, pruning, draw)
    assert kept.sample_id.tolist() == whole.sample_id[[2, 7, 11]].tolist() and kept.weight.tolist() == [4, 1, 1]
    every = select(whole.take(batch), pruning.model_copy(update={"sample_ratio": 1.0}), draw)
    assert kept.positions.tolist() == every.positions.tolist()


def test_a_second_cut_comes_after_the_sample_pruner(scores: Path) -> None:
    """Of 8 samples it keeps 4, and half of these are left, with the tokens that they would have kept."""
    pruning = spec("longest+ppl")
    whole, batch, draw = ScoresFolder(scores).read(pruning.needs), np.arange(8), Draw(3, 1, 4, 0.5)
    once = select(whole.take(batch), pruning, draw)
    twice = SampleStage(None, 0.5).select(whole.take(batch), batch, pruning, draw)
    left = second_cut(once.sample_id, 3, 1, 0.5)
    assert len(left) == 2 and twice.sample_id.tolist() == once.sample_id[left].tolist()
    assert [twice.kept_positions(i).tolist() for i in range(2)] == [once.kept_positions(i).tolist() for i in left]
    joint = SampleStage(None, 0.5).select(
        ScoresFolder(scores).read(spec("qtuning").needs).take(batch), batch, spec("qtuning"), draw
    )
    assert len(joint) == 2


def losses_by_hand(scores: Path, plan: list[list[list[int]]]) -> list[float]:
    """Of samples that were seen in these micro-batches, under the base model's weights."""
    table = pq.read_table(scores / "samples.parquet").to_pydict()
    length = [p + r for p, r in zip(table["prompt_tokens"], table["response_tokens"], strict=True)]
    losses = [0.0] * len(length)
    for batch in (batch for step in plan for batch in step):
        for row in batch:
            losses[row] = table["nll"][row] * table["response_tokens"][row] / max(length[other] for other in batch)
    return losses


@pytest.mark.training
@pytest.mark.parametrize("ranks", [1, 2])
def test_infobatch_epochs_in_a_job_of_weights_that_stand_still(
    ranks: int, tmp_path: Path, tiny_model: Path, scores: Path, warm: None
) -> None:
    """The second epoch keeps what the losses of the first one say, seen in its own micro-batches."""
    each = {"per_device_train_batch_size": 4 // ranks, "ranks": ranks}
    pruning = spec(**EPOCHS["options"], method=EPOCHS["method"])
    report = run(tmp_path, tiny_model, scores, pruning=pruning, seed=3, **BY_EPOCH | KEPT | each | {"learning_rate": 0})
    log = pq.read_table(tmp_path / "selection_log.parquet").to_pydict()
    ids = ScoresFolder(scores).sequences().sample_id_N.tolist()
    first = [begun(scores, pruning, 0, **each)]
    if ranks == 2:
        first.append(plans(scores, pruning, 1, **each))
        first[1].begin(0, lambda own: own[None])
    loss = np.array(losses_by_hand(scores, [step for made in first for step in made.plan.values()]))
    high = np.flatnonzero(loss >= loss.mean()).tolist()
    kept = [
        [ids.index(number) for number, of in zip(log["sample_id"], log["epoch"], strict=True) if of == e]
        for e in (0, 1)
    ]
    assert sorted(kept[0]) == list(range(20)) and len(kept[1]) == 10
    assert len(high) != 10 and {*high[:10]} <= {*kept[1]}, "as many of those above the mean as fit, in the data's order"
    assert (report["steps"], report["steps_per_epoch"], report["epochs"]) == (8, 4, 2)
    assert (report["candidate_samples"], report["sample_passes"]) == (20, 30)
    summary = read_json(tmp_path / "selection.json")
    assert (summary["n_samples"], summary["n_kept_samples"]) == (40, 30)
    assert summary["realised"]["samples"] == 0.75 and summary["nominal"]["samples"] == 0.5


@pytest.mark.training
def test_the_learning_rate_is_laid_out_for_all_the_data(tmp_path: Path, inputs: Inputs, warm: None) -> None:
    """10 of 20 samples are kept: 3 steps of 5 an epoch."""
    rates = {}
    for length in ("taken", "full"):
        report = run(
            tmp_path / length,
            *inputs,
            learning_rate=1e-3,
            lr_scheduler_type="linear",
            warmup_ratio=0,
            scheduler_steps=length,
            **KEPT | {"num_train_epochs": 1},
        )
        rates[length] = [entry["learning_rate"] for entry in report["loss_curve"]]
    assert rates["taken"] == pytest.approx([1e-3, 1e-3 * 2 / 3, 1e-3 / 3])
    assert rates["full"] == pytest.approx([1e-3, 1e-3 * 4 / 5, 1e-3 * 3 / 5])


FORMS: dict[str, dict[str, Any]] = {
    "static": KEPT | {"prune_twice": True, "scheduler_steps": "full"},
    "batch": {"dynamic": True, "prune_twice": True},
    "epoch": KEPT
    | {"dynamic": True, "prune_samples": "epoch", "prune_twice": True, "pruning": {"method": "random+ppl"}},
    "epoch, steps full": {"dynamic": True, "prune_samples": "epoch", "rescore_every": 2, "pruning": EPOCHS},
    "infobatch": {
        **KEPT,
        "dynamic": True,
        "prune_samples": "epoch",
        "prune_twice": True,
        "pruning": EPOCHS,
        "per_device_train_batch_size": 8,
        "max_steps": 6,
    },
}


@pytest.mark.training
@pytest.mark.parametrize(
    ("form", "ranks"),
    [("static", 1), ("batch", 1), ("epoch", 2), ("epoch, steps full", 2), ("infobatch", 1), ("infobatch", 2)],
)
def test_killed_and_resumed_within_an_epoch(
    form: str,
    ranks: int,
    tmp_path: Path,
    inputs: Inputs,
    undisturbed: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    warm: None,
) -> None:
    """Epochs begin with steps 1 and 4; of InfoBatch's, the first has three steps, later ones two."""
    settings = FORMS[form] | {"ranks": ranks}
    if ranks == 2:
        size = settings.get("per_device_train_batch_size", 4)
        settings |= {"per_device_train_batch_size": size // 2}
    kills = Kills(3, "killed before", "killed while writing")
    kill_twice_and_resume(tmp_path, inputs, undisturbed, monkeypatch, settings, kills)
