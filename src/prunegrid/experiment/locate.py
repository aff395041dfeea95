"""The experiment behind a path that a user gives: a config file, or a results folder."""

import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from prunegrid.core import plugins
from prunegrid.core.errors import PrunegridError, PrunegridErrors
from prunegrid.core.files import read_json
from prunegrid.experiment import config, layout, seed_rule
from prunegrid.experiment.config import Experiment

DEFAULT = "config.yaml"


def find(path: Path) -> tuple[Experiment, Path]:
    """The experiment of a config file or a results folder, and its results folder, which may not exist yet."""
    if path.is_dir():
        return read_folder(path), path
    experiment = read_config(path)
    root = Path(experiment.results)
    return seed_rule.recorded(experiment, root), root


def read_config(file: Path) -> Experiment:
    """The experiment of a config file. Raises `PrunegridError` if the file is not a valid config."""
    values = read_yaml(file)
    if not isinstance(values, dict):
        raise PrunegridError(file, "holds no keys", "start from config.yaml")
    return config.load(values, str(file))


def read_yaml(file: Path) -> Any:
    """The contents of a YAML file. Raises `PrunegridError` with the line and the column of what is no YAML."""
    try:
        return yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise PrunegridError(file, f"cannot be read ({error})", "name an experiment's YAML file") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        what = ", ".join(filter(None, [error.context, error.problem]))
        raise PrunegridError(place, f"not YAML: {what}", "fix this line, or the one above") from None
    except yaml.YAMLError as error:
        raise PrunegridError(file, f"not YAML: {' '.join(str(error).split())}", "fix the YAML") from None


def read_folder(directory: Path) -> Experiment:
    """The experiment of a results folder. Raises `PrunegridError` if the folder is not one."""
    path = directory / layout.EXPERIMENT
    if not path.exists():
        raise PrunegridError(
            directory,
            f"has no {layout.EXPERIMENT}, so it is not an experiment's results",
            "give the folder results/<experiment> that the workflow writes (its rule `record` makes that file)",
        )
    plugins.add_search_path(directory.resolve().parents[1])
    values = read_json(path)
    try:
        return config.load(values, source=str(path))
    except PrunegridError as error:
        hint = PrunegridError(
            path, "may be from another version", "run the workflow with your config, which rewrites it"
        )
        raise PrunegridErrors([error, hint]) from None


def command(path: Path, experiment: Experiment) -> str:
    """The command that runs everything unfinished. For a results folder, the config is searched for nearby."""
    if not path.is_dir():
        return _snakemake(path)
    home = path.resolve().parents[1]
    name = re.compile(rf"^experiment:\s*[\"']?{re.escape(experiment.experiment)}[\"']?\s*(#.*)?$", re.MULTILINE)
    files = [home / DEFAULT, *sorted((home / "experiments").glob("*.yaml"))]
    configs = [file for file in files if file.exists() and name.search(file.read_text())]
    cd = "" if home == Path.cwd() else f"cd {shlex.quote(str(home))} && "
    if configs:
        return cd + _snakemake(configs[0].relative_to(home))
    return f"{cd}{_snakemake(Path('FILE'))}    (FILE: the config with experiment: {experiment.experiment})"


def _snakemake(file: Path) -> str:
    """Snakemake reads `config.yaml` of its working directory by default."""
    default = file == Path(DEFAULT) or file.resolve() == Path.cwd() / DEFAULT
    return "snakemake --cores all" + ("" if default else f" --configfile {shlex.quote(str(file))}")
