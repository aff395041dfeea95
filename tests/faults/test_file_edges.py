"""Every file between two steps, cut to half or to nothing: its consumer names it and the command that repairs it."""

import re
from pathlib import Path

import pytest

from support.fault_runs import RULES, R, Whole, copy_run, digest, files, files_of, replay

READERS = [rule for rule in RULES if rule not in ("world", "world_option", "record", "published")]
UNREAD = {
    "collect": r"selection\.parquet|selection_log\.parquet|trained/.*/model/",
    "imported_column": r"tokens\.parquet",
    "report": r"models/m/(?!tokenizer\.json)",
}
"""Needed to be there, so that a lost one is made again, but of no number: what they are was told by who read them."""
REPAIR = re.compile(r"in a workflow: rm (?:-r )?(\S+(?: \S+)*), then the same snakemake command\)$")


@pytest.fixture(scope="module")
def folder(whole: Whole, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_run(whole.folder, tmp_path_factory.mktemp("edges") / "run")
    for cached in folder.glob(f"{R}/evaluation/**/cache/*"):
        cached.unlink()
    return folder


def read_by(whole: Whole, folder: Path, rule: str) -> list[str]:
    """One file of each kind: neither the audit's replicas nor all cells of the table add any."""
    names = files_of(folder, whole.jobs_by_rule[rule].inputs)
    names = [name for name in names if "@" not in name and "/judged/" not in name and name.startswith(R)]
    return [name for name in names if not re.search(UNREAD.get(rule, "(?!)"), name)]


@pytest.mark.parametrize("rule", READERS)
def test_a_truncated_file_is_named_with_its_repair(rule: str, whole: Whole, folder: Path) -> None:
    names = read_by(whole, folder, rule)
    assert names
    for number, name in enumerate(names):
        cut_off(whole, folder, rule, name, number % 2)


@pytest.mark.exhaustive
@pytest.mark.parametrize("rule", READERS)
def test_a_truncated_file_is_named_with_its_repair_however_short(rule: str, whole: Whole, folder: Path) -> None:
    for number, name in enumerate(read_by(whole, folder, rule)):
        cut_off(whole, folder, rule, name, 1 - number % 2)


def cut_off(whole: Whole, folder: Path, rule: str, name: str, zero: int) -> None:
    job, file = whole.jobs_by_rule[rule], folder / name
    before, content, log = files(folder), file.read_bytes(), folder / job.log
    ended_well = log.read_bytes()
    file.write_bytes(b"" if zero else content[: len(content) // 2])
    outcome = replay(job, folder, warm=whole.warm)
    file.write_bytes(content)
    log.write_bytes(ended_well)  # else the cell counts as failed, and collect reads none of its files
    assert outcome.code == 1, f"{rule} took the damaged {name}"
    (message,) = outcome.messages.values()
    assert message.startswith((f"{name}:", f"{Path(name).parent}: ")), message
    removed = REPAIR.search(message)
    assert removed, message
    paths = {name, str(Path(name).parent)} & set(removed[1].split())
    assert paths & {*job.inputs, name}, message
    assert files(folder) == before


def test_what_is_not_read_changes_no_number(whole: Whole, tmp_path: Path) -> None:
    folder, job = copy_run(whole.folder, tmp_path / "run"), whole.jobs_by_rule["collect"]
    unread = [name for name in files_of(folder, job.inputs) if re.search(UNREAD["collect"], name)]
    for name in unread:
        (folder / name).write_bytes(b"")
    outcome = replay(job, folder, warm=whole.warm)
    assert outcome.code == 0
    assert digest(folder) == whole.digest
