"""Loss and gradients of a small Llama over given examples."""

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from prunegrid.selection.examples import Example
from prunegrid.training.loss import collate, total_nll
from prunegrid.training.packed_attention import PACKED

SIZES: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
}
LLAMA = LlamaConfig(**SIZES)


def built(config: Any = LLAMA, attention: str = PACKED) -> Any:
    """A model of random float64 weights, the same ones for a config."""
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention).double().eval()


def gradients(model: Any, passes: list[list[Example]], packed: bool) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss summed over the passes, and every parameter's gradient."""
    model.zero_grad()
    total = 0.0
    for rows in passes:
        loss = total_nll(model, collate(rows, packed))
        loss.backward()
        total += loss.item()
    return total, {name: p.grad.clone() for name, p in model.named_parameters()}


def assert_same(former: tuple[float, dict[str, torch.Tensor]], second: tuple[float, dict[str, torch.Tensor]]) -> None:
    """The head works in float32: losses to 1e-6, each parameter's gradient to 1e-5 of its largest entry."""
    assert former[0] == pytest.approx(second[0], rel=1e-6)
    assert former[1].keys() == second[1].keys()
    for name, gradient in former[1].items():
        largest = second[1][name].abs().max().item()
        assert largest > 0, f"{name} has no gradient: nothing is compared"
        torch.testing.assert_close(gradient, second[1][name], rtol=0, atol=1e-5 * largest, msg=name)
