"""What this machine has and runs, probe by probe: each returns what it found or raises what is wrong."""

import os
import shutil
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from prunegrid.core.disk_errors import free_bytes
from prunegrid.core.errors import PrunegridError
from prunegrid.core.text import byte_size
from prunegrid.doctor import kernels
from prunegrid.experiment.sections import USUAL_DTYPE

PACKAGES = ("torch", "transformers", "deepspeed", "peft", "lm-eval", "liger-kernel", "vllm")
AMPERE = (8, 0)  # from this compute capability on, bf16 and flash kernels are native
BF16_FLAGS = ("amx_bf16", "avx512_bf16", "bf16")


def capability() -> tuple[int, int] | None:
    """The least compute capability of the GPUs that torch sees."""
    import torch

    return min((torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())), default=None)


def dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))


def compilers_lacking() -> list[str]:
    """What compiling DeepSpeed's cpu_adam would need and is not on the PATH."""
    import torch
    from torch.utils.cpp_extension import CUDA_HOME

    lacking = [tool for tool in (os.environ.get("CXX", "g++"), "ninja") if not shutil.which(tool)]
    return [*lacking, "nvcc (set CUDA_HOME)"] if torch.version.cuda and not CUDA_HOME else lacking


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
    """What `file` says in this process's cgroup and those above it; nothing where there is no cgroup version 2."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::")), "")
    folder = Path("/sys/fs/cgroup", own)
    return [(above / file).read_text().strip() for above in (folder, *folder.parents) if (above / file).is_file()]


def _devices() -> str:
    import torch

    gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    if not gpus and torch.version.cuda is None and shutil.which("nvidia-smi"):
        raise PrunegridError(f"torch {torch.__version__} sees no GPU: it is a CPU build; install a CUDA build of torch")
    lines = [f"{g.name}, {byte_size(g.total_memory)}, compute capability {g.major}.{g.minor}" for g in gpus]
    return "\n".join(f"cuda:{i} {line}" for i, line in enumerate(lines)) or f"cpu (torch {torch.__version__}: no GPU)"


def _here() -> str:
    return "cuda" if kernels.runs_on("cuda") else "cpu"


def _bf16() -> str:
    least = capability()
    emulated = least and least < AMPERE and f"emulated (compute capability {dotted(least)}): slow"
    return f"{emulated or ('native' if least else bf16_on_cpu())}; {kernels.matmul(_here())}"


def bf16_on_cpu() -> str:
    flags = Path("/proc/cpuinfo").read_text().split()
    native = [flag for flag in BF16_FLAGS if flag in flags]
    return f"native on this CPU ({', '.join(native)})" if native else "emulated on this CPU: slow"


def _attention() -> str:
    return kernels.attention(_here(), USUAL_DTYPE[_here()])


def _head() -> str:
    return kernels.head(_here(), USUAL_DTYPE[_here()])


def _collective() -> str:
    return kernels.collective(_here())


def deepspeed() -> str:
    """The default path compiles nothing: its Adam is torch's, and on a CPU the one other op is switched off."""
    import torch

    os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")
    import deepspeed

    return f"{deepspeed.__version__}; training compiles none of its C++ ops"


def _compilers() -> str:
    lacking = compilers_lacking()
    return f"for DeepSpeed's cpu_adam, if asked for: {'no ' + ', no '.join(lacking) if lacking else 'all here'}"


def _packages() -> str:
    try:
        requirements = requires("prunegrid") or []
    except PackageNotFoundError:  # a checkout on PYTHONPATH
        requirements = []
    if old := too_old(requirements):
        raise PrunegridError(f"{', '.join(old)}; pip install 'prunegrid' again, with its dependencies")
    return ", ".join(f"{name} {found}" if (found := _version(name)) else f"no {name}" for name in PACKAGES)


def too_old(requirements: list[str]) -> list[str]:
    """Installed packages that the requirements exclude, with what is required; extras and what is missing are left."""
    old = []
    for requirement in map(Requirement, requirements):
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        found = _version(requirement.name) if applies else None
        if found and not requirement.specifier.contains(found, prereleases=True):
            old.append(f"{requirement.name} {found} ({requirement.specifier} is needed)")
    return old


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _disk() -> str:
    places = {"results": Path("results"), "temporary files": Path(tempfile.gettempdir())}
    return "\n".join(f"{byte_size(free_bytes(path))} free for {what}" for what, path in places.items())


def offline() -> bool:
    from huggingface_hub.constants import HF_HUB_OFFLINE

    return HF_HUB_OFFLINE


def cached(repository: str, revision: str | None) -> Path | None:
    """The model's folder in the hub's cache, if its config and weights are there."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(repository, "config.json", revision=revision)
    folder = Path(config).parent if isinstance(config, str) else None
    return folder if folder and any(folder.glob("*.safetensors")) else None


def _hub() -> str:
    token = "is set" if os.environ.get("HF_TOKEN") else "is not set"
    return f"{'offline: HF_HUB_OFFLINE is set' if offline() else 'may be asked (not tried)'}; HF_TOKEN {token}"


MACHINE: dict[str, Callable[[], str]] = {
    "cores": _cores,
    "memory": _memory,
    "devices": _devices,
    "bf16": _bf16,
    "attention": _attention,
    "head": _head,
    "collective": _collective,
    "deepspeed": deepspeed,
    "compilers": _compilers,
    "packages": _packages,
    "disk": _disk,
    "hub": _hub,
}
