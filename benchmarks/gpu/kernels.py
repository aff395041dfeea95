"""Kernels: attention of packed samples and of dense rows, and the two heads (heads.py)."""

import contextlib
import inspect
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from gpu import heads, package
from gpu.measure import Section, rounded
from gpu.random_model import lengths

BACKENDS = {"cpu": ("default", "FLASH_ATTENTION", "MATH")}
BACKENDS["cuda"] = (*BACKENDS["cpu"], "CUDNN_ATTENTION", "EFFICIENT_ATTENTION")
HEADS = {"7b": (32, 32), "grouped": (32, 8)}


def run(section: Section) -> None:
    from torch.nn.attention.varlen import varlen_attn

    section.put("varlen_attn", str(inspect.signature(varlen_attn)))
    segments = packed_lengths(section)
    for label, (queries, keys) in HEADS.items():
        with section.attempt(f"packed_{label}"):
            section.put(f"packed_{label}", packed(section, segments, queries, keys))
    for backend in BACKENDS[section.device]:
        with section.attempt(f"sdpa_{backend}"):
            section.put(f"sdpa_{backend}_tflops", dense(section, backend))
    for label in ("tiny",) if section.toy else ("7b", "1b"):
        heads.measure(section, label)


def packed_lengths(section: Section) -> list[int]:
    """As many samples as fit a pass."""
    room, chosen = 512 if section.toy else 8192, []
    for length in lengths(section, 200).sum(1).tolist():
        if sum(chosen) + length > room:
            break
        chosen.append(length)
    return chosen


def packed(section: Section, segments: list[int], queries: int, keys: int) -> dict[str, float]:
    """Packed attention forward and backward; one call a sample instead; the distance from float64."""
    width, tokens = (16 if section.toy else 128), sum(segments)
    shapes = [(1, count, tokens, width) for count in (queries, keys, keys)]
    made = [torch.randn(s, device=section.device, dtype=torch.bfloat16, requires_grad=True) for s in shapes]
    ours = package.attention(segments, section.device)
    forward = section.seconds(lambda: ours(*made))
    upstream = torch.randn_like(ours(*made))
    both = section.seconds(lambda: torch.autograd.grad(ours(*made), made, upstream))
    parts = list(zip(*(x.detach().split(segments, dim=2) for x in made), strict=True))
    loop = section.seconds(lambda: [attend(*part) for part in parts])
    exact = torch.cat([attend(*(x.double() for x in part)) for part in parts], dim=2).transpose(1, 2)
    operations = sum(2 * queries * width * length**2 for length in segments)
    with torch.no_grad():
        error = float((ours(*made).double() - exact).norm() / exact.norm())
    times = {"forward_ms": 1e3 * forward, "forward_backward_ms": 1e3 * both, "loop_forward_ms": 1e3 * loop}
    rates = {"forward_tflops": operations / forward / 1e12, "error": error}
    return rounded(times | rates) | {"samples": len(segments), "tokens": tokens}


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    return scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=query.shape[1] != key.shape[1])


def dense(section: Section, backend: str) -> float:
    """Operations a second of causal SDPA on equally long rows."""
    batch, count, length, width = (1, 2, 64, 32) if section.toy else (8, 32, 1024, 128)
    made = [torch.randn(batch, count, length, width, device=section.device, dtype=torch.bfloat16) for _ in range(3)]
    chosen: Any = contextlib.nullcontext() if backend == "default" else sdpa_kernel(getattr(SDPBackend, backend))
    with chosen:
        taken = section.seconds(lambda: attend(*made))
    return float(f"{2 * batch * count * length**2 * width / taken / 1e12:.4g}")
