"""One training forward: samples as tensors, packed or padded, and the loss of their trainable tokens.

Every forward goes through `model(run=...)`, so that DeepSpeed's and peft's wrappers see an ordinary call, while the
head works on trainable positions only and never holds the logits of more than a chunk of them. TRL's `chunked_nll`
does the latter too, but knows no weights of samples, and calls the head once for each chunk: under ZeRO-3 every call
gathers the head's weights from all ranks, which have different numbers of chunks and would wait for each other.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from prunegrid.models.head import logits, run_in_forward
from prunegrid.models.head_chunks import chunk_positions
from prunegrid.selection.examples import IGNORE, Example
from prunegrid.training.packed_attention import segment_borders

EMPTY = Example(-1, [0], [IGNORE], [0], 1.0)
Inputs = dict[str, Any]


def collate(examples: list[Example], packed: bool) -> Inputs:
    """Ids and positions: int64[1, T] of packed samples, or [B, T] padded on the right, with a mask.

    `segments` are the lengths of packed samples, `borders` where they begin and end. For each of R trainable tokens,
    `before_R` is the flat place that it is predicted from, `target_R` its id, `weight_R` its sample's weight. Padded
    samples have an explicit mask: without one, transformers mistakes a gap in the positions for the border between
    packed samples. No samples become one token that is not trained on.
    """
    examples = examples or [EMPTY]
    lengths = [len(example.ids) for example in examples]
    width = sum(lengths) if packed else max(lengths)
    starts = np.cumsum([0, *lengths[:-1]]) if packed else np.arange(len(examples)) * width
    places = [np.flatnonzero(np.array(example.labels) != IGNORE) for example in examples]
    assert all(place.min(initial=1) > 0 for place in places), "a first token is trainable, but nothing predicts it"
    fields = {
        "input_ids": [example.ids for example in examples],
        "position_ids": [example.positions for example in examples],
    }
    weights = [
        weight
        for example, place in zip(examples, places, strict=True)
        for weight in example.weights or [example.weight] * len(place)
    ]
    shape = _packed(lengths) if packed else _padded(lengths)
    return {
        **{name: _tensor(rows, packed, width) for name, rows in fields.items()},
        **shape,
        "before_R": torch.from_numpy(np.concatenate([s + p - 1 for s, p in zip(starts, places, strict=True)])),
        "target_R": torch.tensor([label for example in examples for label in example.labels if label != IGNORE]).long(),
        "weight_R": torch.tensor(weights).float(),
        "sample_ids": [example.sample_id for example in examples if example is not EMPTY],
    }


def _tensor(rows: list[list[int]], packed: bool, width: int) -> torch.Tensor:
    if packed:
        return torch.tensor([[value for row in rows for value in row]])
    return torch.tensor([row + [0] * (width - len(row)) for row in rows])


def _packed(lengths: list[int]) -> Inputs:
    return {"attention_mask": None, "segments": lengths, "borders": segment_borders(lengths)}


def _padded(lengths: list[int]) -> Inputs:
    real_BT = np.arange(max(lengths)) < np.array(lengths)[:, None]
    return {"attention_mask": torch.from_numpy(real_BT.astype(np.int64)), "segments": None}


def to_device(inputs: Inputs, device: torch.device) -> Inputs:
    """The inputs with their tensors on the device. Copies to a GPU come from pinned memory, so that they are queued
    instead of waiting for the previous pass."""
    return {name: _copied(value, device) if torch.is_tensor(value) else value for name, value in inputs.items()}


def _copied(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    source = tensor.pin_memory() if device.type == "cuda" else tensor
    return source.to(device, non_blocking=True)


def total_nll(model: Any, inputs: Inputs) -> torch.Tensor:
    """The sum of weight x NLL (nats) over trainable tokens, a float32 scalar."""
    packed = {} if inputs["segments"] is None else {name: inputs[name] for name in ("segments", "borders")}
    arguments = {name: inputs[name] for name in ("input_ids", "position_ids", "attention_mask")} | packed
    hidden_BTD = model.get_decoder()(**arguments, use_cache=False).last_hidden_state
    hidden_RD = hidden_BTD.flatten(0, 1)[inputs["before_R"]]
    head = model.get_output_embeddings()
    run = partial(chunked_nll, head, hidden_RD, inputs["target_R"], inputs["weight_R"])
    return run_in_forward(head, run)  # type: ignore[no-any-return]


def chunked_nll(
    head: Any, hidden_RD: torch.Tensor, target_R: torch.Tensor, weight_R: torch.Tensor, size: int | None = None
) -> torch.Tensor:
    """The weighted sum of NLL, with the logits of `size` positions at a time.

    A frozen head's gradient is computed chunk by chunk in the forward pass; a trained head computes its logits once
    more in the backward pass.
    """
    size = size or chunk_positions(hidden_RD.device.type, head.out_features)
    parts = [range(start, min(start + size, len(target_R))) for start in range(0, len(target_R), size)] or [range(0)]
    if not any(parameter.requires_grad for parameter in head.parameters()):
        return _FrozenHead.apply(head, parts, hidden_RD, target_R, weight_R)  # type: ignore[no-any-return]
    losses = [
        checkpoint(_nll, head, hidden_RD[p.start : p.stop], target_R[p.start : p.stop], weight_R[p.start : p.stop],
                   use_reentrant=False, preserve_rng_state=False)
        for p in parts
    ]  # fmt: skip
    return torch.stack(losses).sum()


def _nll(head: Any, hidden_CD: torch.Tensor, target_C: torch.Tensor, weight_C: torch.Tensor) -> torch.Tensor:
    return cross_entropy(logits(head, hidden_CD), target_C, reduction="none") @ weight_C


class _FrozenHead(torch.autograd.Function):
    """`_nll` over chunks, which keeps only the gradient with respect to the hidden states."""

    @staticmethod
    def forward(
        context: Any,
        head: Any,
        parts: list[range],
        hidden_RD: torch.Tensor,
        target_R: torch.Tensor,
        weight_R: torch.Tensor,
    ) -> torch.Tensor:
        gradient_RD, total = torch.empty_like(hidden_RD), torch.zeros((), device=hidden_RD.device)
        for part in (slice(p.start, p.stop) for p in parts):
            with torch.enable_grad():
                hidden_CD = hidden_RD[part].detach().requires_grad_()
                loss = _nll(head, hidden_CD, target_R[part], weight_R[part])
            (gradient_RD[part],) = torch.autograd.grad(loss, hidden_CD)
            total += loss.detach()
        context.save_for_backward(gradient_RD)
        return total

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> Any:
        (gradient_RD,) = context.saved_tensors
        return None, None, gradient_RD * gradient.to(gradient_RD.dtype), None, None
