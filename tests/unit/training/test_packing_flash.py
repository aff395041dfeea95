"""Packed attention on a GPU, as far as a CPU reaches: torch's own `varlen_attn`, run up to the kernel that it calls.

Meta tensors take its checks, its registered autograd and its shapes; a CPU tensor ends in the dispatch of the kernel,
whose arguments are checked against the samples one by one.
"""

from collections import Counter
from typing import Any

import pytest
import torch
from torch.nn.attention import varlen
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM, LlamaConfig

from prunegrid.models import head_chunks
from prunegrid.selection.examples import build_example
from prunegrid.training import packed_attention as packing
from prunegrid.training.loss import collate, to_device, total_nll
from prunegrid.training.packed_attention import PACKED, packed_attention, segment_borders

LENGTHS = [5, 9, 1, 14]
FLASH = torch.ops.aten._flash_attention_forward.default


@pytest.fixture
def flash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the branch that only a GPU takes."""
    monkeypatch.setattr(packing, "_has_flash", lambda _: True)


def heads(groups: int, **options: Any) -> list[torch.Tensor]:
    """Query of 4 heads, keys and values of `groups`: [1, heads, T, 8]."""
    torch.manual_seed(0)
    return [torch.randn(1, number, sum(LENGTHS), 8, **options) for number in (4, groups, groups)]


@pytest.mark.parametrize("groups", [4, 2, 1])
def test_torch_takes_the_call_and_derives_it(groups: int, flash: None) -> None:
    qkv = heads(groups, device="meta", dtype=torch.bfloat16, requires_grad=True)
    borders = segment_borders(LENGTHS).to("meta")
    actual, _ = packed_attention(torch.nn.Module(), *qkv, None, segments=LENGTHS, borders=borders)
    assert (actual.shape, actual.dtype) == ((1, sum(LENGTHS), 4, 8), torch.bfloat16)
    actual.sum().backward()
    assert all(x.grad is not None and x.grad.shape == x.shape for x in qkv)


@pytest.mark.parametrize("groups", [4, 2])
def test_the_call_ends_at_the_dispatch_of_torchs_own_kernel(groups: int, flash: None) -> None:
    with pytest.raises(NotImplementedError, match=r"aten::_flash_attention_forward.*'CPU' backend"):
        packed_attention(torch.nn.Module(), *heads(groups), None, segments=LENGTHS, borders=segment_borders(LENGTHS))


class Kernel(TorchDispatchMode):
    """Computes what torch asks of its flash kernel, as its documentation has it, sample by sample in float32."""

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        if function is torch.ops.torch_attn._varlen_attn.default:
            with self:  # torch's own code between its function and its kernel
                return varlen._varlen_attn._init_fn(*arguments, **(named or {}))
        if function is not FLASH:
            return function(*arguments, **(named or {}))
        query, key, value, borders_q, borders_k, longest_q, longest_k, dropout, causal = arguments[:9]
        assert borders_q.dtype == borders_k.dtype == torch.int32 and dropout == 0
        assert longest_q == longest_k == int(borders_q.diff().max())
        before, after = named.get("window_size_left"), named.get("window_size_right")
        outputs = []
        for start, end in zip(borders_q.tolist(), borders_q.tolist()[1:], strict=False):
            seen = torch.ones(end - start, end - start, dtype=torch.bool)
            seen = seen.tril() if causal or after == 0 else seen
            seen = seen.triu(-before) if before is not None and before >= 0 else seen
            q, k, v = (x[start:end].transpose(0, 1) for x in (query, key, value))
            outputs.append(scaled_dot_product_attention(q, k, v, seen, scale=named.get("scale"), enable_gqa=True))
        actual = torch.cat([output.transpose(0, 1) for output in outputs])
        return actual, actual.new_empty(query.shape[1], len(query)), torch.empty(2), torch.empty(0), torch.empty(0)


@pytest.mark.parametrize("window", [None, 1, 4])
@pytest.mark.parametrize("groups", [4, 2, 1])
def test_the_kernel_is_asked_for_each_sample_alone(groups: int, window: int | None, flash: None) -> None:
    qkv = heads(groups)
    named: dict[str, Any] = {"segments": LENGTHS, "scaling": 0.3, "sliding_window": window}
    with torch.no_grad(), Kernel():
        actual, _ = packed_attention(torch.nn.Module(), *qkv, None, borders=segment_borders(LENGTHS), **named)
        without, _ = packed_attention(torch.nn.Module(), *qkv, None, **named)
    packing._has_flash = lambda _: False  # the fixture puts it back
    expected, _ = packed_attention(torch.nn.Module(), *qkv, None, **named)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(actual, without), "borders that are not given are made of the lengths"


class Indices(TorchDispatchMode):
    """Counts the operations that make indices: borders made anew would be such."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        actual = function(*arguments, **(named or {}))
        if isinstance(actual, torch.Tensor) and actual.dtype in (torch.int32, torch.int64):
            self.counts[str(function)] += 1
        return actual


@pytest.mark.parametrize("repeated", [False, True], ids=["kept", "recomputed"])
def test_a_pass_makes_its_borders_once_whatever_its_layers(
    repeated: bool, flash: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forward and backward of a whole model on meta tensors, through torch's `varlen_attn`."""
    for limit in (head_chunks.CHUNK, head_chunks.ELEMENTS):
        monkeypatch.setitem(limit, "meta", limit["cuda"])
    made = []
    for layers in (2, 6):
        config = LlamaConfig(
            vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=layers, num_attention_heads=4,
            num_key_value_heads=2,
        )  # fmt: skip
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, attn_implementation=PACKED, dtype=torch.bfloat16).train()
        if repeated:
            from prunegrid.training.trained_model import checkpoint_layers

            checkpoint_layers(model)
        rows = [build_example(n, [1, 2], list(range(3, 3 + n)), None, 1.0, "drop") for n in (5, 3, 8)]
        inputs = to_device(collate(rows, packed=True), torch.device("meta"))
        with Indices() as seen:
            total_nll(model, inputs).backward()
        made.append(seen.counts)
    assert made[0] == made[1]
