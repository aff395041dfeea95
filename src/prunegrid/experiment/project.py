"""A folder to run experiments in, away from the package's own: `prunegrid init`."""

import shutil
from pathlib import Path

from prunegrid.core.errors import PrunegridError
from prunegrid.core.installation import workflow_files
from prunegrid.experiment.locate import DEFAULT

SNAKEFILE = """\
# The workflow that is installed with prunegrid. config.yaml says what is computed, profiles/ how it runs.
import prunegrid


include: str(prunegrid.workflow_files() / "workflow/Snakefile")


workflow.default_target = "all"  # which `include` leaves as it was: none
"""


def shipped_experiments() -> list[str]:
    """The names of the experiments that the package brings, besides the default."""
    return sorted(file.stem for file in (workflow_files() / "experiments").glob("*.yaml"))


def write_project(folder: Path, experiment: str | None = None) -> list[Path]:
    """Write Snakefile, config and profiles into `folder`; return their paths.

    `experiment` is one of `shipped_experiments`. Raises `PrunegridError` if a file is there already, and writes none.
    """
    source = workflow_files()
    config = source / (f"experiments/{experiment}.yaml" if experiment else DEFAULT)
    profiles = source / "workflow/profiles"
    copies = {folder / "profiles" / file.relative_to(profiles): file for file in sorted(profiles.rglob("*.yaml"))}
    copies = {folder / DEFAULT: config, **copies}
    snakefile = folder / "Snakefile"
    if present := [path for path in (snakefile, *copies) if path.exists()]:
        raise PrunegridError(present[0], "exists already and is not replaced", "name another folder, or remove it")
    for path, file in copies.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, path)
    snakefile.write_text(SNAKEFILE)
    return [snakefile, *copies]
