"""An experiment's base models before it runs: where each is, what its folder lacks, how large it is."""

from pathlib import Path
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_json, repair
from prunegrid.core.text import byte_size
from prunegrid.doctor import machine
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.model import Source
from prunegrid.models.meta_model import check_trainable
from prunegrid.models.remote_code import code_classes


def model_probe(experiment: Experiment, name: str) -> str:
    """Where the model is and how it is trained; refused if its folder lacks something."""
    source, folder = experiment.sources[name], model_folder(experiment, name)
    if folder is None:
        return _absent_model(name, source)
    if missing := missing_files(folder):
        raise PrunegridError(f"{name}: {folder}", f"has no {missing[0]}", "save the model there with save_pretrained")
    if not source.chat_template and not _has_template(folder):
        problem = "has no chat template"
        raise PrunegridError(f"{name}: {folder}", problem, f"give one in models.{name}.chat_template (Jinja)")
    return f"{name}: {byte_size(weight_bytes(folder))} in {folder}, {_training(experiment, folder)}"


def _absent_model(name: str, source: Source) -> str:
    """Where the run will get a model that is not on disk."""
    if source.path:
        raise PrunegridError(f"{name}: {source.path}", "no such folder", f"make it, or correct models.{name}.path")
    if source.pretrain:
        return f"{name}: pre-trained by the run"
    if source.hub and machine.is_offline():
        problem = "is not in the hub's cache, and HF_HUB_OFFLINE is set"
        raise PrunegridError(f"{name}: {source.hub}", problem, "unset it")
    origin = f"{source.hub} from the hub" if source.hub else f"{source.wheel and source.wheel.package} from PyPI"
    template = "" if source.chat_template else ", chat template unknown"
    return f"{name}: {origin}, over the network (not tried; size unknown{template})"


def _training(experiment: Experiment, folder: Path) -> str:
    if code_classes(folder):
        return "which has custom code (not run here, so not checked)"
    by_packing = {training.packing: training for training in grid.trainings(experiment)}
    removals = grid.removals(experiment)
    return " and ".join(check_trainable(folder, training, removals) for training in by_packing.values())


def _has_template(folder: Path) -> bool:
    if any(folder.glob("chat_template*")):
        return True
    settings = folder / "tokenizer_config.json"
    return settings.exists() and "chat_template" in read_json(settings, repair(folder))


def model_folder(experiment: Experiment, name: str) -> Path | None:
    """Where the model is: as a run left it, in the folder that the config names, or in the hub's cache."""
    source, prepared = experiment.sources[name], Path(experiment.results, layout.base_model(name))
    manifest = Path(experiment.results, layout.manifest(name))
    if manifest.exists() and prepared.exists() and read_json(manifest)["source"] == source.model_dump(mode="json"):
        return prepared
    if source.path:
        return Path(source.path) if Path(source.path).is_dir() else None
    return machine.cached_model(source.hub, source.revision) if source.hub else None


def missing_files(folder: Path) -> list[str]:
    return [file for file in ("config.json", "*.safetensors") if not any(folder.glob(file))]


def weight_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def parameter_bytes(folder: Path) -> int:
    """Bytes a parameter takes in the stored weights."""
    settings: dict[str, Any] = read_json(folder / "config.json", repair(folder))
    dtype = settings.get("dtype") or settings.get("torch_dtype") or "float32"
    return 4 if dtype == "float32" else 2
