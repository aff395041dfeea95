"""What only a GPU can tell: `pytest tests/gpu`, a minute or two on one of any make. Skipped where there is none.

Numbers in half precision are compared by norms: a single entry of thousands may be several roundings off.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import scaled_dot_product_attention
from transformers import AutoModelForCausalLM
from transformers.models.llama import modeling_llama

from prunegrid.core.errors import PrunegridError
from prunegrid.experiment.training import Scoring
from prunegrid.models import load_model
from prunegrid.models.head import logits
from prunegrid.models.probes import check_isolated
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.score import score
from prunegrid.selection.examples import Example, build_example
from prunegrid.training import liger
from prunegrid.training.candidates import CandidateScorer
from prunegrid.training.loss import chunked_nll, collate, to_device, total_nll
from prunegrid.training.packed_attention import PACKED, packed_attention, segment_borders
from prunegrid.training.trained_model import checkpoint_layers
from support import killed_jobs
from support.handmade_scores import spec
from support.killed_jobs import Inputs, assert_same, checkpoint_steps, inject_failure
from support.training_jobs import run

DEVICE = "cuda"
if not torch.cuda.is_available():
    pytest.skip("there is no CUDA GPU", allow_module_level=True)

LENGTHS = [5, 64, 1, 130, 17]
# What bfloat16's rounding (2^-9) explains: on a CPU outputs are 1.8e-3 of their norm off, gradients up to 6.7e-3.
OUTPUT, GRADIENT = 5e-3, 2e-2


def relative_error(actual: torch.Tensor, expected: torch.Tensor, least: float = 0) -> float:
    """The norm of their difference over that of the expected one, or over `least` where that is larger."""
    assert actual.shape == expected.shape
    first, second = actual.detach().double(), expected.detach().double()
    return float((first - second).norm()) / max(float(second.norm()), least)


def separate_attention(qkv: list[torch.Tensor], window: int | None) -> torch.Tensor:
    """Reference: each sample by itself in float32, under an explicit mask; [1, T, H, D]."""
    outputs = []
    for query, key, value in zip(*(x.float().split(LENGTHS, dim=2) for x in qkv), strict=True):
        length = query.shape[2]
        mask = torch.ones(length, length, dtype=torch.bool, device=query.device).tril()
        mask = mask if window is None else mask.triu(1 - window)
        outputs.append(scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=True))
    return torch.cat(outputs, dim=2).transpose(1, 2)


@pytest.mark.parametrize("window", [None, 1, 16, 100])
@pytest.mark.parametrize("groups", [8, 2, 1], ids=["multi-head", "grouped", "multi-query"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_variable_length_attention_is_each_sample_alone(dtype: torch.dtype, groups: int, window: int | None) -> None:
    """Outputs and all three gradients, within the precision of the inputs."""
    torch.manual_seed(0)
    shapes = [(1, heads, sum(LENGTHS), 64) for heads in (8, groups, groups)]
    qkv = [torch.randn(shape, device=DEVICE, dtype=dtype, requires_grad=True) for shape in shapes]
    borders = segment_borders(LENGTHS).to(DEVICE)
    actual, _ = packed_attention(
        torch.nn.Module(), *qkv, None, segments=LENGTHS, borders=borders, sliding_window=window
    )
    expected = separate_attention(qkv, window)
    assert actual.dtype == dtype
    assert relative_error(actual, expected) < OUTPUT
    upstream = torch.randn_like(expected)
    given = torch.autograd.grad(actual, qkv, upstream.to(dtype))
    wanted = torch.autograd.grad(expected, qkv, upstream)
    least = 0.01 * float(wanted[2].norm())  # a token that sees itself alone has no gradient but its value's
    assert all(relative_error(first, second, least) < GRADIENT for first, second in zip(given, wanted, strict=True))


@pytest.mark.parametrize("groups", [2, 1])
def test_grouped_heads_in_float32_take_no_square_of_the_length(groups: int) -> None:
    """Of 8,192 tokens and 8 heads the plain kernel would hold 2 GiB of weights."""
    length = 8192
    shapes = [(1, heads, length, 64) for heads in (8, groups, groups)]
    qkv = [torch.randn(shape, device=DEVICE, requires_grad=True) for shape in shapes]
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    actual, _ = packed_attention(torch.nn.Module(), *qkv, None, segments=[length])
    actual.sum().backward()
    assert torch.cuda.max_memory_allocated() - before < 2**29


def samples(removal: str = "drop") -> list[Example]:
    """Responses with gaps; the ids are those of the tiny model's vocabulary."""
    made = []
    for number, length in enumerate((40, 7, 90, 1, 22)):
        ids = [(7 * number + 3 * i) % 250 + 1 for i in range(4 + length)]
        kept = [i for i in range(length) if i % 5 in (0, 3)]
        made.append(build_example(number, ids[:4], ids[4:], kept, 1.0, removal))
    return made


def on_device(inputs: dict[str, Any]) -> dict[str, Any]:
    return to_device(inputs, torch.device(DEVICE))


def loaded(folder: Path, attention: str, dtype: torch.dtype = torch.bfloat16) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=attention).to(DEVICE)


@pytest.mark.parametrize("removal", ["mask", "drop"])
def test_packed_and_padded_losses_agree_in_half_precision(removal: str, tiny_model: Path) -> None:
    packed, padded = loaded(tiny_model, PACKED), loaded(tiny_model, "sdpa")
    check_isolated(packed)
    rows = samples(removal)
    first, second = (total_nll(m, on_device(collate(rows, p))) for m, p in ((packed, True), (padded, False)))
    assert first.item() == pytest.approx(second.item(), rel=1e-2)
    exact = total_nll(loaded(tiny_model, PACKED, torch.float32), on_device(collate(rows, True)))
    assert first.item() == pytest.approx(exact.item(), rel=2e-2)


@pytest.mark.parametrize("again", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("trained", [True, False])
def test_a_pass_waits_for_nothing(trained: bool, again: bool, tiny_model: Path) -> None:
    """Torch raises where the host would wait for the device; inputs are copied meanwhile, too."""
    model = loaded(tiny_model, PACKED).train()
    model.get_output_embeddings().requires_grad_(trained)
    if again:
        checkpoint_layers(model)
    inputs = collate(samples(), packed=True)
    total_nll(model, on_device(inputs)).backward()  # what is loaded at first use may wait
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(2):
            total_nll(model, on_device(inputs)).backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.fixture
def restored_llama() -> Iterator[None]:
    """Puts back the classes and functions that Liger replaces for every later model of the process."""
    names = dict(vars(modeling_llama))
    yield
    vars(modeling_llama).update(names)


@pytest.mark.usefixtures("restored_llama")
def test_ligers_layers_are_the_models_own(tiny_model: Path) -> None:
    """Norms, rotary embedding and MLP, in float32; Liger changes transformers' classes, so the plain model is first."""
    pytest.importorskip("liger_kernel", reason="liger-kernel is not installed")
    inputs, actual = on_device(collate(samples(), packed=True)), []
    for fused in (False, True):
        model = loaded(tiny_model, PACKED, torch.float32).train()
        if fused:
            assert liger.apply(model, torch.device(DEVICE)) == {}
        loss = total_nll(model, inputs)
        loss.backward()
        actual.append((loss.item(), {name: p.grad for name, p in model.named_parameters()}))
    assert actual[1][0] == pytest.approx(actual[0][0], rel=1e-5)
    assert all(relative_error(actual[1][1][name], gradient) < 1e-4 for name, gradient in actual[0][1].items())


@pytest.mark.parametrize("bias", [False, True])
def test_logits_of_half_precision_weights_are_not_rounded(bias: bool) -> None:
    """Against float64 of the same numbers; rounded to bfloat16 they would be 2e-3 of the norm off."""
    torch.manual_seed(0)
    module = torch.nn.Linear(512, 4096, bias=bias, device=DEVICE, dtype=torch.bfloat16)
    hidden = torch.randn(300, 512, device=DEVICE, dtype=torch.bfloat16, requires_grad=True)
    actual = logits(module, hidden)
    weight, shift = module.weight.double(), module.bias.double() if bias else 0
    assert actual.dtype == torch.float32
    assert relative_error(actual, hidden.double() @ weight.T + shift) < 1e-5
    upstream = torch.randn_like(actual)
    wanted = [hidden, *module.parameters()]
    exact = [upstream.double() @ weight, upstream.double().T @ hidden.double(), upstream.double().sum(0)]
    for first, second in zip(torch.autograd.grad(actual, wanted, upstream), exact, strict=False):
        assert relative_error(first, second) < GRADIENT


@pytest.mark.parametrize("trained", [True, False])
def test_the_heads_memory_does_not_grow_with_the_tokens(trained: bool) -> None:
    """8,192 tokens x 131,072 entries in float32 are 4.3 GB; a chunk of 4,096 is 2.1 GB."""
    vocabulary, width, peaks = 131_072, 256, []
    head = torch.nn.Linear(width, vocabulary, bias=False, device=DEVICE).requires_grad_(trained)
    for tokens in (8_192, 24_576):
        hidden = torch.randn(tokens, width, device=DEVICE, requires_grad=True)
        targets = torch.randint(0, vocabulary, (tokens,), device=DEVICE)
        head.weight.grad = None
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        chunked_nll(head, hidden, targets, torch.ones(tokens, device=DEVICE)).backward()
        peaks.append(torch.cuda.max_memory_allocated() - before)
    assert peaks[1] - peaks[0] < 2**28


def test_scores_are_the_cpus(tmp_path: Path, tiny_model: Path, dataset: Path, scores: Path) -> None:
    score(tiny_model, dataset, tmp_path, Scoring(max_length=200, batch_tokens=300), device=DEVICE)
    actual, expected = (pq.read_table(folder / "tokens.parquet") for folder in (tmp_path, scores))
    assert actual["response_ids"].equals(expected["response_ids"])
    for name in ("nll", "entropy", "fastv", "sparsevlm"):
        first, second = (torch.tensor(pc.list_flatten(table[name]).to_pylist()) for table in (actual, expected))
        torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-4, msg=name)


TWO_STEPS = {"max_steps": 2, "bf16": True, "warmup_ratio": 0, "learning_rate": 1e-3}


def test_a_job_in_half_precision_has_one_loss_packed_and_padded(tmp_path: Path, tiny_model: Path, scores: Path) -> None:
    packed, padded = (
        run(tmp_path / str(packing), tiny_model, scores, device=DEVICE, packing=packing, **TWO_STEPS)
        for packing in (True, False)
    )
    assert len(packed["loss_curve"]) == 2
    for first, second in zip(packed["loss_curve"], padded["loss_curve"], strict=True):
        assert first["loss"] == pytest.approx(second["loss"], rel=2e-2)
    assert packed["positions"] < padded["positions"]


def test_a_job_on_a_gpu_has_the_cpus_losses(tmp_path: Path, tiny_model: Path, scores: Path) -> None:
    """In float32, where packed samples go one by one through SDPA."""
    reports = [run(tmp_path / device, tiny_model, scores, device=device) for device in (DEVICE, "cpu")]
    for first, second in zip(*(report["loss_curve"] for report in reports), strict=True):
        assert first["loss"] == pytest.approx(second["loss"], rel=1e-2)


def test_a_dynamic_job_scores_with_the_packed_attention(tmp_path: Path, tiny_model: Path, scores: Path) -> None:
    """In half precision, the attention scores included; weights that stand still have the scoring pass's PPL."""
    pruning = spec("infobatch+fastv", fastv="adapted")
    settings = {"mode": "dynamic", "learning_rate": 0, "bf16": True, "gradient_checkpointing": True}
    report = run(tmp_path, tiny_model, scores, pruning=pruning, device=DEVICE, **settings)
    expected = pc.mean(pq.read_table(scores / "samples.parquet")["entropy"]).as_py()
    assert all(probe["entropy"] == pytest.approx(expected, rel=2e-2) for probe in report["probes"])
    assert len({probe["ppl"] for probe in report["probes"]}) == 1
    assert report["kept_samples"] == pytest.approx(10, abs=3)


@pytest.mark.parametrize("dynamic", [False, True])
def test_killed_deterministic_job_ends_with_the_same_weights(
    dynamic: bool, tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"device": DEVICE, "bf16": True, "deterministic": True, "dynamic": dynamic}
    killed_jobs.run(tmp_path / "whole", inputs, **settings)
    inject_failure(monkeypatch, "killed before", step=4)
    with pytest.raises(PrunegridError, match="SIGKILL"):
        killed_jobs.run(tmp_path / "killed", inputs, **settings)
    assert checkpoint_steps(tmp_path / "killed") == [2]
    inject_failure(monkeypatch)
    killed_jobs.run(tmp_path / "killed", inputs, **settings)
    assert_same(tmp_path / "killed", tmp_path / "whole")


def test_infinite_weights_end_the_job_before_a_save(
    tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device says so a step later."""
    inject_failure(monkeypatch, "spoilt", step=3)
    with pytest.raises(PrunegridError, match=r"step 3: the loss is (nan|inf) \(sample_id \d+, .*learning_rate"):
        killed_jobs.run(tmp_path, inputs, device=DEVICE, bf16=True)
    assert checkpoint_steps(tmp_path) == [2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_packed_candidates_have_the_padded_passs_scores(dtype: torch.dtype, tiny_model: Path, scores: Path) -> None:
    """NLL, entropy and attention scores, in several passes whose results return one behind. By their norms."""
    rows, actual = ScoresFolder(scores).sequences(), []
    for kernel in (PACKED, "sdpa"):
        model = AutoModelForCausalLM.from_pretrained(tiny_model, attn_implementation=kernel, dtype=dtype)
        candidates = CandidateScorer(rows, 200, attention=True)
        candidates.attach(model.to(DEVICE).eval(), lambda run: run(), lambda number: number)
        actual.append(candidates.score(np.arange(len(rows))).tokens)
        assert candidates.counts["scoring_passes"] > 2
    for name, expected in actual[1].items():
        distance = np.linalg.norm(actual[0][name] - expected) / np.linalg.norm(expected)
        assert distance < (1e-4 if dtype == torch.float32 else 3e-2), name


def test_weights_go_straight_to_the_gpu(tiny_model: Path) -> None:
    there, here = (load_model(tiny_model, "float32", device) for device in (DEVICE, "cpu"))
    for first, second in zip(there.parameters(), here.parameters(), strict=True):
        assert first.device.type == DEVICE and torch.equal(first.cpu(), second)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("stage", [2, 3])
def test_two_gpus_train_as_one(stage: int, tmp_path: Path, tiny_model: Path, scores: Path) -> None:
    """The same global batches: two ranks of half the accumulation."""
    run(tmp_path / "one", tiny_model, scores, device=DEVICE)
    run(tmp_path / "two", tiny_model, scores, device=DEVICE, ranks=2, gradient_accumulation_steps=1, zero_stage=stage)
    first, second = (load_file(tmp_path / name / "model/model.safetensors") for name in ("one", "two"))
    for name in first:
        torch.testing.assert_close(second[name], first[name], atol=1e-3, rtol=1e-2)
