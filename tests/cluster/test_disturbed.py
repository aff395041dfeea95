"""One sandbox experiment on a real Slurm, whose three trainings are all disturbed after their first checkpoint.

One is cancelled, one over its time limit, one loses its node and is then requeued. The run ends with the scores of one
that nothing happened to, and the scheduler's records say that nothing else ran twice.
"""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from prunegrid.core.files import read_json
from support import slurm_runs
from support.private_slurm import PrivateSlurm

MODEL = "sandbox-1M"
CELLS = ("full/seed0", *(f"s0.125-t0.5/{name}/seed0" for name in slurm_runs.CONFIG["variants"]))


class Disturbed(NamedTuple):
    folder: Path
    submissions: Counter[str]
    attempts: dict[str, list[int]]
    cancelled: str
    late: str
    moved: str


@pytest.fixture(scope="module")
def disturbed(
    slurm: PrivateSlurm, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Disturbed:
    folder = tmp_path_factory.mktemp("disturbed")
    trained = folder / "results/sandbox/trained" / MODEL
    for cell in CELLS:
        (trained / cell).mkdir(parents=True)
        (trained / cell / "hold").touch()
    with slurm_runs.started(slurm, folder, slurm_runs.TABLE, mine=slurm_runs.USER_PROFILE) as process:
        request.getfixturevalue("undisturbed")  # runs meanwhile
        slurm.wait_for(lambda: all(_saved(trained / cell) for cell in CELLS), "first checkpoints", 600)
        events = _disturb(slurm, trained)
        slurm_runs.finish(process, folder)
    records = slurm.jobs()
    attempts = {cell: [job for job, comment in records.items() if _is_of(comment, cell)] for cell in CELLS}
    return Disturbed(folder, Counter(records.values()), attempts, *events)


def _disturb(slurm: PrivateSlurm, trained: Path) -> tuple[str, str, str]:
    """Two jobs run on one node, the third on the other. A cell may go on (no `hold`) once its job has met its fate."""
    jobs = {cell: job for job, comment in slurm.jobs("running").items() for cell in CELLS if _is_of(comment, cell)}
    nodes = {cell: slurm.detail(job, "NodeList") for cell, job in jobs.items()}
    (moved,) = (cell for cell in CELLS if [*nodes.values()].count(nodes[cell]) == 1)
    cancelled, late = (cell for cell in CELLS if cell != moved)

    slurm.call("scontrol", "update", f"JobId={jobs[late]}", "TimeLimit=1")
    slurm.call("scancel", str(jobs[cancelled]))
    slurm.wait_for(lambda: slurm.detail(jobs[cancelled], "JobState") == "CANCELLED", "cancelled job")
    (trained / cancelled / "hold").unlink()
    slurm.call("scontrol", "update", f"NodeName={nodes[moved]}", "State=DOWN", "Reason=test")
    slurm.wait_for(lambda: _restarts(slurm, jobs[moved]) == 1, "job started again", 120)
    slurm.call("scontrol", "requeue", str(jobs[moved]))
    slurm.wait_for(lambda: _restarts(slurm, jobs[moved]) == 2, "job started a third time", 120)
    (trained / moved / "hold").unlink()
    slurm.wait_for(lambda: slurm.detail(jobs[late], "JobState") == "TIMEOUT", "job over its time limit", 180)
    (trained / late / "hold").unlink()
    return cancelled, late, moved


def test_ends_with_the_scores_of_the_undisturbed_run(disturbed: Disturbed, undisturbed: Path) -> None:
    assert slurm_runs.numbers(disturbed.folder) == slurm_runs.numbers(undisturbed)


def test_only_what_was_lost_was_submitted_again(disturbed: Disturbed) -> None:
    twice = {comment for comment, count in disturbed.submissions.items() if count > 1}
    assert {cell for cell in CELLS for comment in twice if _is_of(comment, cell)} == {
        disturbed.cancelled,
        disturbed.late,
    }
    assert len(twice) == 2 and max(disturbed.submissions.values()) == 2


def test_a_further_attempt_asks_for_more(disturbed: Disturbed, slurm: PrivateSlurm) -> None:
    first, second = disturbed.attempts[disturbed.cancelled]
    memory = [int(slurm.detail(job, "MinMemoryNode").removesuffix("M")) for job in (first, second)]
    assert memory[1] == 1.5 * memory[0]
    assert [slurm.detail(job, "TimeLimit") for job in (first, second)] == ["01:00:00", "01:30:00"]


def test_requeued_job_keeps_its_number(disturbed: Disturbed, slurm: PrivateSlurm) -> None:
    assert [_restarts(slurm, job) for job in disturbed.attempts[disturbed.moved]] == [2]


def test_every_training_went_on_from_a_checkpoint(disturbed: Disturbed) -> None:
    for cell in CELLS:
        report = read_json(disturbed.folder / "results/sandbox/trained" / MODEL / cell / "training.json")
        assert report["resumed"], f"{cell} began anew"


def test_small_jobs_share_a_submission(disturbed: Disturbed) -> None:
    grouped = ("rule_items_benchmark_items", "rule_prune_prune", "rule_report_collect_table")
    assert [disturbed.submissions[comment] for comment in grouped] == [1, 1, 1]


def test_training_has_its_gpus_and_partition(disturbed: Disturbed, slurm: PrivateSlurm) -> None:
    (job,) = disturbed.attempts[disturbed.moved]
    assert slurm.detail(job, "Partition") == "gpu"
    assert slurm.detail(job, "TresPerJob") == "gres:gpu:h100:4"
    assert slurm.detail(job, "NumNodes") == "1"


def _saved(cell: Path) -> bool:
    return any((cell / "checkpoints").glob("checkpoint-*"))


def _is_of(comment: str, cell: str) -> bool:
    return comment == f"rule_train_wildcards_{MODEL}_{cell.replace('/', '_')}"


def _restarts(slurm: PrivateSlurm, job: int) -> int:
    """How often the job was started again, as far as it runs."""
    return int(slurm.detail(job, "Restarts")) if slurm.detail(job, "JobState") != "PENDING" else 0
