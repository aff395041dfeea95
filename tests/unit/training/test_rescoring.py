"""`training.rescore_every`: a block of steps is scored at its first step, and survives a restart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_json, read_parquet, write_parquet
from prunegrid.core.ragged import offsets_from_lengths
from prunegrid.experiment.training import Training
from prunegrid.pruners import Scores
from prunegrid.training.counters import Counters
from prunegrid.training.rescoring import RescoreInterval, Rescoring, from_table, scoring_block, to_table
from prunegrid.training.schedule import Timetable
from support.dynamic_selection import expected_log, pruning
from support.killed_jobs import Inputs, assert_same, inject_failure
from support.killed_jobs import run as run_killable
from support.resumed_jobs import Kills, kill_twice_and_resume
from support.training_jobs import SETTINGS, run


@pytest.mark.parametrize(
    ("every", "blocks"),
    [
        (1, [[0], [1], [2], [3], [4], [5], [6], [7]]),
        (2, [[0, 1], [2], [3, 4], [5], [6, 7]]),
        (3, [[0, 1, 2], [3, 4, 5], [6, 7]]),
        (100, [[0, 1, 2], [3, 4, 5], [6, 7]]),
        ("epoch", [[0, 1, 2], [3, 4, 5], [6, 7]]),
    ],
)
def test_blocks_begin_with_every_epoch(every: RescoreInterval, blocks: list[list[int]]) -> None:
    """Epochs of three steps; the job ends after eight, by `max_steps`."""
    assert [list(scoring_block(step, Timetable((0, 3, 6, 9), 8), every)) for step in range(8)] == [
        next(block for block in blocks if step in block) for step in range(8)
    ]


def scores_of(rows: Any, weights: float = 0.0) -> Scores:
    """Values that no rounding spares, different for every sample and state of the weights."""
    response = 1 + np.asarray(rows) % 4
    tokens_T = np.sin(np.arange(response.sum()) + np.repeat(rows, response) + weights).astype(np.float32)
    return Scores(
        sample_id=100 + np.asarray(rows),
        response_tokens=response,
        truncated=np.asarray(rows) % 3 == 0,
        offsets=offsets_from_lengths(response),
        samples={"nll": np.cos(np.asarray(rows) + weights), "ppl": np.exp(np.asarray(rows) / 7.0)},
        tokens={"nll": tokens_T, "fastv": tokens_T * 3},
        prompt_tokens=2 + response,
    )


def assert_equal(actual: Scores, expected: Scores) -> None:
    for name in ("sample_id", "response_tokens", "truncated", "offsets", "prompt_tokens"):
        np.testing.assert_array_equal(getattr(actual, name), getattr(expected, name))
    for kind in ("samples", "tokens"):
        left, right = getattr(actual, kind), getattr(expected, kind)
        assert left.keys() == right.keys()
        for name in left:
            assert left[name].dtype == right[name].dtype and left[name].tobytes() == right[name].tobytes()


@pytest.mark.parametrize(("start", "number"), [(0, 9), (0, 4), (3, 5), (8, 1), (9, 0), (0, 0)])
def test_a_table_gives_back_the_very_scores(start: int, number: int, tmp_path: Path) -> None:
    scores = scores_of(np.arange(9))
    write_parquet(tmp_path / "scores.parquet", to_table(scores).slice(start))
    expected = scores.take(np.arange(start, start + number))
    assert_equal(from_table(to_table(scores).slice(start, number)), expected)
    assert_equal(from_table(read_parquet(tmp_path / "scores.parquet").slice(0, number)), expected)


PLAN = [[[0, 1], [2]], [[3], []], [[4, 5], [6]], [[], []], [[6, 1], [0]], [[2], [3]]]
TABLE = Timetable((0, 3, 6), 6)  # two epochs of three steps


@pytest.mark.parametrize("every", [1, 2, "epoch"])
@pytest.mark.parametrize("restart", [None, 1, 2, 4])
def test_steps_use_the_scores_of_their_blocks_first_step(
    every: RescoreInterval, restart: int | None, tmp_path: Path
) -> None:
    """Also where the job ends before step `restart` and another goes on from its checkpoint."""
    counters, scored, step = Counters(0), [], 0

    def score(rows: Any) -> Scores:
        scored.append(step)
        return scores_of(rows, weights=step)

    rescoring = Rescoring(PLAN, TABLE, every, score, counters)
    for step in range(len(PLAN)):
        if step == restart:
            counters.save(tmp_path)
            counters = Counters(0)
            counters.load(tmp_path, step)
            rescoring = Rescoring(PLAN, TABLE, every, score, counters)
        rows = np.array([row for batch in PLAN[step] for row in batch], dtype=np.int64)
        first = scoring_block(step, TABLE, every).start
        block = [row for one in PLAN[first:step] for batch in one for row in batch]
        whole = scores_of(np.array([*block, *rows], dtype=np.int64), weights=first)
        assert_equal(rescoring.scores(step), whole.take(np.arange(len(block), len(whole))))
    assert scored == sorted({scoring_block(step, TABLE, every).start for step in range(len(PLAN))})
    assert counters.scores is None, "after a block nothing is left of it"


def test_a_checkpoint_between_two_blocks_holds_no_scores(tmp_path: Path) -> None:
    counters = Counters(0)
    rescoring = Rescoring(PLAN, TABLE, 2, scores_of, counters)
    held = []
    for step in range(3):
        rescoring.scores(step)
        counters.save(tmp_path / str(step))
        held.append((tmp_path / str(step) / "scores-0.parquet").exists())
    assert held == [True, False, False]


@pytest.fixture(scope="module", autouse=True)
def started_warm(warm_module: None) -> None:
    pass


@pytest.mark.parametrize(
    ("every", "form"),
    [
        (2, {"ranks": 2}),
        ("epoch", {"zero_stage": 3, "ranks": 2, "gradient_accumulation_steps": 1, "max_steps": 5}),
        pytest.param(2, {"packing": False}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_fixed_weights_select_the_same_at_any_interval(
    every: RescoreInterval, form: dict[str, Any], tmp_path: Path, tiny_model: Path, scores: Path
) -> None:
    form = {"mode": "dynamic", "learning_rate": 0, "batch_tokens": 64, "rescore_every": every} | form
    report = run(tmp_path, tiny_model, scores, pruning=pruning("infobatch+fastv"), **form)
    log = pq.read_table(tmp_path / "selection_log.parquet").to_pylist()
    assert log == expected_log(scores, "infobatch+fastv", Training(**SETTINGS | form))
    assert report["training"]["rescore_every"] == every
    assert read_json(tmp_path / "selection.json")["rescore_every"] == every


def test_learning_weights_select_by_their_blocks_start(tmp_path: Path, tiny_model: Path, scores: Path) -> None:
    """Scored once an epoch, the whole first epoch is that of weights that stand still, and the second is not."""
    form = {"mode": "dynamic", "learning_rate": 1e-2, "warmup_ratio": 0, "rescore_every": "epoch"}
    run(tmp_path, tiny_model, scores, pruning=pruning("infobatch+ppl"), **form)
    log = pq.read_table(tmp_path / "selection_log.parquet").to_pylist()
    still = expected_log(scores, "infobatch+ppl", Training(**SETTINGS | form))
    for epoch, same in ((0, True), (1, False)):
        assert ([r for r in log if r["epoch"] == epoch] == [r for r in still if r["epoch"] == epoch]) == same


@pytest.mark.parametrize(
    ("settings", "kills"),
    [
        (
            {"rescore_every": 2, "ranks": 2, "gradient_accumulation_steps": 1},
            Kills(2, "killed after", "killed while writing"),
        ),
        ({"rescore_every": "epoch"}, Kills(3, "killed before", "killed before renaming")),
    ],
    ids=str,
)
def test_job_killed_within_a_block_resumes_with_its_scores(
    settings: dict[str, Any],
    kills: Kills,
    tmp_path: Path,
    inputs: Inputs,
    undisturbed: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings |= {"dynamic": True}
    kill_twice_and_resume(tmp_path, inputs, undisturbed, monkeypatch, settings, kills)


def test_a_job_asked_to_score_less_often_starts_anew(
    tmp_path: Path, inputs: Inputs, undisturbed: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    inject_failure(monkeypatch, "killed before", step=3)
    with pytest.raises(PrunegridError, match=r"SIGKILL|exit code 1"):
        run_killable(tmp_path, inputs, save_steps=1, dynamic=True)
    inject_failure(monkeypatch)
    report = run_killable(tmp_path, inputs, save_steps=1, dynamic=True, rescore_every=2)
    assert report["resumed"] == []
    assert_same(tmp_path, undisturbed(dynamic=True, rescore_every=2))
