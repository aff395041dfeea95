"""What only a GPU can tell: `pytest tests/gpu`, a minute or two on one of any make. Skipped where there is none."""

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

from prunegrid.models import load_model
from prunegrid.rows import stored_rows
from prunegrid.score import score
from prunegrid.sections import Scoring
from prunegrid.train.batches import Example, example
from prunegrid.train.candidates import Candidates
from prunegrid.train.forward import chunked_nll, collate, total_nll
from prunegrid.train.packing import NAME, check_isolated, packed_attention
from training_jobs import run

DEVICE = "cuda"
if not torch.cuda.is_available():
    pytest.skip("there is no CUDA GPU", allow_module_level=True)

LENGTHS = [5, 64, 1, 130, 17]


def alone(qkv: list[torch.Tensor], window: int | None) -> torch.Tensor:
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
    found, _ = packed_attention(torch.nn.Module(), *qkv, None, segments=LENGTHS, sliding_window=window)
    expected = alone(qkv, window)
    assert found.shape == expected.shape and found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, atol=2e-2, rtol=2e-2)
    upstream = torch.randn_like(expected)
    pairs = zip(
        torch.autograd.grad(found, qkv, upstream.to(dtype)), torch.autograd.grad(expected, qkv, upstream), strict=True
    )
    for one, two in pairs:
        torch.testing.assert_close(one.float(), two.float(), atol=5e-2, rtol=5e-2)


def samples(removal: str = "drop") -> list[Example]:
    """Responses with gaps; the ids are those of the tiny model's vocabulary."""
    made = []
    for number, length in enumerate((40, 7, 90, 1, 22)):
        ids = [(7 * number + 3 * i) % 250 + 1 for i in range(4 + length)]
        kept = [i for i in range(length) if i % 5 in (0, 3)]
        made.append(example(number, ids[:4], ids[4:], kept, 1.0, removal))
    return made


def on_device(inputs: dict[str, Any]) -> dict[str, Any]:
    return {key: value.to(DEVICE) if isinstance(value, torch.Tensor) else value for key, value in inputs.items()}


def loaded(folder: Path, attention: str, dtype: torch.dtype = torch.bfloat16) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=attention).to(DEVICE)


@pytest.mark.parametrize("removal", ["mask", "drop"])
def test_a_packed_pass_in_half_precision_has_the_padded_ones_loss(removal: str, tiny_model: Path) -> None:
    packed, padded = loaded(tiny_model, NAME), loaded(tiny_model, "sdpa")
    check_isolated(packed)
    rows = samples(removal)
    one, two = (total_nll(m, on_device(collate(rows, p))) for m, p in ((packed, True), (padded, False)))
    assert one.item() == pytest.approx(two.item(), rel=1e-2)
    exact = total_nll(loaded(tiny_model, NAME, torch.float32), on_device(collate(rows, True)))
    assert one.item() == pytest.approx(exact.item(), rel=2e-2)


@pytest.mark.parametrize("trained", [True, False])
def test_ligers_head_is_the_chunked_one(trained: bool, tiny_model: Path) -> None:
    pytest.importorskip("liger_kernel", reason="liger-kernel is not installed")
    model = loaded(tiny_model, NAME, torch.float32)
    model.get_output_embeddings().requires_grad_(trained)
    inputs = on_device(collate([one._replace(weight=2.5) for one in samples()], packed=True))
    found = []
    for liger in (True, False):
        model.zero_grad()
        loss = total_nll(model, inputs, liger)
        loss.backward()
        found.append((loss.item(), {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4)
    for name, gradient in found[0][1].items():
        largest = found[1][1][name].abs().max().item()
        torch.testing.assert_close(gradient, found[1][1][name], rtol=0, atol=5e-3 * largest, msg=name)


@pytest.mark.parametrize("trained", [True, False])
def test_the_heads_memory_does_not_grow_with_the_tokens(trained: bool) -> None:
    """16,384 tokens x 131,072 entries in float32 would be 8.6 GB; a chunk of 256 is 0.13 GB."""
    tokens, vocabulary, width = 16_384, 131_072, 256
    head = torch.nn.Linear(width, vocabulary, bias=False, device=DEVICE).requires_grad_(trained)
    hidden = torch.randn(tokens, width, device=DEVICE, requires_grad=True)
    targets = torch.randint(0, vocabulary, (tokens,), device=DEVICE)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    chunked_nll(head, hidden, targets, torch.ones(tokens, device=DEVICE)).backward()
    assert torch.cuda.max_memory_allocated() - before < 1.5 * 2**30


def test_scores_are_the_cpus(tmp_path: Path, tiny_model: Path, dataset: Path, scores: Path) -> None:
    score(tiny_model, dataset, tmp_path, Scoring(max_length=200, batch_tokens=300), device=DEVICE)
    found, expected = (pq.read_table(folder / "tokens.parquet") for folder in (tmp_path, scores))
    assert found["response_ids"].equals(expected["response_ids"])
    for name in ("nll", "entropy", "fastv", "sparsevlm"):
        one, two = (torch.tensor(pc.list_flatten(table[name]).to_pylist()) for table in (found, expected))
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4, msg=name)


TWO_STEPS = {"max_steps": 2, "bf16": True, "warmup_ratio": 0, "learning_rate": 1e-3}


def test_a_job_in_half_precision_has_one_loss_packed_and_padded(tmp_path: Path, tiny_model: Path, scores: Path) -> None:
    packed, padded = (
        run(tmp_path / str(packing), tiny_model, scores, device=DEVICE, packing=packing, **TWO_STEPS)
        for packing in (True, False)
    )
    assert len(packed["loss_curve"]) == 2
    for one, two in zip(packed["loss_curve"], padded["loss_curve"], strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=2e-2)
    assert packed["positions"] < padded["positions"]


def test_a_job_on_a_gpu_has_the_cpus_losses(tmp_path: Path, tiny_model: Path, scores: Path) -> None:
    """In float32, where packed samples go one by one through SDPA."""
    reports = [run(tmp_path / device, tiny_model, scores, device=device) for device in (DEVICE, "cpu")]
    for one, two in zip(*(report["loss_curve"] for report in reports), strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-2)


def test_a_dynamic_job_scores_with_the_packed_attention(tmp_path: Path, tiny_model: Path, scores: Path) -> None:
    """In half precision, the attention scores included; weights that stand still have the scoring pass's PPL."""
    ratios = {"sample_ratio": 0.5, "token_ratio": 0.5}
    pruning = {"variant": "v", "method": "infobatch+fastv", "options": {"fastv": "adapted"}, **ratios}
    settings = {"mode": "dynamic", "learning_rate": 0, "bf16": True, "gradient_checkpointing": True}
    report = run(tmp_path, tiny_model, scores, pruning=pruning, device=DEVICE, **settings)
    expected = pc.mean(pq.read_table(scores / "samples.parquet")["entropy"]).as_py()
    assert all(probe["entropy"] == pytest.approx(expected, rel=2e-2) for probe in report["probes"])
    assert len({probe["ppl"] for probe in report["probes"]}) == 1
    assert report["kept_samples"] == pytest.approx(10, abs=3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_packed_candidates_have_the_padded_passs_scores(dtype: torch.dtype, tiny_model: Path, scores: Path) -> None:
    """NLL, entropy and attention scores, in several passes whose results return one behind. By their norms."""
    rows, found = stored_rows(scores), []
    for kernel in (NAME, "sdpa"):
        model = AutoModelForCausalLM.from_pretrained(tiny_model, attn_implementation=kernel, dtype=dtype)
        candidates = Candidates(rows, np.zeros(len(rows), bool), 200, attention=True)
        candidates.attach(model.to(DEVICE).eval(), lambda run: run(), lambda number: number)
        found.append(candidates.score(np.arange(len(rows))).tokens)
        assert candidates.counts["scoring_passes"] > 2
    for name, expected in found[1].items():
        distance = np.linalg.norm(found[0][name] - expected) / np.linalg.norm(expected)
        assert distance < (1e-4 if dtype == torch.float32 else 3e-2), name


def test_weights_go_straight_to_the_gpu(tiny_model: Path) -> None:
    there, here = (load_model(tiny_model, "float32", device) for device in (DEVICE, "cpu"))
    for one, two in zip(there.parameters(), here.parameters(), strict=True):
        assert one.device.type == DEVICE and torch.equal(one.cpu(), two)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("stage", [2, 3])
def test_two_gpus_train_as_one(stage: int, tmp_path: Path, tiny_model: Path, scores: Path) -> None:
    """The same global batches: two ranks of half the accumulation."""
    run(tmp_path / "one", tiny_model, scores, device=DEVICE)
    run(tmp_path / "two", tiny_model, scores, device=DEVICE, ranks=2, gradient_accumulation_steps=1, zero_stage=stage)
    one, two = (load_file(tmp_path / name / "model/model.safetensors") for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(two[name], one[name], atol=1e-3, rtol=1e-2)
