"""What an experiment needs of the machine, probe by probe: each describes what is here or raises what is missing."""

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from prunegrid.core.disk_errors import free_bytes
from prunegrid.core.errors import PrunegridError, PrunegridErrors
from prunegrid.core.extras import MODULES, install_command
from prunegrid.core.gpus import memory_bytes, visible_ids
from prunegrid.core.text import byte_size
from prunegrid.data.datasets import locate
from prunegrid.data.sources import is_here, source_files
from prunegrid.doctor import kernels, machine
from prunegrid.doctor.models import missing_files, model_folder, model_probe, parameter_bytes, weight_bytes
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.dataset import DataRef
from prunegrid.models import check_device
from prunegrid.plan import disk
from prunegrid.plan import memory as plan_memory
from prunegrid.plan.gpus import sharing_fits

Probe = Callable[[], str]


def experiment_probes(experiment: Experiment) -> Iterator[tuple[str, Probe]]:
    """(name, probe) of everything that the experiment needs."""
    for name, probe in SETTINGS.items():
        yield name, partial(probe, experiment)
    for name in experiment.sources:
        yield "model", partial(model_probe, experiment, name)
    data_sets = {
        ref.path or "/".join(filter(None, (ref.hub, ref.config, ref.split))): ref for ref in experiment.data_sets
    }
    for name, ref in data_sets.items():
        yield "data", partial(_data, experiment, name, ref)
    if experiment.device == "cuda" and experiment.runtime.cells_per_gpu > 1:
        yield "sharing", partial(_sharing, experiment)
    yield "disk", partial(_disk, experiment)


def _device(experiment: Experiment) -> str:
    device, ranks, sharers = experiment.device, experiment.training.ranks, experiment.runtime.cells_per_gpu
    check_device(device, ranks)
    if device != "cuda" and sharers > 1:
        raise PrunegridError("runtime.cells_per_gpu", f"is {sharers}, but device is {device}", "leave it out")
    return f"{device}, {ranks} {'GPU' if device == 'cuda' else 'process'}(s) for each training job"


def _sharing(experiment: Experiment) -> str:
    """Whether the jobs that share a GPU fit the smallest one here, or one of `runtime.gpu_memory_gb`."""
    configured = experiment.runtime.gpu_memory_gb
    detected = None if configured else memory_bytes(visible_ids())
    gpu_bytes = configured * 1e9 if configured else detected or plan_memory.ASSUMED_GPU
    fits, words = sharing_fits(experiment, gpu_bytes)
    if not fits:
        problem, _, fix = words.partition("; ")
        raise PrunegridError("runtime.cells_per_gpu", problem, fix)
    return words if configured or detected else f"{words} (assumed; give runtime.gpu_memory_gb)"


def _bf16(experiment: Experiment) -> str:
    users = {
        "training": experiment.training.bf16,
        "scoring": experiment.scoring.dtype == "bfloat16",
        "evaluation": experiment.evaluation.dtype == "bfloat16",
    }
    names = ", ".join(name for name, uses_it in users.items() if uses_it)
    if not names:
        return "not used"
    if experiment.device != "cuda":
        return f"used in {names}, {machine.cpu_bf16()}"
    capability = machine.capability()
    if capability and capability < machine.AMPERE:
        problem = f"compute capability {machine.dotted(capability)} is below 8.0"
        raise PrunegridError(f"bf16 in {names}", problem, "set float32 and bf16: false")
    return f"used in {names}{'' if capability else '; no GPU to check'}"


def _cores(experiment: Experiment) -> str:
    ranks, cores = experiment.training.ranks, machine.cores()
    return f"{cores} for {ranks} rank(s)" + ("; they share cores and are slow" if cores < ranks else "")


def _packages(experiment: Experiment) -> str:
    modules = _modules(experiment)
    if missing := [module for module in modules if not find_spec(module)]:
        raise PrunegridError(", ".join(missing), "not installed", install_command(*missing))
    machine.deepspeed_version()
    return f"all here ({', '.join(modules)})"


def _modules(experiment: Experiment) -> list[str]:
    """The modules that the workflow runs with, and each optional one that the settings need."""
    modules = ["snakemake", "deepspeed", *MODULES["eval"], *MODULES["report"]]
    if experiment.training.method == "lora":
        modules.append("peft")
    if experiment.training.use_liger_kernel:
        modules.append("liger_kernel")
    if experiment.evaluation.engine == "vllm":
        modules.append("vllm")
    loggers = experiment.runtime.report_to
    return [*modules, *("tensorboardX" if logger == "tensorboard" else logger for logger in loggers)]


def _kernels(experiment: Experiment) -> str:
    """The kernels that the settings use, run in their data types."""
    device, training = experiment.device, experiment.training
    if not kernels.runs_on(device):
        return "not run: torch sees no GPU"
    trained = "bfloat16" if training.bf16 else "float32"
    probes = {f"head ({experiment.scoring.dtype})": partial(kernels.head, device, experiment.scoring.dtype)}
    if any(item.packing for item in grid.trainings(experiment)):
        probes[f"packed attention ({trained})"] = partial(kernels.attention, device, trained)
    probes[f"collective ({kernels.BACKENDS[device]})"] = partial(kernels.collective, device)
    if errors := [error for probe in probes.values() if (error := _error(probe))]:
        raise PrunegridErrors(errors)
    return f"run on {device}: {', '.join(probes)}"


def _error(probe: Probe) -> PrunegridError | None:
    try:
        probe()
    except PrunegridError as error:
        return error
    return None


SETTINGS: dict[str, Callable[[Experiment], str]] = {
    "device": _device,
    "bf16": _bf16,
    "kernels": _kernels,
    "cores": _cores,
    "packages": _packages,
}


def _data(experiment: Experiment, name: str, ref: DataRef) -> str:
    if experiment.sandbox and ref.hub:
        return f"{name}: generated by the run"
    mirror = experiment.data_mirror
    if local := locate(ref, mirror):
        if not is_here(ref, local):
            raise PrunegridError(name, "no such file", "make it, or correct the path")
        listed = source_files(ref, local)
        number = "" if Path(local).is_file() else f" (files: {len(listed.files)}; not read: {len(listed.skipped)})"
        return f"{name}: {local}{number}"
    if mirror and not Path(mirror).is_dir():
        raise PrunegridError(name, f"data_mirror is {mirror}: no such folder", "make it, or correct data_mirror")
    if machine.is_offline():
        return f"{name}: not in a mirror, and HF_HUB_OFFLINE is set: only from the cache of `datasets` (not checked)"
    return f"{name}: from the hub, over the network (not tried)"


def _disk(experiment: Experiment) -> str:
    """Room for the trained models that are still to be made, and for the checkpoints of one training at a time."""
    root, total = Path(experiment.results), 0.0
    lines: list[str] = []
    cells = [cell for cell in grid.cells(experiment) if cell.trained]
    untrained = [cell.model for cell in cells if not (root / layout.weights(cell.name)).exists()]
    for name in dict.fromkeys(untrained):
        line, count = _model_disk(experiment, name, untrained.count(name))
        lines, total = [*lines, line], total + count
    free = free_bytes(root)
    if total > free:
        problem = f"about {byte_size(total)} are needed, but only {byte_size(free)} free ({'; '.join(lines)})"
        raise PrunegridError(root, problem, "free disk space, or keep the results on another disk")
    return "\n".join([*lines, f"{byte_size(free)} free"])


def _model_disk(experiment: Experiment, name: str, cells: int) -> tuple[str, float]:
    """The disk space of `cells` cells of a model, in words and in bytes; 0 bytes if small or unknown."""
    training, folder = experiment.training, model_folder(experiment, name)
    if training.method == "lora":
        return f"{name}: {cells} adapters, small compared with the model", 0
    if folder is None or missing_files(folder):
        return f"{name}: {cells} trained models, of unknown size until the model is downloaded", 0
    parameters = weight_bytes(folder) / parameter_bytes(folder)
    model = parameters * (2 if training.bf16 else 4)
    parts = disk.optimizer_state(training)
    state = parameters * sum(parts.values())
    line = (
        f"{name}: {cells} trained models of {byte_size(model)}; while one trains, {disk.CHECKPOINTS} checkpoints of "
        f"{byte_size(state)} ({' + '.join(f'{size} {part}' for part, size in parts.items())} bytes a parameter)"
    )
    return line, cells * model + disk.CHECKPOINTS * state
