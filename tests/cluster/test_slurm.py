"""A sandbox experiment on a real Slurm: undisturbed, disturbed in every way that a cluster knows, over two nodes."""

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.cluster]


def test_end_to_end(undisturbed):
    print((undisturbed / "submitted.txt").read_text())
    assert 0
