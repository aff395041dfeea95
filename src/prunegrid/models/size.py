"""How large a model is: its number of parameters and its shape, from its folder, its config, or an assumption."""

from dataclasses import dataclass
from math import prod
from pathlib import Path

from safetensors import SafetensorError, safe_open

from prunegrid.core.errors import PrunegridError, first_line
from prunegrid.core.files import read_json, repair
from prunegrid.experiment import layout
from prunegrid.experiment.config import Experiment
from prunegrid.models.architecture import Shape, config_shape, usual_shape
from prunegrid.sandbox.data_sets import FEED_FORWARD, VOCABULARY

ASSUMED = 7_000_000_000
TOLERANCE = 0.01  # of a stated size: stored buffers and tied weights are counted differently


class DamagedModelError(PrunegridError):
    """A model's folder or manifest cannot be read."""


@dataclass(frozen=True)
class Size:
    """A model's number of parameters, and where the number comes from."""

    count: int
    origin: str
    shape: Shape


def model_size(experiment: Experiment, model: str, root: Path | None = None) -> Size:
    """The size of `model` (`m` or `m@reference`); `root` is the results folder, the experiment's own by default.

    Counted from the safetensors if the model's folder exists, computed if the model is pre-trained here, else
    `models.m.parameters`, else 7e9 is assumed. Raises `PrunegridError` if the stated number is off by more than 1 %,
    and `DamagedModelError` for a damaged folder.
    """
    base = model.partition("@")[0]
    parameters = experiment.models[base].parameters
    size = _actual_size(experiment, model, root or Path(experiment.results))
    if size is None:
        return stated_size(experiment, model)
    if model == base and parameters is not None and abs(parameters - size.count) > TOLERANCE * size.count:
        problem = f"is {parameters:,}, but the model has {size.count:,} ({size.origin})"
        raise PrunegridError(f"models.{base}.parameters", problem, "correct the number, or leave it out")
    return size


def stated_size(experiment: Experiment, model: str) -> Size:
    """The size of a model that does not exist yet: as stated, else assumed; a reference's is its base model's."""
    base = model.partition("@")[0]
    parameters = experiment.models[base].parameters
    if model == base and parameters is not None:
        return Size(parameters, f"models.{base}.parameters", usual_shape(parameters))
    count = parameters or ASSUMED
    origin = f"assumed, as {base} is" if model != base else f"assumed; give models.{base}.parameters"
    return Size(count, origin, usual_shape(count))


def _actual_size(experiment: Experiment, model: str, root: Path) -> Size | None:
    """The size of a model that is pre-trained here or whose folder exists; None for any other."""
    source = experiment.sources[model]
    if source.pretrain:
        hidden, layers = source.pretrain.hidden_size, source.pretrain.layers
        shape = Shape(hidden, FEED_FORWARD * hidden, hidden, layers, VOCABULARY, True)
        return Size(shape.count, "pre-trained here", shape)
    manifest, folders = root / layout.manifest(model), [Path(source.path)] if source.path else []
    try:
        if manifest.exists() and read_json(manifest).get("source") == source.model_dump(mode="json"):
            folders.insert(0, root / layout.base_model(model))
        return next((stored_size(folder) for folder in folders if any(folder.glob("*.safetensors"))), None)
    except PrunegridError as error:
        raise DamagedModelError(error.where, error.what, error.fix) from None


def stored_size(folder: Path) -> Size:
    """The size of the model in a folder of config.json and safetensors. Only the headers of the weights are read."""
    counts = {name: count for file in folder.glob("*.safetensors") for name, count in _tensor_sizes(file).items()}
    count = sum(counts.values())
    config = read_json(folder / "config.json", repair(folder))
    return Size(count, f"counted in {folder}", config_shape(config, count))


def _tensor_sizes(file: Path) -> dict[str, int]:
    """Elements of each tensor of a safetensors file."""
    try:
        with safe_open(file, framework="np") as tensors:
            names = tensors.keys()  # it cannot be iterated over
            return {name: prod(tensors.get_slice(name).get_shape()) for name in names}
    except (SafetensorError, OSError) as error:
        problem = f"damaged or no safetensors file ({first_line(error)})"
        raise PrunegridError(file, problem, repair(file.parent)) from None
