"""What can go wrong on one machine, rule by rule; docs/explanation/reliability.md says what is promised.

Every rule is killed under the real Snakemake, several that do not need one another in one run (`GROUPS`). A full
disk, a read-only mount and unreadable input befall the very scripts that Snakemake had started, by themselves; that
Snakemake takes their failures alike is in test_under_snakemake.py.
"""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from prunegrid.core.files import read_json
from support import fault_runs
from support.fault_checks import ROOT_ONLY, check_disk_full, check_read_only, check_unreadable, same_data
from support.fault_runs import (
    FIRST,
    GROUPS,
    RULES,
    SHARD_RULES,
    TARGETS,
    Captured,
    R,
    Run,
    Whole,
    copy_run,
    descendants,
    files,
    kill_plan,
    on_a_small_disk,
    output,
    remove_files,
    run,
    targets,
)
from support.snakemake_runs import ROOT

ONERROR_RULES = {"record", "collect", "report", "table"}
"""What `onerror` writes, too, so that a failed run leaves a table and a page."""
TRAINING = ("train", "train_dynamic")
FIRST_CELL = f"m/{FIRST['cell']}"
UNREADABLE = {
    "dataset": "world/sandbox/sft/default/train.jsonl",
    "benchmark_items": "world/sandbox/ai2_arc/ARC-Easy/test.jsonl",
    "model": "world/sandbox/pretrain/default/train.jsonl",
    "score": "data/sandbox-sft.parquet",
    "gather_scores": "scores/m/shards/2-of-2/tokens.parquet",
    "contamination": "data/sandbox-sft.parquet",
    "extra_score": "scores/m/tokens.parquet",
    "vector_score": "scores/m/meta.json",
    "query_score": "world/sandbox/gsm8k/main/train.jsonl",
    "imported_column": "scores/m/samples.parquet",
    "prune": "scores/m/extra/hidden_mean.arrow",
    "train": f"pruned/{FIRST_CELL}/selection.parquet",
    "train_dynamic": "scores/m/meta.json",
    "evaluate": "data/benchmarks/ARC-C.jsonl",
    "collect": "evaluation/m/zero-shot/ARC-E.json",
    "table": "deltas.parquet",
    "figures": "scores/m/samples.parquet",
    "report": "scores/m/samples.parquet",
    "audit": "scores/m@seed1/extra/ifd.parquet",
}


class Killed(NamedTuple):
    """A group's jobs killed, what that left, and the same command once more."""

    first: Run
    left: set[str]
    again: Run
    resumed: dict[str, list[int]]


class Kills(NamedTuple):
    """All groups', in a folder that is then finished by the whole workflow."""

    folder: Path
    by_rule: dict[str, Killed]
    last: Run


@pytest.fixture(scope="module")
def killed(whole: Whole, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Killed, Kills]]:
    """What befell a rule and its half of the groups: one half is disturbed beside the other, in a copy of its own."""
    halves = [GROUPS[:3], GROUPS[3:]]
    with ThreadPoolExecutor(2) as pool:
        made: list[Future[Kills]] = [
            pool.submit(kill_all, whole, half, copy_run(whole.folder, tmp_path_factory.mktemp("killed") / "run"))
            for half in halves
        ]

    def kills_of(rule: str) -> tuple[Killed, Kills]:
        kills = next(future.result() for future in made if rule in future.result().by_rule)
        return kills.by_rule[rule], kills

    return kills_of


def kill_all(whole: Whole, groups: tuple[tuple[str, ...], ...], folder: Path) -> Kills:
    outcome: dict[str, Killed] = {}
    for group in groups:
        jobs = [whole.jobs_by_rule[rule] for rule in group]
        remove_files(folder, [name for job in jobs for name in job.outputs])
        remove_files(folder, [f"{R}/evaluation/m/zero-shot/cache"])
        line = targets(jobs)
        first = run(folder, *line, cores=1, warm=whole.warm, jobs=kill_plan(jobs))
        left = files(folder)
        again = run(folder, *line, cores=1, warm=whole.warm)
        manifests = {job.rule: folder / output(job, "training.json") for job in jobs if job.rule in TRAINING}
        resumed = {rule: read_json(path)["resumed"] for rule, path in manifests.items()}
        outcome |= dict.fromkeys(group, Killed(first, left, again, resumed))
    return Kills(folder, outcome, run(folder, f"{R}/results.parquet", warm=whole.warm))


def test_every_rule_is_here(whole: Whole) -> None:
    text = "".join(path.read_text() for path in [ROOT / "workflow/Snakefile", *(ROOT / "workflow/rules").glob("*.smk")])
    rules = set(re.findall(r"^ *(?:use rule \w+ as|rule) (\w+)(?: with)?:", text, re.MULTILINE))
    imported = {"import_scores"}  # only of the user's own files: tests/workflow/test_imported.py
    in_shards = {*SHARD_RULES}  # in place of `prune`: tests/faults/test_shards.py
    assert rules - {"all"} - imported - in_shards == {*RULES} == {*whole.jobs_by_rule}


@pytest.mark.parametrize("rule", RULES)
def test_killed(rule: str, whole: Whole, killed: Callable[[str], tuple[Killed, Kills]]) -> None:
    """Nothing half-written has a final name, and the same command makes what the undisturbed run made."""
    job, (outcome, kills) = whole.jobs_by_rule[rule], killed(rule)
    assert outcome.first.code != 0
    assert re.search(rf"rule {rule}:.*?log: {re.escape(job.log)}", outcome.first.text, re.DOTALL)
    if rule in TRAINING:
        pattern = "^training: killed by SIGKILL; the checkpoint of step . is intact; the same command resumes"
        assert re.search(pattern, outcome.first.messages[job.log])
        assert outcome.resumed[rule]
    else:
        assert "died with <Signals.SIGKILL: 9>" in outcome.first.text
    assert rule in ONERROR_RULES or not outcome.left & set(job.outputs)
    assert outcome.again.code == 0, outcome.again.text[-3000:]
    assert outcome.again.job_counts.get(rule, 0) == 1 or rule in ONERROR_RULES
    assert same_data(kills.folder, whole.folder, job.outputs)


@pytest.mark.parametrize("rule", [group[0] for group in GROUPS])
def test_nothing_else_ran_again(rule: str, whole: Whole, killed: Callable[[str], tuple[Killed, Kills]]) -> None:
    """And the table's numbers are those of the undisturbed run."""
    outcome, kills = killed(rule)
    group = next(group for group in GROUPS if rule in group)
    assert set(outcome.first.job_counts) <= {*group}
    assert set(outcome.again.job_counts) - ONERROR_RULES <= {*group}
    assert kills.last.code == 0, kills.last.text[-3000:]
    assert fault_runs.digest(kills.folder) == whole.digest
    assert not [name for name in files(kills.folder) if name.endswith(".tmp")]


@pytest.fixture(scope="module")
def small(whole: Whole, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with on_a_small_disk(whole.folder, tmp_path_factory.mktemp("small")) as folder:
        yield folder


@ROOT_ONLY
@pytest.mark.parametrize("rule", RULES)
def test_disk_full(rule: str, whole: Whole, small: Path) -> None:
    """So full that not even the log can be written."""
    check_disk_full(rule, whole, small)


@ROOT_ONLY
@pytest.mark.parametrize("rule", RULES)
def test_read_only(rule: str, whole: Whole, small: Path) -> None:
    check_read_only(rule, whole, small)


@pytest.mark.parametrize("rule", RULES)
def test_unreadable(rule: str, whole: Whole, small: Path) -> None:
    """Root reads everything, so the job is without that right."""
    if not whole.jobs_by_rule[rule].inputs:
        pytest.skip(f"{rule} reads no file of the workflow")
    check_unreadable(rule, whole, small, f"{R}/{UNREADABLE[rule]}")


REQUESTED = (
    "audit",
    "collect",
    "evaluate",
    "figures",
    "published",
    "prune",
    "report",
    "table",
    "train",
    "train_dynamic",
)
"""Whose outputs are asked for by name: a lost file that only others read is not missed until one of them needs it."""
READ = ("dataset", "gather_scores", "imported_column", "prune", "train_dynamic")


@pytest.mark.parametrize(
    "rule", [rule if rule in READ else pytest.param(rule, marks=pytest.mark.exhaustive) for rule in RULES]
)
def test_only_the_producer_and_its_descendants_run_again(rule: str, whole: Whole) -> None:
    """After a repair: what a consumer could not read is removed, and the consumer has left nothing."""
    job = whole.jobs_by_rule[rule]
    gone = [other.outputs[0] for other in to_a_wanted_one(whole, job)]
    away = whole.folder / "away"
    away.mkdir()
    for number, name in enumerate(gone):
        (whole.folder / name).rename(away / str(number))
    try:
        planned = run(whole.folder, "--dry-run", *TARGETS)
    finally:
        for number, name in enumerate(gone):
            (away / str(number)).rename(whole.folder / name)
        away.rmdir()
    assert planned.job_counts == descendants(whole.jobs, job.outputs)


def to_a_wanted_one(whole: Whole, job: Captured) -> list[Captured]:
    """The job, a job that reads what it makes, and so on until one is `REQUESTED`."""
    readers = [other for other in whole.jobs if {*other.inputs} & {*job.outputs}]
    # The first output is what is lost: jobs that read it, first. The order of `whole.jobs` changes from run to run.
    readers.sort(key=lambda other: job.outputs[0] not in other.inputs)
    if job.rule in REQUESTED and not readers:
        return [job]
    following = next((other for other in readers if other.rule in REQUESTED), None)
    return [job, following] if following else [job, *to_a_wanted_one(whole, readers[0])]
