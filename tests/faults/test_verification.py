"""`prunegrid verify` on a folder that the workflow made: a dynamic cell, an optional score, shards."""

from prunegrid.verification.verify import verify
from support.fault_runs import R, Whole


def test_a_folder_of_the_workflow_has_no_problem(whole: Whole) -> None:
    """Every link has a digest. 4 cells, 3 of them trained, of 2 benchmarks with 4 items; all items are asked again."""
    verification = verify(whole.folder / R, deep=True, items=1000)
    assert verification.problems == []
    assert (verification.walk.unnamed, verification.walk.hashes.unread, verification.unfinished) == ({}, set(), 0)
    assert verification.columns and verification.columns.cells == 3
    assert verification.recheck and verification.recheck[1:3] == (32, 4)
