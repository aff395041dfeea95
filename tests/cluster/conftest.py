"""The private Slurm, and one undisturbed run on it."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import private_slurm
import runs


@pytest.fixture(scope="session")
def slurm() -> Iterator[private_slurm.PrivateSlurm]:
    """In a folder that munge accepts: every user may enter it and those above it."""
    if reason := private_slurm.lacking():
        pytest.skip(f"no private Slurm: {reason}")
    cluster = private_slurm.PrivateSlurm(Path(tempfile.mkdtemp(prefix="prunegrid-slurm-")))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(cluster.folder)


@pytest.fixture(scope="session")
def undisturbed(slurm: private_slurm.PrivateSlurm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    runs.run(slurm, folder, mine=runs.MINE)
    (folder / "submitted.txt").write_text("\n".join(slurm.jobs("completed").values()))
    return folder


@pytest.fixture
def copied(undisturbed: Path, tmp_path: Path) -> Path:
    """The undisturbed run's folder again, for what is to be run on."""
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder, symlinks=True)
    (folder / "run.log").unlink()
    return folder
