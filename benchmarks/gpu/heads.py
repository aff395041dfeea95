"""The heads of scoring and training: the best chunk, logits in float32 from bf16 weights, and Liger's fused ones."""

from importlib.util import find_spec
from typing import Any

import torch

from gpu import limits, package
from gpu.measure import Section, rounded

CHUNKS = (256, 1024, 4096)
SPREAD = 3.0  # standard deviation of the logits: that of a trained model, about
EXACT = 64  # positions that are compared with float64


def measure(section: Section, label: str) -> None:
    """Milliseconds of 8,192 positions, and distances of the first few from float64."""
    shape, tokens = limits.SHAPES[label], 256 if section.toy else 8192
    options: dict[str, Any] = {"device": section.device, "dtype": torch.bfloat16}
    module = torch.nn.Linear(shape.hidden, shape.vocabulary, bias=False, **options).requires_grad_(False)
    module.weight.normal_(0, SPREAD / shape.hidden**0.5)
    hidden = torch.randn(tokens, shape.hidden, **options)
    target = torch.randint(0, shape.vocabulary, (tokens,), device=section.device)
    measured = {"matrix_ms": 1e3 * 2 * tokens * shape.head / (limits.EFFICIENCY * section.card.peak)}
    for chunk in CHUNKS:
        with section.attempt(f"head_{label}_{chunk}"):
            measured |= by_chunk(section, module, hidden, target, chunk)
    with section.attempt(f"head_{label}_exactness"), torch.no_grad():
        measured |= exactness(section, module, hidden[:EXACT], target[:EXACT])
        measured |= products(section, module, hidden)
    with section.attempt(f"head_{label}_fused"):
        fused = fused_heads(section, module, hidden, target)
        section.put(f"head_{label}_fused", fused)
    section.put(f"head_{label}", rounded(measured))


def by_chunk(section: Section, module: Any, hidden: Any, target: Any, chunk: int) -> dict[str, float]:
    leaf = hidden.detach().requires_grad_()
    with torch.no_grad():
        scored = section.seconds(lambda: package.score_head(module, hidden, target, chunk), 3)
    trained = section.seconds(lambda: package.train_head(module, leaf, target, chunk).backward(), 3)
    return {f"score_{chunk}_ms": 1e3 * scored, f"train_{chunk}_ms": 1e3 * trained}


def exactness(section: Section, module: Any, hidden: Any, target: Any) -> dict[str, float]:
    """Largest distances in nats: of the package's head, of logits rounded to bf16, of float32 logits from the product.

    The last needs `torch.mm`'s out_dtype, which is for CUDA only.
    """
    exact = hidden.double() @ module.weight.double().T
    nll, entropy = package.score_head(module, hidden, target)
    rounded_logits = (hidden @ module.weight.T).float()
    measured = {
        "nll_error": distance(nll, nll_of(exact, target)),
        "entropy_error": distance(entropy, entropy_of(exact)),
        "nll_error_bf16_logits": distance(nll_of(rounded_logits, target), nll_of(exact, target)),
        "entropy_error_bf16_logits": distance(entropy_of(rounded_logits), entropy_of(exact)),
    }
    if section.cuda:
        wide = torch.mm(hidden, module.weight.T, out_dtype=torch.float32)
        measured["nll_error_float32_logits"] = distance(nll_of(wide, target), nll_of(exact, target))
        measured["entropy_error_float32_logits"] = distance(entropy_of(wide), entropy_of(exact))
    return measured


def nll_of(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return logits.logsumexp(-1) - logits.gather(1, target[:, None])[:, 0]


def entropy_of(logits: torch.Tensor) -> torch.Tensor:
    logp = logits.log_softmax(-1)
    return -(logp.exp() * logp).sum(-1)


def distance(one: torch.Tensor, exact: torch.Tensor) -> float:
    return float((one.double() - exact.double()).abs().max())


def products(section: Section, module: Any, hidden: Any) -> dict[str, float]:
    """Milliseconds of the logits alone: in bf16 and then float32, and in float32 at once (CUDA only)."""
    parts, weight = hidden.split(1024), module.weight.T
    measured = {"mm_bf16_then_float_ms": 1e3 * section.seconds(lambda: [torch.mm(p, weight).float() for p in parts], 3)}
    if section.cuda:
        wide = section.seconds(lambda: [torch.mm(p, weight, out_dtype=torch.float32) for p in parts], 3)
        measured["mm_float32_ms"] = 1e3 * wide
    return measured


def fused_heads(section: Section, module: Any, hidden: Any, target: Any) -> dict[str, float] | str:
    """Liger's: of training its own loss, of scoring the one that the package takes where it applies."""
    if not find_spec("liger_kernel"):
        return "liger-kernel is not installed"
    if not section.cuda:
        return "Liger's kernels are for GPUs"
    from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

    leaf, measured = hidden.detach().requires_grad_(), {}
    loss = LigerFusedLinearCrossEntropyLoss(reduction="sum")
    measured["train_ms"] = 1e3 * section.seconds(lambda: loss(module.weight, leaf, target).backward(), 3)
    fused = package.fused_score_head(module)
    if fused:
        measured["score_ms"] = 1e3 * section.seconds(lambda: fused(hidden, module.weight, target), 3)
    return rounded(measured)
