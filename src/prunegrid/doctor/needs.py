"""What an experiment needs of the machine, probe by probe: each returns what is here or raises what is missing."""

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from prunegrid.core import gpus as devices
from prunegrid.core.disk_errors import free_bytes
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_json, repair
from prunegrid.core.text import byte_size
from prunegrid.data.datasets import locate
from prunegrid.doctor import kernels, machine
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.sections import DataRef, Source
from prunegrid.models import check_device
from prunegrid.models.architecture import check_trainable
from prunegrid.models.remote_code import code_classes
from prunegrid.plan import disk, gpus
from prunegrid.plan import memory as plan_memory

Probe = Callable[[], str]


def of(experiment: Experiment) -> Iterator[tuple[str, Probe]]:
    """(name, probe) of everything that the experiment needs."""
    for name, probe in SETTINGS.items():
        yield name, partial(probe, experiment)
    for name in experiment.sources:
        yield "model", partial(_model, experiment, name)
    for name, ref in {_named(ref): ref for ref in experiment.data_sets}.items():
        yield "data", partial(_data, experiment, name, ref)
    if experiment.device == "cuda" and experiment.runtime.cells_per_gpu > 1:
        yield "sharing", partial(_sharing, experiment)
    yield "disk", partial(_disk, experiment)


def _device(experiment: Experiment) -> str:
    ranks = experiment.training.ranks
    check_device(experiment.device, ranks)
    if experiment.device != "cuda" and (sharers := experiment.runtime.cells_per_gpu) > 1:
        raise PrunegridError(f"runtime.cells_per_gpu is {sharers}, but device is {experiment.device}; leave it out")
    return (
        f"{experiment.device}, {ranks} {'GPU' if experiment.device == 'cuda' else 'process'}(s) for each training job"
    )


def _sharing(experiment: Experiment) -> str:
    """Whether the jobs that share a GPU fit the smallest one here, or one as large as stated."""
    stated = experiment.runtime.gpu_memory_gb
    here = None if stated else devices.memory_bytes(devices.visible_ids())
    card = stated * 1e9 if stated else here or plan_memory.ASSUMED_GPU
    right, words = gpus.sharing_fits(experiment, card)
    if not right:
        raise PrunegridError(words)
    return words if stated or here else f"{words} (assumed; give runtime.gpu_memory_gb)"


def _bf16(experiment: Experiment) -> str:
    wanted = {
        "training": experiment.training.bf16,
        "scoring": experiment.scoring.dtype == "bfloat16",
        "evaluation": experiment.evaluation.dtype == "bfloat16",
    }
    if not any(wanted.values()):
        return "not used"
    where = "used in " + ", ".join(name for name, used in wanted.items() if used)
    found = machine.capability() if experiment.device == "cuda" else None
    if found and found < machine.AMPERE:
        raise PrunegridError(
            f"{where}, but compute capability {machine.dotted(found)} is below 8.0; choose float32 and bf16: false"
        )
    if experiment.device == "cuda":
        return where if found else f"{where}; no GPU to ask whether it can"
    return f"{where}, {machine.bf16_on_cpu()}"


def _cores(experiment: Experiment) -> str:
    ranks, here = experiment.training.ranks, machine.cores()
    return f"{here} for {ranks} rank(s)" + (": they share, slowly" if here < ranks else "")


def _packages(experiment: Experiment) -> str:
    lacking = [package for package, module in _modules(experiment).items() if not find_spec(module)]
    if lacking:
        raise PrunegridError(f"not installed: {', '.join(lacking)}; pip install {' '.join(lacking)}")
    machine.deepspeed()
    return f"all here ({', '.join(_modules(experiment))})"


def _modules(experiment: Experiment) -> dict[str, str]:
    """Package and module of what the settings need beside the basics."""
    modules = {"deepspeed": "deepspeed"}
    if experiment.training.method == "lora":
        modules["peft"] = "peft"
    if experiment.training.use_liger_kernel:
        modules["liger-kernel"] = "liger_kernel"
    if experiment.evaluation.engine == "vllm":
        modules["vllm"] = "vllm"
    for logger in experiment.runtime.report_to:
        name = "tensorboardX" if logger == "tensorboard" else logger
        modules[name.replace("_", "-")] = name
    return modules


def _kernels(experiment: Experiment) -> str:
    """The kernels that its settings use, run in their data types."""
    device, training = experiment.device, experiment.training
    if not kernels.runs_on(device):
        return "not run: torch sees no GPU"
    trained = "bfloat16" if training.bf16 else "float32"
    used = {f"head ({experiment.scoring.dtype})": partial(kernels.head, device, experiment.scoring.dtype)}
    if training.packing:
        used[f"packed attention ({trained})"] = partial(kernels.attention, device, trained)
    used[f"collective ({kernels.BACKENDS[device]})"] = partial(kernels.collective, device)
    if failed := [f"{name}: {error}" for name, probe in used.items() if (error := _error(probe))]:
        raise PrunegridError("\n".join(failed))
    return f"run on {device}: {', '.join(used)}"


def _error(probe: Probe) -> str:
    try:
        probe()
    except PrunegridError as error:
        return str(error)
    return ""


SETTINGS: dict[str, Callable[[Experiment], str]] = {
    "device": _device,
    "bf16": _bf16,
    "kernels": _kernels,
    "cores": _cores,
    "packages": _packages,
}


def _model(experiment: Experiment, name: str) -> str:
    source, folder = experiment.sources[name], _folder(experiment, name)
    if source.path and not folder:
        raise PrunegridError(f"{name}: {source.path}: no such folder; make it, or correct models.{name}.path")
    if folder is None and source.pretrain:
        return f"{name}: pre-trained by the run"
    if folder is None:
        origin = f"{source.hub} from the hub" if source.hub else f"{source.wheel and source.wheel.package} from PyPI"
        if source.hub and machine.offline():
            raise PrunegridError(f"{name}: {source.hub} is not in the hub's cache, and HF_HUB_OFFLINE is set; unset it")
        return f"{name}: {origin}, over the network (not tried; size unknown{_template(source)})"
    if lacking := _lacking(folder):
        raise PrunegridError(f"{name}: {folder} has no {lacking[0]}; save the model there with save_pretrained")
    if not source.chat_template and not _has_template(folder):
        raise PrunegridError(f"{name}: {folder} has no chat template; give one in models.{name}.chat_template (Jinja)")
    trained = _trained(experiment, folder)
    return f"{name}: {byte_size(_bytes(folder))} in {folder}, {trained}"


def _trained(experiment: Experiment, folder: Path) -> str:
    if code_classes(folder):
        return "which brings code of its own (not run here, so not checked)"
    return check_trainable(folder, experiment.training.packing, grid.removals(experiment))


def _template(source: Source) -> str:
    return "" if source.chat_template else "; so is whether it has a chat template"


def _has_template(folder: Path) -> bool:
    if any(folder.glob("chat_template*")):
        return True
    settings = folder / "tokenizer_config.json"
    return settings.exists() and "chat_template" in read_json(settings, repair(folder))


def _folder(experiment: Experiment, name: str) -> Path | None:
    """Where the model is: as the run left it, as a named folder, or in the hub's cache."""
    source, made = experiment.sources[name], Path(experiment.results, layout.base_model(name))
    manifest = Path(experiment.results, layout.manifest(name))
    if manifest.exists() and made.exists() and read_json(manifest)["source"] == source.model_dump(mode="json"):
        return made
    if source.path:
        return Path(source.path) if Path(source.path).is_dir() else None
    return machine.cached(source.hub, source.revision) if source.hub else None


def _lacking(folder: Path) -> list[str]:
    return [file for file in ("config.json", "*.safetensors") if not any(folder.glob(file))]


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def _named(ref: DataRef) -> str:
    return ref.path or "/".join(filter(None, (ref.hub, ref.config, ref.split)))


def _data(experiment: Experiment, name: str, ref: DataRef) -> str:
    if experiment.sandbox and ref.hub:
        return f"{name}: generated by the run"
    if local := locate(ref, experiment.data_mirror):
        if not Path(local).is_file():
            raise PrunegridError(f"{name}: no such file; make it, or correct the path")
        return f"{name}: {local}"
    if experiment.data_mirror and not Path(experiment.data_mirror).is_dir():
        raise PrunegridError(f"{name}: data_mirror is {experiment.data_mirror}: no such folder")
    if machine.offline():
        return (
            f"{name}: not in a mirror, and HF_HUB_OFFLINE is set: only if the cache of `datasets` has it (not looked)"
        )
    return f"{name}: from the hub, over the network (not tried)"


def _disk(experiment: Experiment) -> str:
    """Trained models that are not there yet, and the checkpoints of one that is being trained, at most."""
    root, total = Path(experiment.results), 0.0
    lines: list[str] = []
    cells = [cell for cell in grid.cells(experiment) if cell.trained]
    to_do = [cell.model for cell in cells if not (root / layout.weights(cell.name)).exists()]
    for name in dict.fromkeys(to_do):
        line, count = _leaves(experiment, name, to_do.count(name))
        lines, total = [*lines, line], total + count
    if total > (here := free_bytes(root)):
        raise PrunegridError("\n".join([*lines, f"about {byte_size(total)}, but only {byte_size(here)} free"]))
    return "\n".join([*lines, f"{byte_size(here)} free"])


def _leaves(experiment: Experiment, name: str, cells: int) -> tuple[str, float]:
    """What `cells` cells of a model leave, in words and in bytes; 0 where it is small or not known."""
    training, folder = experiment.training, _folder(experiment, name)
    if training.method == "lora":
        return f"{name}: {cells} adapters, small beside the model", 0
    if folder is None or _lacking(folder):
        return f"{name}: {cells} trained models; how large is not known before the model is here", 0
    parameters = _bytes(folder) / _width(folder)
    model = parameters * (2 if training.bf16 else 4)
    state = parameters * sum(disk.optimizer_state(training).values())
    made_of = " + ".join(f"{width} {what}" for what, width in disk.optimizer_state(training).items())
    line = f"{name}: {cells} trained models of {byte_size(model)}; while one trains, {disk.CHECKPOINTS} checkpoints of"
    return f"{line} {byte_size(state)} ({made_of} bytes a parameter)", cells * model + disk.CHECKPOINTS * state


def _width(folder: Path) -> int:
    """Bytes a parameter of stored weights."""
    settings: dict[str, Any] = read_json(folder / "config.json", repair(folder))
    stored = settings.get("dtype") or settings.get("torch_dtype") or "float32"
    return 4 if stored == "float32" else 2
