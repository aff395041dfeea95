"""How large a model is: its parameters and its shape, from its folder, from its config, or assumed."""

import json
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_json, repair
from prunegrid.experiment import layout
from prunegrid.experiment.config import Experiment
from prunegrid.sandbox.data_sets import FEED_FORWARD, VOCABULARY

ASSUMED = 7_000_000_000
ASSUMED_VOCABULARY = 32_000
TOLERANCE = 0.01  # of a stated size: stored buffers and tied weights are counted differently


class DamagedModelError(PrunegridError):
    """A model's folder or manifest cannot be read."""


@dataclass(frozen=True)
class Shape:
    """A decoder's widths: hidden, feed-forward, keys (and values), and its numbers of layers and vocabulary entries."""

    hidden: int
    intermediate: int
    keys: int
    layers: int
    vocabulary: int
    tied: bool

    @property
    def decoder(self) -> int:
        """Parameters outside embeddings and head: what a token is multiplied with in the layers."""
        attention = 2 * self.hidden * (self.hidden + self.keys)
        norms = 2 * self.hidden
        return self.layers * (attention + 3 * self.hidden * self.intermediate + norms) + self.hidden

    @property
    def head(self) -> int:
        return self.hidden * self.vocabulary

    @property
    def count(self) -> int:
        return self.decoder + self.head * (1 if self.tied else 2)


@dataclass(frozen=True)
class Size:
    """A model's number of parameters; `how` says where it is from, and `known` is False where it is assumed."""

    count: int
    known: bool
    how: str
    shape: Shape


def model_size(experiment: Experiment, model: str, root: Path | None = None) -> Size:
    """The size of `model` (`m` or `m@reference`); `root` is the results folder, the experiment's own by default.

    Counted from the safetensors where the model's folder is there, computed where it is pre-trained here, else
    `models.m.parameters`, else 7e9 is assumed. Raises `PrunegridError` where the stated number is more than 1 %
    off the true one, and for a damaged folder (`DamagedModelError`).
    """
    base = model.partition("@")[0]
    stated = experiment.models[base].parameters
    true = _true(experiment, model, root or Path(experiment.results))
    if true is None:
        return stated_size(experiment, model)
    if model == base and stated is not None and abs(stated - true.count) > TOLERANCE * true.count:
        raise PrunegridError(
            f"models.{base}.parameters is {stated:,}, but the model has {true.count:,} ({true.how}); "
            "correct the number, or leave it out"
        )
    return true


def stated_size(experiment: Experiment, model: str) -> Size:
    """The size of a model that is not there: as stated, else assumed; a reference's as its base model's."""
    base = model.partition("@")[0]
    stated = experiment.models[base].parameters
    if model == base and stated is not None:
        return Size(stated, True, f"models.{base}.parameters", usual_shape(stated))
    count = stated or ASSUMED
    how = f"assumed, as {base} is" if model != base else f"assumed; give models.{base}.parameters"
    return Size(count, False, how, usual_shape(count))


def usual_shape(count: int) -> Shape:
    """A Llama of about `count` parameters: L layers, 128 L wide, 8/3 as wide in between, so 12 L (128 L)^2."""
    layers = max(1, round((count / (12 * 128**2)) ** (1 / 3)))
    hidden = 128 * layers
    return Shape(hidden, round(8 / 3 * hidden), hidden, layers, ASSUMED_VOCABULARY, False)


def _true(experiment: Experiment, model: str, root: Path) -> Size | None:
    source = experiment.sources[model]
    if source.pretrain:
        hidden, layers = source.pretrain.hidden_size, source.pretrain.layers
        shape = Shape(hidden, FEED_FORWARD * hidden, hidden, layers, VOCABULARY, True)
        return Size(shape.count, True, "pre-trained here", shape)
    made, manifest = root / layout.base_model(model), root / layout.manifest(model)
    there = [Path(source.path)] if source.path else []
    try:
        if manifest.exists() and read_json(manifest).get("source") == source.model_dump(mode="json"):
            there.insert(0, made)
        return next((stored_size(folder) for folder in there if any(folder.glob("*.safetensors"))), None)
    except PrunegridError as error:
        raise DamagedModelError(str(error)) from None


def stored_size(folder: Path) -> Size:
    """The size of the model in a folder of config.json and safetensors, of which only the headers are read."""
    files = sorted(folder.glob("*.safetensors"))
    counts = {name: elements for file in files for name, elements in _tensors(file).items()}
    count, settings = sum(counts.values()), read_json(folder / "config.json", repair(folder))
    return Size(count, True, f"counted in {folder}", _shape(settings.get("text_config", settings), count))


def _tensors(file: Path) -> dict[str, int]:
    """Elements of each tensor, by the file's header: its length in eight bytes, then JSON."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length))
    except (struct.error, ValueError, OSError) as error:
        raise PrunegridError(f"{file}: damaged or no safetensors file ({error}); {repair(file.parent)}") from None
    return {name: prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__"}


# What GPT-2, Bloom, GPT-J, MPT and OPT call what a Llama calls by the first name.
ALIASES = {
    "hidden_size": ("n_embd", "d_model"),
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("n_head", "n_heads"),
    "intermediate_size": ("n_inner", "ffn_dim"),
}


def _shape(settings: dict[str, Any], count: int) -> Shape:
    """The shape that a config.json tells; what it does not tell, as a model of `count` parameters has it."""
    usual = usual_shape(count)
    for name, others in ALIASES.items():
        if value := next((settings[other] for other in others if settings.get(other)), None):
            settings = {name: value} | settings
    hidden = settings.get("hidden_size", usual.hidden)
    heads = settings.get("num_attention_heads", 1)
    width = settings.get("head_dim") or hidden // heads
    return Shape(
        hidden,
        settings.get("intermediate_size", round(hidden * usual.intermediate / usual.hidden)),
        (settings.get("num_key_value_heads") or heads) * width,
        settings.get("num_hidden_layers", usual.layers),
        settings.get("vocab_size", usual.vocabulary),
        bool(settings.get("tie_word_embeddings", False)),
    )
