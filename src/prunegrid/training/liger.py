"""Liger's kernels (Triton, GPUs) for the norms, the rotary embedding and the MLP of a trained model.

Liger's loss is not used: it rounds the logits to the model's precision and waits for the device in every pass.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch

from prunegrid.core.errors import first_line

KERNELS = ("rope", "rms_norm", "swiglu")
WITHOUT_LIGER = "layers without Liger's kernels"


def apply(model: Any, device: torch.device) -> dict[str, str]:
    """Give the model Liger's kernels. If that fails the model stays as it is, and the reason is returned for
    `training.json`."""
    try:
        # Here and below: only a GPU needs Liger, and its import may fail, as may its kernels.
        from liger_kernel.transformers import _apply_liger_kernel_to_instance
        from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN as PATCHES

        kind = model.config.model_type
        if kind not in PATCHES:
            return {"liger": f"{WITHOUT_LIGER}: liger-kernel knows no {kind}"}
        _try_kernels(device)
    except Exception as error:  # Triton compiles at the first call, and breaks in many ways
        return {"liger": f"{WITHOUT_LIGER} ({type(error).__name__}: {first_line(error)})"}
    try:
        _apply_liger_kernel_to_instance(model, **_parts(PATCHES[kind]))
    except Exception as error:
        return {"liger": f"some layers without Liger's kernels ({type(error).__name__}: {first_line(error)})"}
    return {}


def _parts(patch: Callable[..., Any]) -> dict[str, bool]:
    """The switches of liger-kernel's patch for a kind of model: only tested kernels are on."""
    switches = (p.name for p in inspect.signature(patch).parameters.values() if isinstance(p.default, bool))
    return {name: name in KERNELS for name in switches}


def _try_kernels(device: torch.device) -> None:
    """Run each kernel forward and backward on a few numbers, before the model depends on it."""
    from liger_kernel.transformers import functional

    states_BTD = torch.ones(1, 2, 64, device=device, requires_grad=True)
    heads_BHTD, angles_BTD = states_BTD.view(1, 2, 1, 64), torch.ones(1, 1, 64, device=device)
    normed_BTD = functional.liger_rms_norm(states_BTD, torch.ones(64, device=device, requires_grad=True), 1e-6)
    query_BHTD, key_BHTD = functional.liger_rope(heads_BHTD.clone(), heads_BHTD.clone(), angles_BTD, angles_BTD)
    product_BTD = functional.liger_swiglu(normed_BTD, states_BTD.clone())
    (product_BTD.sum() + query_BHTD.sum() + key_BHTD.sum()).backward()
