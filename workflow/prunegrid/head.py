"""What the language model's head says at a response token: its NLL and the entropy of the prediction, in nats."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn.functional import linear

from prunegrid.models.probes import check_causal, check_plain_head

CHUNK = 256
ELEMENTS = {"cpu": 2**23, "cuda": 2**26}
CACHE = {"cpu": 2**20, "cuda": 2**26}  # on a CPU the statistics of this many logits stay in its cache
Fused = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def run_inside(module: Any) -> None:
    """Make `module(run=f)` return f(), whatever wraps its calls; a call without `run` is the module's own."""
    own = module.forward

    def forward(*arguments: Any, run: Callable[[], Any] | None = None, **inputs: Any) -> Any:
        return own(*arguments, **inputs) if run is None else run()

    forward.runs = True  # type: ignore[attr-defined]
    module.forward = forward


def inside(module: Any, run: Callable[[], Any]) -> Any:
    """run() within one call of the module, where calls are `run_inside`: ZeRO-3 shows weights in them only.

    One call, however many chunks: each call is a collective, and ranks differ in their number of chunks.
    """
    return module(run=run) if getattr(module.forward, "runs", False) else run()


class Head:
    """The head of `model`: `name` says how its statistics are computed, `chunked` or `liger`."""

    def __init__(self, model: Any) -> None:
        self.module = model.get_output_embeddings()
        check_plain_head(model, self.module)
        check_causal(model)
        self.fused = fused(self.module)
        self.name = "liger" if self.fused else "chunked"

    def __call__(self, hidden_RD: torch.Tensor, targets_R: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """float32[R] each: NLL of the targets, and entropy."""
        if self.fused:
            nll_R, entropy_R = self.fused(hidden_RD, self.module.weight, targets_R)
            return nll_R.float(), entropy_R.float()
        return inside(self.module, partial(chunked, self.module, hidden_RD, targets_R))  # type: ignore[no-any-return]


def chunked(
    module: Any, hidden_RD: torch.Tensor, targets_R: torch.Tensor, elements: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """NLL and entropy of `CHUNK` positions at once, fewer where the vocabulary is large.

    At most `elements` float32 logits exist, and statistics of at most `CACHE`, however many positions and tokens
    there are.
    """
    kind, vocabulary = hidden_RD.device.type, module.out_features
    size = max(1, min(CHUNK, (elements or ELEMENTS[kind]) // vocabulary))
    rows = max(1, min(size, CACHE[kind] // vocabulary))
    nll_R, entropy_R = torch.empty((2, len(targets_R)), dtype=torch.float32, device=hidden_RD.device)
    space_BV = torch.empty(rows, vocabulary, device=hidden_RD.device)
    for start in range(0, len(targets_R), size):
        logits_CV = linear(hidden_RD[start : start + size], module.weight, module.bias).float()
        for block in range(0, len(logits_CV), rows):
            here = slice(start + block, start + block + len(logits_CV[block : block + rows]))
            nll_R[here], entropy_R[here] = _statistics(logits_CV[block : block + rows], targets_R[here], space_BV)
    return nll_R, entropy_R


def _statistics(
    z_BV: torch.Tensor, targets_B: torch.Tensor, space_BV: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """NLL = log S - z_y and entropy = log S - sum(p z): z are logits less their maximum (in place), S = 1 / max p."""
    z_BV.sub_(z_BV.amax(-1, keepdim=True))
    p_BV = torch.softmax(z_BV, -1, out=space_BV[: len(z_BV)])
    log_B = -p_BV.amax(-1).log()
    return log_B - z_BV.gather(-1, targets_B[:, None])[:, 0], log_B - torch.linalg.vecdot(p_BV, z_BV)


def fused(module: Any) -> Fused | None:
    """Liger's fused linear cross entropy with entropy, where it applies; else None.

    It needs liger-kernel >= 0.8.2 with its CuTe DSL kernels, a GPU of compute capability 9.0, bfloat16 and a
    head without bias; elsewhere Liger itself falls back to chunks that are no better than ours. Its entropy
    comes rounded to bfloat16 (3 digits). Written against the source of 0.8.5 and untried: no GPU was there.
    """
    weight = module.weight
    if hasattr(weight, "ds_id"):  # ZeRO-3 has it in pieces
        return None
    if weight.device.type != "cuda" or weight.dtype != torch.bfloat16 or getattr(module, "bias", None) is not None:
        return None
    if torch.cuda.get_device_capability(weight.device) != (9, 0):
        return None
    try:
        import liger_kernel.ops.cutedsl.ops.fused_scaled_cross_entropy_sm90  # noqa: F401
        from liger_kernel.ops import LigerFusedLinearScaledCrossEntropyFunction as Liger
    except ImportError:
        return None

    def apply(hidden_RD: torch.Tensor, weight_VD: torch.Tensor, targets_R: torch.Tensor) -> Any:
        return Liger.apply(hidden_RD.contiguous(), weight_VD, targets_R, return_entropy=True)

    return apply
