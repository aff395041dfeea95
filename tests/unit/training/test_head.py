"""The loss at the head: the right number and gradients, whatever the chunks, and never more logits than a chunk's."""

import math
import weakref
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM

from prunegrid.models import head, head_chunks
from prunegrid.models.head import Product, patch_forward, run_in_forward
from prunegrid.training.loss import chunked_nll

R, D, V = 23, 8, 31


class Watch:
    """`linear` that remembers, of each weight, the rows of every call and the most rows of logits alive at once."""

    def __init__(self) -> None:
        self.rows: dict[int, list[int]] = defaultdict(list)
        self.most_alive: Counter[int] = Counter()
        self.alive: dict[int, list[tuple[weakref.ref[torch.Tensor], int]]] = defaultdict(list)

    def __call__(self, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        logits, key = torch.nn.functional.linear(hidden, weight, bias), id(weight)
        self.rows[key].append(len(logits))
        self.alive[key] = [first for first in self.alive[key] if first[0]() is not None]
        self.alive[key].append((weakref.ref(logits), len(logits)))
        self.most_alive[key] = max(self.most_alive[key], sum(rows for _, rows in self.alive[key]))
        return logits


@pytest.fixture(autouse=True)
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    monkeypatch.setattr(head, "linear", watch)
    return watch


class Case:
    """A linear head, hidden states [R, D] that want a gradient, targets and weights."""

    def __init__(self, trained: bool, rows: int = R, bias: bool = False) -> None:
        torch.manual_seed(0)
        self.head = torch.nn.Linear(D, V, bias=bias).requires_grad_(trained)
        self.hidden = torch.randn(rows, D, requires_grad=True)
        self.target = torch.randint(0, V, (rows,))
        self.weight = torch.rand(rows) * 3

    def chunked(self, size: int | None = None) -> torch.Tensor:
        return chunked_nll(self.head, self.hidden, self.target, self.weight, size)

    def gradients(self, loss: torch.Tensor) -> list[torch.Tensor]:
        wanted = [self.hidden, *(p for p in self.head.parameters() if p.requires_grad)]
        return list(torch.autograd.grad(loss, wanted))


@pytest.mark.parametrize("trained", [True, False])
def test_the_sum_is_a_float64_loop_over_the_tokens(trained: bool) -> None:
    case = Case(trained, bias=True)
    weight_VD, bias_V = case.head.weight.detach().double(), case.head.bias.detach().double()
    expected = 0.0
    for r in range(R):
        logits = [float(weight_VD[v] @ case.hidden[r].detach().double() + bias_V[v]) for v in range(V)]
        largest = max(logits)
        log_sum = largest + math.log(sum(math.exp(z - largest) for z in logits))
        expected += float(case.weight[r]) * (log_sum - logits[int(case.target[r])])
    assert case.chunked(5).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("size", [1, 5, R, 100, None])
@pytest.mark.parametrize("trained", [True, False])
def test_gradients_are_plain_cross_entropys_whatever_the_chunk(trained: bool, size: int | None) -> None:
    """The loss is scaled by 0.3 on its way, as the Trainer does."""
    case = Case(trained, bias=True)
    plain = torch.nn.functional.cross_entropy(case.head(case.hidden), case.target, reduction="none") @ case.weight
    actual, expected = (case.gradients(0.3 * loss) for loss in (case.chunked(size), plain))
    assert len(actual) == (3 if trained else 1)
    for first, second in zip(actual, expected, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("trained", [True, False])
def test_no_token_is_no_loss_and_no_gradient(trained: bool) -> None:
    case = Case(trained, rows=0)
    loss = case.chunked()
    assert loss.item() == 0
    assert all(not gradient.any() for gradient in case.gradients(loss))


@contextmanager
def saved() -> Iterator[list[weakref.ref[torch.Tensor]]]:
    """All tensors that the graph keeps for its backward, as long as it does."""
    kept: list[weakref.ref[torch.Tensor]] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(weakref.ref(own := tensor.detach()))
        return own

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield kept


@pytest.mark.parametrize("trained", [True, False])
def test_no_more_logits_than_a_chunk_of_them_are_alive(trained: bool, watch: Watch) -> None:
    case = Case(trained, rows=203)
    with saved() as kept:
        loss = case.chunked(10)
        shapes = [tuple(tensor.shape) for ref in kept if (tensor := ref()) is not None]
    assert (203, D) in shapes or (10, D) in shapes, "the watch sees what is kept"
    assert not {(10, V), (3, V)} & set(shapes), "neither logits nor their softmax are"
    loss.backward()
    rows = watch.rows[id(case.head.weight)]
    assert max(rows) == 10
    assert watch.most_alive[id(case.head.weight)] <= 10
    assert sum(rows) == 203 * (2 if trained else 1), "a frozen head works once, a trained one twice"


def test_a_larger_vocabulary_has_smaller_chunks(monkeypatch: pytest.MonkeyPatch, watch: Watch) -> None:
    monkeypatch.setitem(head_chunks.ELEMENTS, "cpu", 4 * V + 1)
    case = Case(False)
    case.chunked()
    rows = watch.rows[id(case.head.weight)]
    assert max(rows) == 4
    monkeypatch.setitem(head_chunks.ELEMENTS, "cpu", V - 1)
    assert case.chunked() is not None and max(rows[-R:]) == 1


def counted(module: torch.nn.Module) -> list[int]:
    """Grows by one with every call of the module, which is a collective under ZeRO-3."""
    calls: list[int] = []
    module.register_forward_pre_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize("rows", [R, 1, 0])
@pytest.mark.parametrize("trained", [True, False])
def test_the_head_is_called_once_a_pass_however_many_its_chunks(trained: bool, rows: int, watch: Watch) -> None:
    """Ranks have different numbers of tokens, and each call waits for the other ranks'."""
    plain, case = Case(trained, rows, bias=True), Case(trained, rows, bias=True)
    patch_forward(case.head)
    calls = counted(case.head)
    expected = plain.chunked(2)
    loss = run_in_forward(case.head, partial(case.chunked, 2))
    assert loss.item() == expected.item()
    for first, second in zip(case.gradients(loss), plain.gradients(expected), strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert calls == [1], "nor does the backward call it again"
    assert len(watch.rows[id(case.head.weight)]) == max(1, -(-rows // 2)) * (2 if trained else 1)


@pytest.mark.parametrize("rows", [R, 1, 0])
def test_scoring_calls_the_head_once_too(rows: int, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both with chunks of 2 tokens; what it says is what it says without `patch_forward`."""
    monkeypatch.setitem(head_chunks.CHUNK, "cpu", 2)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    of_model = head.Head(model)
    torch.manual_seed(0)
    hidden = torch.randn(rows, model.config.hidden_size)
    target = torch.randint(0, model.config.vocab_size, (rows,))
    with torch.no_grad():
        expected = of_model(hidden, target)
        patch_forward(of_model.module)
        calls = counted(of_model.module)
        actual = of_model(hidden, target)
    assert calls == [1]
    for first, second in zip(actual, expected, strict=True):
        assert torch.equal(first, second) and len(first) == rows


def test_half_precision_hidden_states_keep_a_float32_loss() -> None:
    """1,000 equal losses summed in bfloat16 would be off by percents."""
    case = Case(False, rows=1000)
    case.head.bfloat16()
    hidden: Any = case.hidden.detach()[:1].expand(1000, D).bfloat16().requires_grad_()
    target, weight = torch.zeros(1000, dtype=torch.int64), torch.ones(1000)
    loss = chunked_nll(case.head, hidden, target, weight)
    first = -case.head(hidden[:1]).float().log_softmax(-1)[0, 0]
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(1000 * first.item(), rel=1e-5)
    loss.backward()
    assert hidden.grad.dtype == torch.bfloat16 and np.isfinite(hidden.grad.float().numpy()).all()


class Wide(TorchDispatchMode):
    """What torch has for a GPU alone: a product of half-precision matrices as float32."""

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        if function is torch.ops.aten.mm.dtype:
            first, second, dtype = arguments
            return function(*arguments) if first.is_meta else first.to(dtype) @ second.to(dtype)
        return function(*arguments, **(named or {}))


def test_gpu_product_has_the_gradients_of_a_cast_layer() -> None:
    torch.manual_seed(0)
    hidden, weight = (torch.randn(rows, D).mul(4).bfloat16().requires_grad_() for rows in (R, V))
    upstream = torch.randn(R, V)
    with Wide():
        actual = Product.apply(hidden, weight)
    torch.testing.assert_close(actual.double(), hidden.double() @ weight.double().T, rtol=1e-5, atol=1e-5)
    rounded = torch.nn.functional.linear(hidden, weight).float()
    assert (actual - rounded).abs().max() > 0.01, "the rounding that is avoided"
    first, second = (torch.autograd.grad(product, (hidden, weight), upstream) for product in (actual, rounded))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("trained", [True, False])
def test_torch_takes_the_gpus_product_as_it_is_called(trained: bool) -> None:
    """Meta tensors: torch's own operator, its checks of shapes and types, and our derivative."""
    hidden = torch.empty(R, D, dtype=torch.bfloat16, device="meta", requires_grad=True)
    weight = torch.empty(V, D, dtype=torch.bfloat16, device="meta", requires_grad=trained)
    actual = Product.apply(hidden, weight)
    assert (actual.dtype, tuple(actual.shape)) == (torch.float32, (R, V))
    actual.sum().backward()
    assert hidden.grad is not None and hidden.grad.dtype == torch.bfloat16
    assert (weight.grad is not None) == trained
    with pytest.raises(NotImplementedError, match=r"aten::mm.dtype.*'CPU' backend"):
        torch.mm(torch.ones(1, 1).bfloat16(), torch.ones(1, 1).bfloat16(), out_dtype=torch.float32)


def breaks(*_: Any) -> Any:
    raise OSError("libcute.so: cannot open shared object file")


@pytest.mark.parametrize("when", ["loaded", "called"])
@torch.no_grad()
def test_a_broken_kernel_is_given_up_once_and_says_why(
    when: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    hidden, target = torch.randn(5, model.config.hidden_size), torch.arange(5)
    expected = head.Head(model)(hidden, target)
    monkeypatch.setattr(head, "fused", breaks if when == "loaded" else lambda _: breaks)
    of_model = head.Head(model)
    for _ in range(2):
        assert all(torch.equal(a, b) for a, b in zip(of_model(hidden, target), expected, strict=True))
    assert of_model.name == "chunked"
    why = "chunked instead of liger (OSError: libcute.so: cannot open shared object file)"
    assert of_model.fallbacks == {"head": why}
    assert capsys.readouterr().err.count(why) == 1


def test_out_of_memory_is_no_broken_kernel(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(head, "fused", lambda _: full)
    with pytest.raises(torch.OutOfMemoryError):
        head.Head(AutoModelForCausalLM.from_pretrained(tiny_model))(torch.ones(1, 32), torch.zeros(1).long())
