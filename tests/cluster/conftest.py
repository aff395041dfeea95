"""The private Slurm, and one undisturbed run on it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import private_slurm, slurm_runs
from support.fault_runs import warm_workflows
from support.snakemake_runs import snakemake


@pytest.fixture(scope="session")
def slurm() -> Iterator[private_slurm.PrivateSlurm]:
    """In a folder that munge accepts: every user may enter it and those above it."""
    if reason := private_slurm.missing_requirement():
        pytest.skip(f"no private Slurm: {reason}")
    cluster = private_slurm.PrivateSlurm(Path(tempfile.mkdtemp(prefix="prunegrid-slurm-")))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(cluster.folder)


@pytest.fixture(scope="session")
def undisturbed(warm_server: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same experiment on this machine alone, where nothing happens to it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with warm_workflows(warm_server):
        done = snakemake(folder, "--cores", "2", slurm_runs.TABLE, config=slurm_runs.CONFIG)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder
