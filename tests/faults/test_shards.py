"""The rules that make a selection in shards, in place of `prune`: the same misfortunes as in test_matrix.py.

The scores are those of the undisturbed run, and so is the selection that the shards come to.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from prunegrid.core import parts
from prunegrid.core.files import read_json
from support.fault_checks import ROOT_ONLY, check_disk_full, check_read_only, check_unreadable, same_data
from support.fault_runs import (
    CONFIG,
    FIRST_OF,
    SHARD_RULES,
    R,
    Whole,
    captured_jobs,
    copy_run,
    files,
    kill_plan,
    on_a_small_disk,
    remove_files,
    run,
    targets,
)

PRUNED = f"pruned/m/{FIRST_OF['prune']['cell']}"
UNREADABLE = {
    "choose": "scores/m/extra/quality.parquet",
    "cut": f"{PRUNED}/choice.parquet",
    "gather_selection": f"{PRUNED}/selection/00001-of-00002.parquet",
}


@pytest.fixture(scope="module")
def sharded(whole: Whole, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The undisturbed run, one of whose selections is made again by two shards."""
    folder, kept = copy_run(whole.folder, tmp_path_factory.mktemp("sharded") / "run"), tmp_path_factory.mktemp("jobs")
    config = CONFIG | {"pruning": {"shards": 2}}
    (folder / "experiment.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    remove_files(folder, [f"{R}/{PRUNED}"])
    done = run(folder, f"{R}/{PRUNED}/selection.json", warm=whole.warm, keep=kept)
    assert (done.code, done.job_counts) == (0, {"choose": 1, "cut": 2, "gather_selection": 1}), done.text[-3000:]
    return Whole(folder, captured_jobs(kept), whole.warm, whole.digest)


@pytest.fixture(scope="module")
def small(sharded: Whole, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with on_a_small_disk(sharded.folder, tmp_path_factory.mktemp("small")) as folder:
        yield folder


def test_the_selection_is_that_of_one_job(whole: Whole, sharded: Whole) -> None:
    expected = pq.read_table(whole.folder / R / PRUNED / "selection.parquet")
    assert parts.read_parts(sharded.folder / R / PRUNED / "selection").equals(expected)


@pytest.mark.parametrize("rule", SHARD_RULES)
def test_killed(rule: str, sharded: Whole, tmp_path: Path) -> None:
    """Nothing half-written has a final name, and the same command makes what the undisturbed run made."""
    job, folder = sharded.jobs_by_rule[rule], copy_run(sharded.folder, tmp_path / "run")
    remove_files(folder, job.outputs)
    line = targets([job])
    first = run(folder, *line, warm=sharded.warm, jobs=kill_plan([job]))
    assert first.code != 0
    assert re.search(rf"rule {rule}:.*?log: {re.escape(job.log)}", first.text, re.DOTALL)
    assert "died with <Signals.SIGKILL: 9>" in first.text
    assert not files(folder) & set(job.outputs)
    again = run(folder, *line, warm=sharded.warm)
    assert (again.code, again.job_counts) == (0, {rule: 1})
    assert same_data(folder, sharded.folder, job.outputs)
    assert read_json(folder / R / PRUNED / "selection.json") == read_json(
        sharded.folder / R / PRUNED / "selection.json"
    )
    assert files(folder) == files(sharded.folder)


@ROOT_ONLY
@pytest.mark.parametrize("rule", SHARD_RULES)
def test_disk_full(rule: str, sharded: Whole, small: Path) -> None:
    check_disk_full(rule, sharded, small)


@ROOT_ONLY
@pytest.mark.parametrize("rule", SHARD_RULES)
def test_read_only(rule: str, sharded: Whole, small: Path) -> None:
    check_read_only(rule, sharded, small)


@pytest.mark.parametrize("rule", SHARD_RULES)
def test_unreadable(rule: str, sharded: Whole, small: Path) -> None:
    check_unreadable(rule, sharded, small, f"{R}/{UNREADABLE[rule]}")
