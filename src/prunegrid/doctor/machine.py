"""What this machine has and runs, probe by probe: each describes what is here or raises what is wrong.

Torch and the hub's client are imported inside the probes: they take seconds, and may be what is broken.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from prunegrid.core.disk_errors import free_bytes
from prunegrid.core.errors import PrunegridError
from prunegrid.core.extras import MODULES, install_command, missing_modules
from prunegrid.core.text import byte_size
from prunegrid.doctor import kernels
from prunegrid.experiment.training import USUAL_DTYPE

PACKAGES = ("torch", "transformers", "deepspeed", "peft", "lm-eval", "liger-kernel", "vllm")
AMPERE = (8, 0)  # the first compute capability with native bf16 and flash kernels
BF16_FLAGS = ("amx_bf16", "avx512_bf16", "bf16")


def capability() -> tuple[int, int] | None:
    """The lowest compute capability of the GPUs that torch sees."""
    import torch

    return min((torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())), default=None)


def dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))


def missing_compilers() -> list[str]:
    """What is missing on the PATH to compile DeepSpeed's cpu_adam."""
    import torch
    from torch.utils.cpp_extension import CUDA_HOME

    missing = [tool for tool in (os.environ.get("CXX", "g++"), "ninja") if not shutil.which(tool)]
    return [*missing, "nvcc (set CUDA_HOME)"] if torch.version.cuda and not CUDA_HOME else missing


def cores() -> int:
    """The CPU cores that this process may use: its affinity and the quota of its cgroup (version 2)."""
    quotas = [text.split() for text in _cgroup("cpu.max")]
    limits = [int(quota) // int(period) for quota, period in quotas if quota != "max"]
    return max(1, min([len(os.sched_getaffinity(0)), *limits]))


def _cores() -> str:
    return f"{cores()} usable of {os.cpu_count()}"


def _memory() -> str:
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    kilobytes = {words[0]: int(words[1]) for words in lines}
    text = f"{byte_size(kilobytes['MemTotal:'] * 1024)}, {byte_size(kilobytes['MemAvailable:'] * 1024)} available"
    limits = [int(limit) for limit in _cgroup("memory.max") if limit != "max"]
    return f"{text}, limited to {byte_size(min(limits))}" if limits else text


def _cgroup(file: str) -> list[str]:
    """The content of `file` in this process's cgroup and its parents; empty without cgroup version 2."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    name = next((line.removeprefix("0::/") for line in lines if line.startswith("0::")), "")
    cgroup = Path("/sys/fs/cgroup", name)
    paths = [folder / file for folder in (cgroup, *cgroup.parents)]
    return [path.read_text().strip() for path in paths if path.is_file()]


def _devices() -> str:
    import torch

    gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    if not gpus and torch.version.cuda is None and shutil.which("nvidia-smi"):
        problem = "sees no GPU: it is a CPU build"
        raise PrunegridError(f"torch {torch.__version__}", problem, "install a CUDA build of torch")
    lines = [f"{g.name}, {byte_size(g.total_memory)}, compute capability {g.major}.{g.minor}" for g in gpus]
    return "\n".join(f"cuda:{i} {line}" for i, line in enumerate(lines)) or f"cpu (torch {torch.__version__}: no GPU)"


def _device_type() -> str:
    return "cuda" if kernels.runs_on("cuda") else "cpu"


def _bf16() -> str:
    lowest = capability()
    if lowest is None:
        support = cpu_bf16()
    else:
        support = "native" if lowest >= AMPERE else f"emulated (compute capability {dotted(lowest)}): slow"
    return f"{support}; {kernels.matmul(_device_type())}"


def cpu_bf16() -> str:
    flags = Path("/proc/cpuinfo").read_text().split()
    native = [flag for flag in BF16_FLAGS if flag in flags]
    return f"native on this CPU ({', '.join(native)})" if native else "emulated on this CPU: slow"


def deepspeed_version() -> str:
    """The default path compiles nothing: its Adam is torch's, and the one other op is switched off on a CPU."""
    import torch

    os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")
    import deepspeed

    return f"{deepspeed.__version__}; training compiles none of its C++ ops"


def _deepspeed() -> str:
    if "deepspeed" in missing_modules("train"):
        return f"not installed; training needs it: {install_command('deepspeed')}"
    return deepspeed_version()


def _compilers() -> str:
    missing = missing_compilers()
    return f"for DeepSpeed's cpu_adam, if configured: {'no ' + ', no '.join(missing) if missing else 'all here'}"


def _packages() -> str:
    try:
        requirements = requires("prunegrid") or []
    except PackageNotFoundError:  # a checkout on PYTHONPATH
        requirements = []
    if excluded := excluded_packages(requirements):
        raise PrunegridError("packages", ", ".join(excluded), "pip install 'prunegrid' again, with its dependencies")
    return ", ".join(f"{name} {number}" if (number := _version(name)) else f"no {name}" for name in PACKAGES)


def excluded_packages(requirements: list[str]) -> list[str]:
    """Installed packages that the requirements, our extras' among them, exclude, with what is required."""
    excluded = []
    for requirement in map(Requirement, requirements):
        marker = requirement.marker
        applies = marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *MODULES))
        number = _version(requirement.name) if applies else None
        if number and not requirement.specifier.contains(number, prereleases=True):
            excluded.append(f"{requirement.name} {number} ({requirement.specifier} is needed)")
    return excluded


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _extras() -> str:
    """Which extras are whole here, and what the others lack."""
    gaps = {extra: missing_modules(extra) for extra in MODULES}
    complete = ", ".join(extra for extra in gaps if not gaps[extra])
    return "; ".join([complete or "none", *(f"no {extra} ({', '.join(gap)})" for extra, gap in gaps.items() if gap)])


def _disk() -> str:
    folders = {"results": Path("results"), "temporary files": Path(tempfile.gettempdir())}
    return "\n".join(f"{byte_size(free_bytes(path))} free for {content}" for content, path in folders.items())


def is_offline() -> bool:
    from huggingface_hub.constants import HF_HUB_OFFLINE

    return HF_HUB_OFFLINE


def cached_model(repository: str, revision: str | None) -> Path | None:
    """The model's folder in the hub's cache, if its config and weights are there."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(repository, "config.json", revision=revision)
    folder = Path(config).parent if isinstance(config, str) else None
    return folder if folder and any(folder.glob("*.safetensors")) else None


def _hub() -> str:
    token = "is set" if os.environ.get("HF_TOKEN") else "is not set"
    return f"{'offline: HF_HUB_OFFLINE is set' if is_offline() else 'may be used (not tried)'}; HF_TOKEN {token}"


MACHINE: dict[str, Callable[[], str]] = {
    "cores": _cores,
    "memory": _memory,
    "devices": _devices,
    "bf16": _bf16,
    "attention": lambda: kernels.attention(_device_type(), USUAL_DTYPE[_device_type()]),
    "head": lambda: kernels.head(_device_type(), USUAL_DTYPE[_device_type()]),
    "collective": lambda: kernels.collective(_device_type()),
    "deepspeed": _deepspeed,
    "compilers": _compilers,
    "packages": _packages,
    "extras": _extras,
    "disk": _disk,
    "hub": _hub,
}
