"""Experiments as people name them: a config file, or the folder of its results. Imports neither pandas nor torch."""

import re
import shlex
from pathlib import Path

import yaml

from prunegrid.core import files as io
from prunegrid.core.errors import PrunegridError, PrunegridErrors
from prunegrid.experiment import config, layout
from prunegrid.experiment.config import Experiment
from prunegrid.pruners import plugins

DEFAULT = "config.yaml"


def find(named: Path) -> tuple[Experiment, Path]:
    """The experiment that a config file or a results folder holds, and its results folder, there or not yet."""
    if named.is_dir():
        return experiment_of(named), named
    experiment = read(named)
    return experiment, Path(experiment.results)


def read(file: Path) -> Experiment:
    """The experiment in `file`; what is wrong with it is a `PrunegridError`."""
    try:
        values = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise PrunegridError(file, f"cannot be read ({error})", "name an experiment's YAML file") from None
    except yaml.YAMLError as error:
        raise PrunegridError(file, f"not YAML: {' '.join(str(error).split())}", "correct it") from None
    if not isinstance(values, dict):
        raise PrunegridError(file, "holds no keys", "start from config.yaml")
    return config.load(values, str(file))


def experiment_of(directory: Path) -> Experiment:
    """The experiment that `directory` holds the results of; `PrunegridError` where it is no such folder."""
    path = directory / layout.EXPERIMENT
    if not path.exists():
        raise PrunegridError(
            directory,
            f"no {layout.EXPERIMENT} there, so it is not an experiment's results",
            "give the folder results/<experiment> that the workflow writes (its rule `record` makes that file)",
        )
    plugins.add_search_path(directory.resolve().parents[1])
    written = io.read_json(path)
    try:
        return config.load(written, source=str(path))
    except PrunegridError as error:
        hint = PrunegridError(
            path, "written by another version?", "run the workflow with your config: it writes it again"
        )
        raise PrunegridErrors([error, hint]) from None


def command(named: Path, experiment: Experiment) -> str:
    """What runs all of the experiment that is not done. Of a results folder the config is looked for near by."""
    if not named.is_dir():
        return _snakemake(named)
    home = named.resolve().parents[1]
    name = re.compile(rf"^experiment:\s*[\"']?{re.escape(experiment.experiment)}[\"']?\s*(#.*)?$", re.MULTILINE)
    files = [home / DEFAULT, *sorted((home / "experiments").glob("*.yaml"))]
    found = [file for file in files if file.exists() and name.search(file.read_text())]
    there = "" if home == Path.cwd() else f"cd {shlex.quote(str(home))} && "
    if found:
        return there + _snakemake(found[0].relative_to(home))
    return f"{there}{_snakemake(Path('FILE'))}    (FILE: the config that says experiment: {experiment.experiment})"


def _snakemake(file: Path) -> str:
    """Snakemake takes `config.yaml` where it runs by itself."""
    own = file == Path(DEFAULT) or file.resolve() == Path.cwd() / DEFAULT
    return "snakemake --cores all" + ("" if own else f" --configfile {shlex.quote(str(file))}")
