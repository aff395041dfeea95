"""The kernels of scoring and training, each run on a few tokens and compared with exact arithmetic.

A probe returns what ran and how long it took, or raises a `PrunegridError` that says what to do instead. Torch is
imported inside the probes, so that those of the machine that need none of it answer even where torch does not load.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from time import perf_counter
from typing import Any

from prunegrid.core.errors import PrunegridError, first_line

LENGTHS = (5, 11)  # tokens of the two packed samples
HEADS, GROUPS, WIDTH = 4, 2, 64
POSITIONS, VOCABULARY, HIDDEN = 16, 1024, 256
SIDE = 512  # of the square matrices
REPEATS = 3
TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2}  # norm of the difference over norm of the exact result
BACKENDS = {"cpu": "gloo", "cuda": "nccl"}
COLLECTIVE_SECONDS = 60.0


class WrongResultError(Exception):
    """A kernel ran, but is further from the exact result than its data type explains."""


def runs_on(device: str) -> bool:
    import torch

    return device == "cpu" or torch.cuda.is_available()


@cache
def attention(device: str, dtype: str) -> str:
    """Two packed samples, forward and backward, against each sample on its own in float64."""
    import torch

    from prunegrid.training.packed_attention import packed_attention

    def attend(qkv: Any, lengths: Sequence[int]) -> Any:
        query_BHTD, key_BGTD, value_BGTD = qkv
        return packed_attention(torch.nn.Module(), query_BHTD, key_BGTD, value_BGTD, None, segments=list(lengths))[0]

    def run(qkv: Any, lengths: Sequence[int]) -> Any:
        """The output [1, T, H, D] and the gradients [1, H, T, D] of its squares."""
        output_BTHD = attend(qkv, lengths)
        return output_BTHD, *torch.autograd.grad(output_BTHD.double().square().sum(), qkv)

    with _probing(f"packed attention ({dtype})", "set training.packing: false"):
        torch.manual_seed(0)
        shapes = [(1, heads, sum(LENGTHS), WIDTH) for heads in (HEADS, GROUPS, GROUPS)]
        qkv = [torch.randn(shape).to(device, getattr(torch, dtype)).requires_grad_() for shape in shapes]
        results, seconds = _timed(device, lambda: run(qkv, LENGTHS))
        exact = [tensor.detach().double().requires_grad_() for tensor in qkv]
        samples = zip(*(tensor.split(LENGTHS, dim=2) for tensor in exact), strict=True)
        separate = [run(sample, [length]) for sample, length in zip(samples, LENGTHS, strict=True)]
        # the output has its tokens in dimension 1, the gradients of query, key and value in dimension 2
        expected = [torch.cat(parts, dim=1 if i == 0 else 2) for i, parts in enumerate(zip(*separate, strict=True))]
        error = max(map(_distance, results, expected))
        _check(error, dtype)
        operator = _operator(lambda: attend(qkv, LENGTHS))
    return f"packed {dtype} by {operator}: {_milliseconds(seconds)} forward and backward, {_difference(error)}"


def _operator(run: Callable[[], Any]) -> str:
    """The attention operator that torch dispatches to."""
    from torch.utils._python_dispatch import TorchDispatchMode

    names: list[str] = []

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, operator: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
            names.append(operator.name().partition("::")[2].strip("_"))
            return operator(*arguments, **(keywords or {}))

    with Recorder():
        run()
    name = next((name for name in names if "attention" in name or "attn" in name), "no fused operator")
    return name if "varlen" in name else f"SDPA, one call a sample ({name})"


@cache
def head(device: str, dtype: str) -> str:
    """The scoring head in chunks against float64, and Liger's fused one, where it applies, against the chunks."""
    import torch

    from prunegrid.models.head import chunked

    with _probing(f"head ({dtype})", f"scoring needs it; choose a dtype other than {dtype}"):
        torch.manual_seed(0)
        module = torch.nn.Linear(HIDDEN, VOCABULARY, bias=False).to(device, getattr(torch, dtype)).requires_grad_(False)
        hidden_RD = torch.randn(POSITIONS, HIDDEN).to(device, getattr(torch, dtype))
        targets_R = torch.arange(POSITIONS, device=device)
        chunks, seconds = _timed(device, lambda: torch.stack(chunked(module, hidden_RD, targets_R)))
        log_p_RV = (hidden_RD.double() @ module.weight.double().T).log_softmax(-1)
        exact = torch.stack([-log_p_RV.gather(1, targets_R[:, None])[:, 0], -(log_p_RV.exp() * log_p_RV).sum(-1)])
        error = _distance(chunks, exact)
        _check(error, dtype)
    line = f"chunked {dtype}: {_milliseconds(seconds)}, {_difference(error)}"
    return f"{line}\n{_liger(device, module, hidden_RD, targets_R, chunks)}"


def _liger(device: str, module: Any, hidden_RD: Any, targets_R: Any, chunks: Any) -> str:
    import torch

    from prunegrid.models.head import fused

    with _probing("Liger's head", "scoring falls back to the chunked head; repair or remove liger-kernel"):
        liger = fused(module)
        if liger is None:
            return "not Liger's: it needs liger-kernel, a GPU of compute capability 9.0 and bfloat16"
        results, seconds = _timed(device, lambda: torch.stack(liger(hidden_RD, module.weight, targets_R)))
        error = _distance(results, chunks)
        _check(error, "bfloat16")
    return f"Liger's: {_milliseconds(seconds)}, {_difference(error)}"


@cache
def matmul(device: str) -> str:
    """bf16 against float64, and the time of float32; on a GPU also bf16 with a float32 result."""
    import torch

    with _probing("matmul (bfloat16)", "choose dtype: float32 and bf16: false"):
        torch.manual_seed(0)
        a, b = torch.randn(2, SIDE, SIDE).to(device, torch.bfloat16)
        exact = a.double() @ b.double()
        product, seconds = _timed(device, lambda: a @ b)
        _check(_distance(product, exact), "bfloat16")
        _, float32_seconds = _timed(device, partial(torch.matmul, a.float(), b.float()))
    line = f"{SIDE} x {SIDE} matmul in {_milliseconds(seconds)} (float32: {_milliseconds(float32_seconds)})"
    return f"{line}\n{_float32_result(a, b, exact)}" if device == "cuda" else line


def _float32_result(a: Any, b: Any, exact: Any) -> str:
    import torch

    with _probing("matmul (bfloat16 to float32)", "choose scoring.dtype: float32"):
        product, seconds = _timed("cuda", lambda: torch.mm(a, b, out_dtype=torch.float32))
        error = _distance(product, exact)
        _check(error, "float32")
    return f"with float32 result: {_milliseconds(seconds)}, {_difference(error)}"


@cache
def collective(device: str, backend: str | None = None) -> str:
    """An all_reduce of one rank in a process of its own, since a failing collective may never return."""
    backend = backend or BACKENDS[device]
    command = [sys.executable, "-P", str(Path(__file__).with_name("collective.py")), backend, device]
    place, fix = f"collective ({backend})", "training needs it"
    if backend == "nccl":
        fix += "; NCCL_DEBUG=INFO prints more, NCCL_SOCKET_IFNAME=lo may help"
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=COLLECTIVE_SECONDS)
    except subprocess.TimeoutExpired:
        raise PrunegridError(place, f"no answer within {COLLECTIVE_SECONDS:g} s", fix) from None
    if process.returncode:
        output = [line for line in process.stderr.splitlines() if line.strip()]
        reason = output[-1].strip() if output else f"exit code {process.returncode}"
        raise PrunegridError(place, f"failed with one rank: {reason}", fix)
    return f"{backend} with one rank: {process.stdout.strip()}"


@contextmanager
def _probing(kernel: str, fix: str) -> Iterator[None]:
    """Turn any failure in the block into an error about the kernel, with its fix."""
    try:
        yield
    except WrongResultError as error:
        raise PrunegridError(kernel, str(error), fix) from None
    except Exception as error:
        raise PrunegridError(kernel, f"failed: {type(error).__name__}: {first_line(error)}", fix) from error


def _timed(device: str, run: Callable[[], Any]) -> tuple[Any, float]:
    """The result, and the seconds of the fastest of a few runs after one that may compile."""
    import torch

    def timed_run() -> tuple[Any, float]:
        start = perf_counter()
        result = run()
        if device == "cuda":
            torch.cuda.synchronize()
        return result, perf_counter() - start

    timed_run()
    runs = [timed_run() for _ in range(REPEATS)]
    return runs[0][0], min(seconds for _, seconds in runs)


def _distance(result: Any, expected: Any) -> float:
    import torch

    result, expected = result.detach().double(), expected.detach().double()
    return float(torch.linalg.vector_norm(result - expected) / torch.linalg.vector_norm(expected))


def _check(error: float, dtype: str) -> None:
    if not error < TOLERANCE[dtype]:
        raise WrongResultError(f"wrong in {dtype}: {_difference(error)}")


def _difference(error: float) -> str:
    return f"relative difference {error:.0e}"


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.2g} ms"
