"""The plan's activations against what torch really allocates in a forward and backward pass."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaConfig, LlamaForCausalLM

from prunegrid.experiment.training import Training
from prunegrid.models.architecture import Shape
from prunegrid.selection.examples import IGNORE, Example
from prunegrid.training.loss import collate, total_nll
from prunegrid.training.memory_model import training_activations
from prunegrid.training.packed_attention import PACKED

TOKENS, LEARNED = 512, 8
SHAPE = Shape(128, 344, 64, 4, 256, tied=False)


def model_of(training: Training) -> Any:
    """A Llama of the shape, with gradients in place, so that a pass allocates none."""
    config = LlamaConfig(
        hidden_size=SHAPE.hidden,
        intermediate_size=SHAPE.intermediate,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_hidden_layers=SHAPE.layers,
        vocab_size=SHAPE.vocabulary,
        tie_word_embeddings=False,
    )
    dtype = torch.bfloat16 if training.bf16 else torch.float32
    model = LlamaForCausalLM._from_config(config, dtype=dtype, attn_implementation=PACKED)
    if training.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    if training.method == "lora":
        get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=8, target_modules="all-linear"))
    for parameter in (parameter for parameter in model.parameters() if parameter.requires_grad):
        parameter.data = parameter.data.to(dtype)  # as DeepSpeed casts the adapters
        parameter.grad = torch.zeros_like(parameter)
    model.train()
    return model


def allocated(model: Any) -> int:
    """Bytes at the peak of one forward and backward pass of one sample, beyond what was there before."""
    ids = [1 + place % 200 for place in range(TOKENS)]
    labels = [IGNORE] * (TOKENS - LEARNED) + ids[-LEARNED:]
    inputs = collate([Example(0, ids, labels, list(range(TOKENS)), 1.0)], packed=True)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        total_nll(model, inputs).backward()
    now = peak = 0
    actual = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(actual, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(("method", "bf16"), [("lora", True), ("full", True), ("full", False)])
def test_activations_are_what_torch_allocates(method: Any, bf16: bool, checkpointing: bool) -> None:
    """Within 15 %. Few tokens are learned, so the plan's chunk of logits is left out on both sides."""
    training = Training(method=method, bf16=bf16, gradient_checkpointing=checkpointing, batch_tokens=TOKENS)
    planned = training_activations(training, SHAPE, TOKENS, "cpu")
    logits = 3 * 4 * SHAPE.vocabulary * 256
    assert allocated(model_of(training)) == pytest.approx(planned - logits, rel=0.15)
