"""The language model's head at response tokens: NLL of the token and entropy of the prediction, in nats."""

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn.functional import linear

from prunegrid.core.errors import first_line
from prunegrid.models.head_chunks import chunk_positions
from prunegrid.models.probes import check_causal, check_plain_head

HALF = (torch.bfloat16, torch.float16)
CACHE = {"cpu": 2**20, "cuda": 2**26}  # on a CPU the statistics of this many logits stay in its cache
Fused = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def patch_forward(module: Any) -> None:
    """Replace the module's `forward` so that `module(run=f)` returns f(); a call without `run` is as before.

    For ZeRO-3, which wraps calls of a module and has its weights gathered only within them.
    """
    original = module.forward

    def forward(*arguments: Any, run: Callable[[], Any] | None = None, **inputs: Any) -> Any:
        return original(*arguments, **inputs) if run is None else run()

    forward.runs = True  # type: ignore[attr-defined]
    module.forward = forward


def run_in_forward(module: Any, run: Callable[[], Any]) -> Any:
    """run() within one call of the module if its forward is patched (`patch_forward`), otherwise directly.

    One call, however many chunks: each call is a collective, and ranks differ in their number of chunks.
    """
    return module(run=run) if getattr(module.forward, "runs", False) else run()


class Head:
    """The head of `model`. `name` is the implementation, `chunked` or `liger`.

    `fallbacks` says why Liger's kernel is not used, if it is installed but does not work.
    """

    def __init__(self, model: Any) -> None:
        self.module = model.get_output_embeddings()
        check_plain_head(model, self.module)
        check_causal(model)
        self.fallbacks: dict[str, str] = {}
        self.fused: Fused | None = None
        try:
            self.fused = fused(self.module)
        except Exception as error:  # whatever a broken installation raises
            self._give_up_fused(error)

    @property
    def name(self) -> str:
        return "liger" if self.fused else "chunked"

    def __call__(self, hidden_RD: torch.Tensor, targets_R: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """float32[R] each: NLL of the targets, and entropy."""
        if self.fused:
            try:
                nll_R, entropy_R = self.fused(hidden_RD, self.module.weight, targets_R)
                return nll_R.float(), entropy_R.float()
            except (torch.OutOfMemoryError, torch.AcceleratorError):  # no fault of the kernel, or nothing runs any more
                raise
            except Exception as error:  # it is compiled at its first call
                self._give_up_fused(error)
        return run_in_forward(self.module, partial(chunked, self.module, hidden_RD, targets_R))  # type: ignore[no-any-return]

    def _give_up_fused(self, error: Exception) -> None:
        self.fused = None
        self.fallbacks["head"] = f"chunked instead of liger ({type(error).__name__}: {first_line(error)})"
        print(f"head: {self.fallbacks['head']}", file=sys.stderr, flush=True)


def logits(module: Any, hidden_CD: torch.Tensor) -> torch.Tensor:
    """float32[C, V]. On a GPU half-precision inputs give float32 logits: rounding them to half precision would cost
    0.03 to 0.06 nats where a logit is 16."""
    if hidden_CD.is_cuda and hidden_CD.dtype in HALF and module.weight.dtype == hidden_CD.dtype:
        logits_CV: torch.Tensor = Product.apply(hidden_CD, module.weight)
        return logits_CV if module.bias is None else logits_CV + module.bias.float()
    return linear(hidden_CD, module.weight, module.bias).float()


class Product(torch.autograd.Function):
    """hidden x weight as float32, with the gradients of a linear layer whose output is cast to float32. torch's own
    product with an output type (CUDA only) has no derivative."""

    @staticmethod
    def forward(context: Any, hidden_CD: torch.Tensor, weight_VD: torch.Tensor) -> torch.Tensor:
        context.save_for_backward(hidden_CD, weight_VD)
        return torch.mm(hidden_CD, weight_VD.T, out_dtype=torch.float32)

    @staticmethod
    def backward(context: Any, gradient_CV: torch.Tensor) -> Any:
        hidden_CD, weight_VD = context.saved_tensors
        gradient_CV = gradient_CV.to(hidden_CD.dtype)
        hidden_needed, weight_needed = context.needs_input_grad
        return gradient_CV @ weight_VD if hidden_needed else None, gradient_CV.T @ hidden_CD if weight_needed else None


def chunked(
    module: Any, hidden_RD: torch.Tensor, targets_R: torch.Tensor, elements: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """NLL and entropy, a chunk of positions at a time (see `head_chunks`).

    At most `elements` float32 logits exist at a time, and their statistics are computed for at most `CACHE` of them,
    whatever the number of positions and the size of the vocabulary.
    """
    kind, vocabulary = hidden_RD.device.type, module.out_features
    size = chunk_positions(kind, vocabulary, elements)
    rows = max(1, min(size, CACHE[kind] // vocabulary))
    nll_R, entropy_R = torch.empty((2, len(targets_R)), dtype=torch.float32, device=hidden_RD.device)
    space_BV = torch.empty(rows, vocabulary, device=hidden_RD.device)
    for start in range(0, len(targets_R), size):
        logits_CV = logits(module, hidden_RD[start : start + size])
        for block in range(0, len(logits_CV), rows):
            logits_BV = logits_CV[block : block + rows]
            places = slice(start + block, start + block + len(logits_BV))
            nll_R[places], entropy_R[places] = _statistics(logits_BV, targets_R[places], space_BV)
    return nll_R, entropy_R


def _statistics(
    z_BV: torch.Tensor, targets_B: torch.Tensor, space_BV: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """NLL = log S - z_y and entropy = log S - sum(p z): z are the logits less their maximum (changed in place), p their
    softmax (written to `space_BV`), and S = sum(exp z) is its denominator.
    """
    z_BV.sub_(z_BV.amax(-1, keepdim=True))
    p_BV = torch.softmax(z_BV, -1, out=space_BV[: len(z_BV)])
    # The largest z is 0, so the largest p is exp(0) / S = 1 / S, and log S = -log(max p). This reads the softmax that
    # the entropy needs anyway; logsumexp would go over the vocabulary and compute its exponentials a second time.
    log_sum_B = -p_BV.amax(-1).log()
    return log_sum_B - z_BV.gather(-1, targets_B[:, None])[:, 0], log_sum_B - torch.linalg.vecdot(p_BV, z_BV)


def fused(module: Any) -> Fused | None:
    """Liger's fused linear cross entropy with entropy, if it applies; else None.

    It needs liger-kernel >= 0.8.2 with its CuTe DSL kernels, a GPU of compute capability 9.0, bfloat16 and a
    head without bias; otherwise Liger itself falls back to chunks that are no better than ours. Its entropy
    is rounded to bfloat16 (3 digits). Written against the source of 0.8.5 and not run: no GPU was available.
    Raises whatever a broken installation raises; a missing one is not an error.
    """
    weight = module.weight
    if hasattr(weight, "ds_id"):  # ZeRO-3 has it in pieces
        return None
    if weight.device.type != "cuda" or weight.dtype != torch.bfloat16 or getattr(module, "bias", None) is not None:
        return None
    if torch.cuda.get_device_capability(weight.device) != (9, 0):
        return None
    os.environ.setdefault("LIGER_SCALED_CE_SM90_VALIDATE_TARGETS", "0")  # a check that waits for the device
    try:
        import liger_kernel.ops.cutedsl.ops.fused_scaled_cross_entropy_sm90  # noqa: F401
        from liger_kernel.ops import LigerFusedLinearScaledCrossEntropyFunction as Liger
    except ModuleNotFoundError:
        return None

    def apply(hidden_RD: torch.Tensor, weight_VD: torch.Tensor, targets_R: torch.Tensor) -> Any:
        return Liger.apply(hidden_RD.contiguous(), weight_VD, targets_R, return_entropy=True)

    return apply
