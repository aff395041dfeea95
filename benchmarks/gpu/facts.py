"""The machine and its ceilings, of which all expectations are made."""

import hashlib
import importlib.metadata
import os
import platform
import subprocess
import tempfile
import time
from typing import Any

import torch

from gpu.measure import Section, matrix_rate

PACKAGES = (
    "torch", "transformers", "deepspeed", "accelerate", "peft", "trl", "liger-kernel", "lm-eval", "vllm", "numpy",
    "triton", "datasets",
)  # fmt: skip
CARD = "name,driver_version,clocks.sm,clocks.max.sm,power.limit,temperature.gpu,memory.total"


def run(section: Section) -> None:
    section.put("device_start_s", round(device_start(section), 2))
    section.put("versions", versions())
    section.put("cpus", os.cpu_count())
    if section.cuda:
        section.put("card", torch.cuda.get_device_name())
        section.put("memory_gb", round(torch.cuda.get_device_properties(0).total_memory / 1e9, 1))
        with section.attempt("nvidia_smi"):
            query = ["nvidia-smi", f"--query-gpu={CARD}", "--format=csv,noheader"]
            section.put("nvidia_smi", subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip())
    matrices(section)
    copies(section)
    launches(section)
    host(section)


def device_start(section: Section) -> float:
    """Seconds from torch's import to the first matrix product, of which the next process pays the most again."""
    started = time.perf_counter()
    one = torch.ones(256, 256, device=section.device, dtype=torch.bfloat16)
    float((one @ one).sum())
    return time.perf_counter() - started


def versions() -> dict[str, Any]:
    installed: dict[str, Any] = {"python": platform.python_version(), "cuda": torch.version.cuda}
    for name in PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed[name] = "not installed"
    return installed


def matrices(section: Section) -> None:
    section.put("bf16_tflops", _tera(matrix_rate(section, torch.bfloat16)))
    section.put("fp32_tflops", _tera(matrix_rate(section, torch.float32, 3)))
    torch.backends.cuda.matmul.allow_tf32 = True
    section.put("tf32_tflops", _tera(matrix_rate(section, torch.float32, 3)))
    torch.backends.cuda.matmul.allow_tf32 = False


def _tera(rate: float) -> float:
    return float(f"{rate / 1e12:.4g}")


def copies(section: Section) -> None:
    size = 2**20 if section.toy else 2**31
    source = torch.empty(size, dtype=torch.int8, device=section.device)
    target = torch.empty_like(source)
    section.put("copy_gb_s", round(2 * size / section.seconds(lambda: target.copy_(source)) / 1e9, 1))
    pageable = torch.empty(min(size, 2**29), dtype=torch.int8)
    hosts = {"pageable": pageable} | ({"pinned": pageable.pin_memory()} if section.cuda else {})
    for name, memory in hosts.items():
        taken = section.seconds(lambda memory=memory: source[: len(memory)].copy_(memory), 3)
        section.put(f"to_device_{name}_gb_s", round(len(memory) / taken / 1e9, 1))


def launches(section: Section) -> None:
    small = torch.zeros(8, device=section.device)
    section.put("launch_us", round(1e6 * section.seconds(lambda: [small.add_(1) for _ in range(1000)]) / 1000, 2))
    section.put("wait_us", round(1e6 * section.seconds(lambda: [float(small[0]) for _ in range(100)]) / 100, 2))


def host(section: Section) -> None:
    data = os.urandom(2**20) * (8 if section.toy else 512)
    taken = section.seconds(lambda: hashlib.sha256(data).digest(), 1, 0)
    section.put("sha256_gb_s", round(len(data) / taken / 1e9, 2))
    with tempfile.NamedTemporaryFile() as file:

        def write() -> None:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

        section.put("disk_write_gb_s", round(len(data) / section.seconds(write, 1, 0) / 1e9, 2))
