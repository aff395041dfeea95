"""The model that a job trains: loaded, placed, and with its adapter, kernels and gradient checkpointing."""

import os
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from prunegrid.models.adapters import add_adapter
from prunegrid.models.head import patch_forward
from prunegrid.models.remote_code import may_run_code
from prunegrid.training import liger
from prunegrid.training.job import Job, Order


def load_trained_model(order: Order, device: torch.device) -> tuple[Any, dict[str, str]]:
    """The model, and the optional kernels that it does without, each with the reason.

    The Trainer's arguments must exist: they inform transformers of ZeRO-3, which shards the model as it loads.
    """
    job = order.job
    assert order.attention, "the order has the attention to train with"
    model = AutoModelForCausalLM.from_pretrained(
        job.model,
        dtype=torch.bfloat16 if job.training.bf16 else torch.float32,
        attn_implementation=order.attention.implementation,
        use_safetensors=True,
        trust_remote_code=may_run_code(job.model),
        **placement(job),
    )
    fallbacks = liger.apply(model, device) if job.training.use_liger_kernel else {}
    for reason in fallbacks.values():
        print(reason, flush=True)
    for module in (model, model.get_output_embeddings()):
        patch_forward(module)
    if order.checkpoints_layers:
        checkpoint_layers(model)
    if job.training.method == "lora":
        model = add_adapter(model, job.training.lora)
    return model, fallbacks


def placement(job: Job) -> dict[str, Any]:
    """Where the weights are read to: straight onto a rank's GPU, unless ZeRO-3 divides them as it reads them."""
    on_gpu = job.device == "cuda" and job.training.zero_stage < 3
    return {"device_map": {"": f"cuda:{os.environ['LOCAL_RANK']}"}} if on_gpu else {}


def checkpoint_layers(model: Any) -> None:
    """Recompute activations in the backward pass. transformers 5.23 renamed the method."""
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})
