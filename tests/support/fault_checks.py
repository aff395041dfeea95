"""What is asked of each rule's job, alone in a copy of an undisturbed run, when its disk or its input fails."""

import os
import re
from pathlib import Path

import pytest

from support.fault_runs import R, Whole, disk_full, files, outputs_removed, remove_files, replay, script

REFUSED = r"^results/\S+: cannot be written \(.*%s.*\); make .*, then rerun the same command$"
ROOT_ONLY = pytest.mark.skipif(os.getuid() != 0, reason="mounting takes root")


def check_disk_full(rule: str, whole: Whole, small: Path) -> None:
    """`small` is a copy of the run `whole` on a disk of its own."""
    job = whole.jobs_by_rule[rule]
    with outputs_removed(small, job, whole.folder):
        remove_files(small, [job.log])
        with disk_full(small):
            refuses(rule, whole, small, REFUSED % "No space left.*GB free there", [])


def check_read_only(rule: str, whole: Whole, small: Path) -> None:
    with outputs_removed(small, whole.jobs_by_rule[rule], whole.folder):
        refuses(rule, whole, small, REFUSED % "Read-only file system", ["read-only", str(small / "results")])


def check_unreadable(rule: str, whole: Whole, small: Path, name: str) -> None:
    """The job may not read its input `name`."""
    pattern = rf"^{re.escape(name)}: cannot be read \(Permission denied\); .*, then rerun the same command$"
    with outputs_removed(small, whole.jobs_by_rule[rule], whole.folder):
        (small / name).chmod(0)
        refuses(rule, whole, small, pattern, ["not root"])
        (small / name).chmod(0o644)


def refuses(rule: str, whole: Whole, folder: Path, pattern: str, misfortune: list[str]) -> None:
    """The job, whose outputs are not there, ends with one line; what has a final name is as in the undisturbed run.

    (Snakemake removes that, too: here it is not at work.)
    """
    job = whole.jobs_by_rule[rule]
    before = files(folder)
    plan = {"jobs": {script(job): misfortune}} if misfortune else {}
    outcome = replay(job, folder, warm=whole.warm, **plan)
    assert outcome.code != 0
    assert [line for line in outcome.messages.values() if re.search(pattern, line)], outcome.text
    assert len(outcome.messages) == 1
    left = files(folder) - before
    assert left <= set(job.outputs) and same_data(folder, whole.folder, [*left])


def same_data(one: Path, other: Path, names: list[str]) -> bool:
    """Parquet, Arrow and JSON lines hold no times, but for the results' own."""
    data = [
        name
        for name in names
        if Path(name).suffix in (".parquet", ".jsonl", ".arrow") and name != f"{R}/results.parquet"
    ]
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in data)
