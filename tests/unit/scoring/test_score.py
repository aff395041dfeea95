"""The scoring pass against a naive float32 forward with all logits and all attentions, on a tiny Llama."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM

from prunegrid.experiment.training import Scoring
from prunegrid.models import head_chunks, load_model, load_tokenizer
from prunegrid.scoring.batches import batches_by_length, pad
from prunegrid.scoring.forward import to_host
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.render import Conversation, Renderer
from prunegrid.scoring.score import score
from prunegrid.scoring.tokenise import tokenise, tokenise_all
from support.errors import refused
from support.tiny_llama import TEMPLATE, write_tiny_model


def naive(folder: Path, row: dict[str, Any]) -> dict[str, list[float]]:
    """One sample, eager attention of all layers, full log-softmax, plain loops."""
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    ids, start = row["prompt_ids"] + row["response_ids"], len(row["prompt_ids"])
    with torch.no_grad():
        out = model(torch.tensor([ids]), output_attentions=True, output_hidden_states=True)
    logp = out.logits[0].double().log_softmax(-1)
    attention = out.attentions[-1][0].double().mean(0)
    hidden = out.hidden_states[-1][0].double()
    similarity = [
        np.mean([torch.cosine_similarity(hidden[i], hidden[j], 0).item() for j in range(start, len(ids))])
        for i in range(start)
    ]
    raters = [i for i in range(start) if similarity[i] >= np.mean(similarity)]
    places = range(start, len(ids))
    return {
        "nll": [-logp[j - 1, ids[j]].item() for j in places],
        "entropy": [-(logp[j - 1].exp() * logp[j - 1]).sum().item() for j in places],
        "fastv": [attention[j:, j].mean().item() for j in places],
        "sparsevlm": [np.mean([attention[j, i].item() for i in raters]) for j in places],
    }


def test_scores_equal_the_naive_forward(tiny_model: Path, scores: Path) -> None:
    rows = pq.read_table(scores / "tokens.parquet").to_pylist()
    assert len(rows) == 20
    for row in rows[::3]:
        for name, values in naive(tiny_model, row).items():
            np.testing.assert_allclose(row[name], values, rtol=2e-4, atol=2e-5, err_msg=f"{name} of {row['sample_id']}")


def test_sample_table_is_the_token_table_in_short(scores: Path) -> None:
    samples = pq.read_table(scores / "samples.parquet").to_pylist()
    tokens = pq.read_table(scores / "tokens.parquet").to_pylist()
    for sample, row in zip(samples, tokens, strict=True):
        assert sample["sample_id"] == row["sample_id"]
        assert sample["prompt_tokens"] == len(row["prompt_ids"])
        assert sample["response_tokens"] == len(row["response_ids"]) == len(row["nll"])
        assert sample["nll"] == pytest.approx(np.mean(row["nll"]), rel=1e-6)
        assert sample["ppl"] == pytest.approx(math.exp(np.mean(row["nll"])), rel=1e-5)
        assert sample["entropy"] == pytest.approx(np.mean(row["entropy"]), rel=1e-6)


def test_batching_changes_nothing(tiny_model: Path, dataset: Path, scores: Path, tmp_path: Path) -> None:
    score(tiny_model, dataset, tmp_path / "one", Scoring(max_length=200, batch_tokens=8))
    one, many = (pq.read_table(folder / "tokens.parquet").to_pylist() for folder in (tmp_path / "one", scores))
    for a, b in zip(one, many, strict=True):
        assert a["response_ids"] == b["response_ids"]
        for name in ("nll", "entropy", "fastv", "sparsevlm"):
            np.testing.assert_allclose(a[name], b[name], rtol=1e-4, atol=1e-5)


def test_batches_hold_the_budget_and_every_sample() -> None:
    lengths = np.array([5, 100, 7, 50, 50, 3])
    made = list(batches_by_length(lengths, 100))
    assert sorted(i for batch in made for i in batch) == list(range(6))
    assert all(len(batch) == 1 or max(lengths[i] for i in batch) * len(batch) <= 100 for batch in made)


def test_head_never_sees_all_positions(tiny_model: Path, dataset: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(head_chunks.CHUNK, "cpu", 4)
    seen = []
    forward = torch.nn.Linear.forward

    def watched(self: torch.nn.Linear, x: torch.Tensor) -> torch.Tensor:
        if self.out_features > 100:
            seen.append(x.shape[:-1].numel())
        return forward(self, x)

    monkeypatch.setattr(torch.nn.Linear, "forward", watched)
    score(tiny_model, dataset, tmp_path / "s", Scoring(max_length=200))
    assert seen
    assert max(seen) == 4


def test_meta_says_what_was_scored(scores: Path, dataset: Path) -> None:
    meta = json.loads((scores / "meta.json").read_text())
    assert set(meta["digests"]) == {"model", "tokenizer", "template", "data", "scoring"}
    assert meta["digests"]["data"] == json.loads(dataset.with_name("data.json").read_text())["digest"]
    assert (meta["samples"], meta["truncated"], meta["fully_cut"]) == (20, 0, 0)


@pytest.mark.parametrize(
    ("changed", "another"),
    [({"max_length": 100}, True), ({"dtype": "bfloat16"}, True), ({"batch_tokens": 100}, False)],
    ids=["max_length", "dtype", "batch_tokens"],
)
def test_what_decides_the_scores_has_a_digest(
    changed: dict[str, Any], another: bool, scores: Path, tiny_model: Path, dataset: Path, tmp_path: Path
) -> None:
    """By it a selection, a training and its checkpoints tell other scores of one model and data set."""
    before = json.loads((scores / "meta.json").read_text())["digests"]
    after = score(tiny_model, dataset, tmp_path, Scoring(**{"max_length": 200, "batch_tokens": 300} | changed))
    differing = {name for name, digest in after["digests"].items() if before[name] != digest}
    assert differing == ({"scoring"} if another else set())


def test_cut_off(tiny_model: Path, dataset: Path, tmp_path: Path) -> None:
    meta = score(tiny_model, dataset, tmp_path / "s", Scoring(max_length=22))
    samples = pq.read_table(tmp_path / "s" / "samples.parquet").to_pylist()
    assert meta["fully_cut"] > 0
    assert meta["truncated"] > 0
    assert meta["samples"] == len(samples) == 20 - meta["fully_cut"]
    assert all(s["prompt_tokens"] + s["response_tokens"] <= 22 for s in samples)
    assert all(s["prompt_tokens"] + s["response_tokens"] == 22 for s in samples if s["truncated"])
    with refused(dataset, "max_length 8", fix="scoring.max_length"):
        score(tiny_model, dataset, tmp_path / "t", Scoring(max_length=8))
    assert not (tmp_path / "t").exists()


def test_model_is_as_before_after_scoring(tiny_model: Path) -> None:
    from prunegrid.models.attention_capture import AttentionCapture

    model = load_model(tiny_model, "float32", "cpu")
    with AttentionCapture(model):
        assert model.model.layers[-1].self_attn.config._attn_implementation != model.config._attn_implementation
    assert model.model.layers[-1].self_attn.config is model.config


QA = [
    {"role": "user", "content": "What do cats drink?"},
    {"role": "assistant", "content": "Milk, and water."},
]


def test_tokenise_splits_at_the_answer(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    tokens = tokenise(QA, tokenizer, 100)
    assert tokens is not None
    assert tokenizer.decode(tokens.prompt_ids) == "Question: What do cats drink?\nAnswer:"
    assert tokenizer.decode(tokens.response_ids) == " Milk, and water.<eos>"
    assert tokens.response_ids.count(tokenizer.eos_token_id) == 1
    assert not tokens.truncated


@pytest.mark.parametrize("tail", ["{{ eos_token }}\n", "\n", ""])
def test_response_ends_in_one_end_of_sequence(tiny_model: Path, tail: str) -> None:
    tokenizer = load_tokenizer(tiny_model)
    tokenizer.chat_template = TEMPLATE.replace("{{ eos_token }}", tail)
    tokens = tokenise(QA, tokenizer, 100)
    assert tokens is not None
    assert tokens.response_ids[-1] == tokenizer.eos_token_id
    assert tokens.response_ids.count(tokenizer.eos_token_id) == 1


def test_cut_keeps_the_start_of_the_response(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    whole = tokenise(QA, tokenizer, 100)
    assert whole is not None
    width = len(whole.prompt_ids) + len(whole.response_ids)
    exact = tokenise(QA, tokenizer, width)
    cut = tokenise(QA, tokenizer, width - 1)
    assert exact == whole
    assert cut is not None
    assert cut.truncated
    assert cut.response_ids == whole.response_ids[:-1]
    assert tokenise(QA, tokenizer, len(whole.prompt_ids)) is None


def test_template_that_hides_the_answer_is_refused(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    tokenizer.chat_template = "{{ messages | length }} turns: {{ messages[-1]['content'] }}"
    with refused("chat template", "changes earlier turns", fix="models.<name>.chat_template"):
        tokenise(QA, tokenizer, 100)


def test_truncated_weights_are_named(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "m")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with refused(folder, "cannot load the model"):
        load_model(folder, "float32", "cpu")


def test_many_conversations_are_tokenised_as_each_alone(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    many = [[QA[0], {"role": "assistant", "content": "Milk. " * times}] for times in (1, 9, 2)]
    alone = [tokenise(messages, tokenizer, 30) for messages in many]
    renderer = Renderer(tokenizer)
    assert tokenise_all([Conversation(messages) for messages in many], renderer, 30) == [[one] for one in alone]
    assert [tokens.truncated for tokens in alone if tokens] == [False, True, False]
    assert tokenise_all([], renderer, 30) == []


def test_a_batch_reaches_its_device_by_one_copy(scores: Path) -> None:
    """Counted by torch's profiler; the meta device stands for any that is not the host."""
    from torch.profiler import ProfilerActivity, profile

    rows, chosen = ScoresFolder(scores).sequences(), np.arange(7)
    with profile(activities=[ProfilerActivity.CPU]) as watched:
        elsewhere = pad(rows, chosen, "meta")
    copies = {event.key: event.count for event in watched.key_averages() if "copy" in event.key}
    assert copies == {"aten::_to_copy": 1, "aten::copy_": 1}
    here = pad(rows, chosen, "cpu")
    for name in ("ids_BT", "prompt_B", "length_B", "sample_R", "place_R"):
        assert getattr(elsewhere, name).shape == getattr(here, name).shape
    assert here.place_R.tolist() == [place for row in chosen for place in range(rows.prompt_N[row], rows.length_N[row])]


def test_to_host_on_a_cpu_computes_nothing_ahead() -> None:
    """On a CPU each at once: nothing is computed ahead, so no memory is held twice."""
    launched: list[int] = []

    def work() -> Any:
        for number in range(4):
            launched.append(number)
            yield torch.full((2, 3), float(number), dtype=torch.bfloat16)

    for number, actual in enumerate(to_host(work())):
        assert launched == list(range(number + 1))
        np.testing.assert_array_equal(actual, np.full((2, 3), number, np.float32))


def test_the_meta_says_which_kernel_was_given_up(
    tiny_model: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: Any) -> Any:
        raise RuntimeError("CUDA driver version is insufficient")

    settings = Scoring(max_length=200, batch_tokens=300)
    assert "fallbacks" not in score(tiny_model, dataset, tmp_path / "whole", settings)
    monkeypatch.setattr("prunegrid.models.head.fused", breaks)
    meta = score(tiny_model, dataset, tmp_path / "broken", settings)
    assert meta["head"] == "chunked"
    assert meta["fallbacks"] == {"head": "chunked instead of liger (RuntimeError: CUDA driver version is insufficient)"}
