"""What the language model's head says at a response token: its NLL and the entropy of the prediction, in nats."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn.functional import linear

from prunegrid.errors import PrunegridError

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
        _check_plain(model, self.module)
        self.fused = fused(self.module)
        self.name = "liger" if self.fused else "chunked"

    def __call__(self, hidden_RD: torch.Tensor, targets_R: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """float32[R] each: NLL of the targets, and entropy."""
        if self.fused:
            nll_R, entropy_R = self.fused(hidden_RD, self.module.weight, targets_R)
            return nll_R.float(), entropy_R.float()
        return inside(self.module, partial(chunked, self.module, hidden_RD, targets_R))  # type: ignore[no-any-return]


def _check_plain(model: Any, module: Any) -> None:
    """Refuse a model that changes its logits after the head, and an adapted head."""
    if type(module).forward is not torch.nn.Linear.forward:
        raise PrunegridError(
            f"{type(module).__name__}: the head is no plain linear layer; leave it out of lora.target_modules"
        )
    kind = model.config.model_type
    if apart(model) is None:
        raise PrunegridError(f"{kind}: get_decoder() is the model with its head; the scoring pass needs it without")
    if changes_logits(model):
        raise PrunegridError(f"{kind}: it changes its logits after the head, which the scoring pass does not")


def apart(model: Any) -> Any | None:
    """The model without its head; None where `get_decoder()` gives it with its head (Llama 4's language model)."""
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    return None if any(module is head for module in decoder.modules()) else decoder


def not_finite(model: Any, what: str) -> PrunegridError:
    """The error of a model whose logits are not numbers."""
    return PrunegridError(
        f"{model.name_or_path or model.config.model_type}: its logits {what} are not finite: its training diverged "
        f"(train it again, with a lower learning rate), or {model.dtype} is too narrow for it"
    )


def changes_logits(model: Any) -> bool:
    """Whether the model's logits differ from its head's on a few tokens (a soft cap, a scale).

    Logits that are not finite are a `PrunegridError`.
    """
    ids_BT = torch.arange(1, 5, device=model.device)[None]
    with torch.no_grad():
        logits_BTV = model.forward(input_ids=ids_BT, use_cache=False).logits
        hidden_BTD = model.get_decoder()(input_ids=ids_BT, use_cache=False).last_hidden_state
        plain_BTV = model.get_output_embeddings()(hidden_BTD)
    if not logits_BTV.isfinite().all():
        raise not_finite(model, "of the tokens 1 to 4")
    near = 1e-5 * float(plain_BTV.abs().max())
    return not torch.allclose(logits_BTV.float(), plain_BTV.float(), rtol=1e-5, atol=near)


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
