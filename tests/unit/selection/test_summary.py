"""`selection.json` as one model: files of version 0.1 are read, and written again without a difference."""

import tarfile
from pathlib import Path

import pytest

from prunegrid.selection.summary import SelectionSummary

ARCHIVE = Path(__file__).parents[1] / "results/data/results-0.1.tar.xz"


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("older")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="tar")
    return sorted(folder.rglob("selection.json"))


def test_version_0_1_is_written_as_it_was_read(older: list[Path], tmp_path: Path) -> None:
    """Static, matched, Q-Tuning's and dynamic ones: the same keys in the same order, the same values."""
    assert len(older) == 3
    for path in older:
        SelectionSummary.read(path).write(tmp_path / "selection.json")
        assert (tmp_path / "selection.json").read_text() == path.read_text()


def test_scores_were_made_in_every_step_unless_recorded(older: list[Path]) -> None:
    (dynamic,) = (summary for summary in map(SelectionSummary.read, older) if summary.mode == "dynamic")
    assert dynamic.rescore_every == 1
    assert dynamic.pruning and dynamic.pruning.variant == dynamic.variant
