"""The scoring pass on architectures against a naive float64 reference: eager, all attentions, all logits.

TOLERANCE is what docs/explanation/scoring.md states: ours is float32, sums in another order, and skips what no score
needs.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from prunegrid.core.files import read_json
from prunegrid.experiment.training import Scoring
from prunegrid.models import load_tokenizer
from prunegrid.pruners import columns
from prunegrid.scoring import extra
from prunegrid.scoring.extra import write_extra
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.score import score
from prunegrid.scoring.writer import gather
from support.errors import refused
from support.programs import imported_by
from support.tiny_architectures import MODELS, write_model
from support.tiny_llama import write_tiny_model

TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
COLUMNS = ("nll", "entropy", "fastv", "sparsevlm")
SETTINGS = Scoring(max_length=60, batch_tokens=200)


@pytest.fixture(scope="module", params=MODELS)
def scored(
    request: Any, tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, dataset: Path
) -> tuple[Path, Path]:
    """(Model folder, scores folder) of one architecture."""
    folder = tmp_path_factory.mktemp(request.param)
    model = write_model(folder / "model", tiny_model, **MODELS[request.param])
    score(model, dataset, folder / "scores", SETTINGS)
    return model, folder / "scores"


def naive(model: Any, row: dict[str, Any]) -> dict[str, np.ndarray]:
    """One sample through all of the model in float64, with plain loops."""
    ids, start = row["prompt_ids"] + row["response_ids"], len(row["prompt_ids"])
    with torch.no_grad():
        out = model(torch.tensor([ids]), output_attentions=True, output_hidden_states=True)
    logp, hidden = out.logits[0].log_softmax(-1), out.hidden_states[-1][0]
    attention, second = (out.attentions[layer][0].mean(0) for layer in (-1, 1))
    cosine = torch.nn.functional.cosine_similarity(hidden[:start, None], hidden[None, start:], dim=-1).mean(1)
    raters = [i for i in range(start) if cosine[i] >= cosine.mean() or start == 1]
    places = range(start, len(ids))
    return {
        "nll": np.array([-logp[j - 1, ids[j]].item() for j in places]),
        "entropy": np.array([-(logp[j - 1].exp() * logp[j - 1]).sum().item() for j in places]),
        "fastv": np.array([attention[j:, j].mean().item() for j in places]),
        "sparsevlm": np.array([np.mean([attention[j, i].item() for i in raters]) for j in places]),
        "fastv_layer2": np.array([second[-1, j].item() for j in places]),
    }


def test_architectures_equal_the_naive_float64_forward(scored: tuple[Path, Path], tmp_path: Path) -> None:
    folder, scores = scored
    write_extra("fastv_layer2", scores, folder, tmp_path / "second.parquet", SETTINGS)
    second = pq.read_table(tmp_path / "second.parquet").to_pylist()
    reference = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float64).eval()
    rows = pq.read_table(scores / "tokens.parquet").to_pylist()
    assert len({len(row["prompt_ids"]) + len(row["response_ids"]) for row in rows}) > 5, "ragged"
    for row, of_second in zip(rows, second, strict=True):
        assert row["sample_id"] == of_second["sample_id"]
        for name, values in naive(reference, row).items():
            actual = {**row, **of_second}[name]
            np.testing.assert_allclose(actual, values, **TOLERANCE, err_msg=f"{name} of {row['sample_id']}")


def compare(a: Path, b: Path) -> None:
    """The same samples in the same order, and the same numbers within the tolerance."""
    for name in ("samples", "tokens"):
        one, other = (pq.read_table(folder / f"{name}.parquet").to_pylist() for folder in (a, b))
        assert [row["sample_id"] for row in one] == [row["sample_id"] for row in other]
        for left, right in zip(one, other, strict=True):
            assert left.keys() == right.keys()
            for key, value in left.items():
                np.testing.assert_allclose(value, right[key], **TOLERANCE, err_msg=key)


def score_shards(model: Path, data: Path, out: Path, shards: int) -> dict[str, Any]:
    parts = [out / "shards" / str(shard) for shard in range(1, shards + 1)]
    for shard, part in enumerate(parts, 1):
        score(model, data, part, SETTINGS, shard=(shard, shards))
    return gather(parts, out)


@pytest.mark.parametrize("shards", [1, 2, 3, 23])
def test_shards_change_nothing(shards: int, tiny_model: Path, dataset: Path, tmp_path: Path) -> None:
    whole = score(tiny_model, dataset, tmp_path / "whole", SETTINGS)
    meta = score_shards(tiny_model, dataset, tmp_path / "parts", shards)
    compare(tmp_path / "whole", tmp_path / "parts")
    for key in ("digests", "samples", "tokens", "truncated", "fully_cut", "left_out", "max_length"):
        assert meta[key] == whole[key], key
    assert meta == read_json(tmp_path / "parts" / "meta.json")
    assert meta["shards"] == shards
    ScoresFolder(tmp_path / "parts").read()


def test_batch_composition_changes_nothing(tiny_model: Path, dataset: Path, tmp_path: Path) -> None:
    for name, size in (("alone", 8), ("together", 100_000)):
        meta = score(tiny_model, dataset, tmp_path / name, Scoring(max_length=60, batch_tokens=size))
        assert meta["padding_waste"] < 0.05
    compare(tmp_path / "alone", tmp_path / "together")


def test_a_shard_without_samples_is_an_error_only_if_all_are(tiny_model: Path, dataset: Path, tmp_path: Path) -> None:
    short = SETTINGS.model_copy(update={"max_length": 8})
    parts = [tmp_path / "1", tmp_path / "2"]
    for shard, part in enumerate(parts, 1):
        meta = score(tiny_model, dataset, part, short, shard=(shard, 2))
        assert (meta["samples"], meta["padding_waste"]) == (0, 0)
    with refused(tmp_path / "out", "max_length 8", fix="scoring.max_length"):
        gather(parts, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_shards_of_different_passes_are_refused(tiny_model: Path, dataset: Path, tmp_path: Path) -> None:
    parts = [tmp_path / "1", tmp_path / "2"]
    for shard, part in enumerate(parts, 1):
        settings = SETTINGS.model_copy(update={"max_length": 50 + shard})
        score(tiny_model, dataset, part, settings, shard=(shard, 2))
    with refused(parts[1] / "meta.json", "digests, max_length", parts[0], fix="score all shards again"):
        gather(parts, tmp_path / "out")
    with refused(tmp_path, [[2, 2], [1, 2]], "1 to 2 of 2"):
        gather(parts[::-1], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_killed_pass_leaves_the_old_scores(tiny_model: Path, dataset: Path, tmp_path: Path, monkeypatch: Any) -> None:
    score(tiny_model, dataset, tmp_path / "s", SETTINGS)
    (tmp_path / "s" / "extra").mkdir()
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "s").iterdir()}

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("prunegrid.scoring.writer.write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        score(tiny_model, dataset, tmp_path / "s", SETTINGS)
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "s").iterdir()} == before
    with pytest.raises(KeyboardInterrupt):
        score(tiny_model, dataset, tmp_path / "new", SETTINGS)
    assert not (tmp_path / "new").exists()


def test_unreachable_attention_is_left_out(tiny_model: Path, dataset: Path, tmp_path: Path) -> None:
    gpt2 = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
    folder = write_model(tmp_path / "gpt2", tiny_model, **gpt2)
    meta = score_shards(folder, dataset, tmp_path / "scores", 2)
    assert set(meta["left_out"]) == {"fastv", "sparsevlm"}
    assert "model type gpt2 has no attention at" in meta["left_out"]["fastv"]
    rows = pq.read_table(tmp_path / "scores" / "tokens.parquet").to_pylist()
    assert set(rows[0]) == {"sample_id", "prompt_ids", "response_ids", "nll", "entropy"}
    for row in rows[::4]:
        np.testing.assert_allclose(row["nll"], plain_nll(folder, row["prompt_ids"], row["response_ids"]), **TOLERANCE)
    with refused(folder, "fastv_layer2", "model type gpt2"):
        write_extra("fastv_layer2", tmp_path / "scores", folder, tmp_path / "x", SETTINGS)


def plain_nll(folder: Path, prompt: list[int], response: list[int]) -> list[float]:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    with torch.no_grad():
        logp = model(torch.tensor([prompt + response])).logits[0].log_softmax(-1)
    return [-logp[len(prompt) + i - 1, token].item() for i, token in enumerate(response)]


def test_ifd_equals_a_plain_loop(tiny_model: Path, scores: Path, tmp_path: Path) -> None:
    write_extra("ifd", scores, tiny_model, tmp_path / "ifd.parquet", SETTINGS)
    end = load_tokenizer(tiny_model).eos_token_id
    actual = pq.read_table(tmp_path / "ifd.parquet").to_pylist()
    for row, given in zip(actual[:6], pq.read_table(scores / "tokens.parquet").to_pylist(), strict=False):
        alone = np.mean(plain_nll(tiny_model, [end], given["response_ids"]))
        whole = np.mean(plain_nll(tiny_model, given["prompt_ids"], given["response_ids"]))
        assert row["sample_id"] == given["sample_id"]
        assert row["ifd"] == pytest.approx(np.exp(whole) / np.exp(alone), rel=1e-4)


def test_nll_alone_is_that_after_one_prefix_token(tiny_model: Path, scores: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    end = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    for name in ("nll_alone", "ifd"):
        write_extra(name, scores, tiny_model, tmp_path / f"{name}.parquet", SETTINGS)
    alone, ifd = (pq.read_table(tmp_path / f"{name}.parquet")[name].to_pylist() for name in ("nll_alone", "ifd"))
    for values, ratio, given in zip(alone, ifd, pq.read_table(scores / "tokens.parquet").to_pylist(), strict=True):
        np.testing.assert_allclose(values, plain_nll(tiny_model, [end], given["response_ids"]), **TOLERANCE)
        assert ratio == pytest.approx(np.exp(np.mean(given["nll"]) - np.mean(values)), rel=1e-5)


def test_reference_nll_equals_a_plain_loop(tiny_model: Path, scores: Path, tmp_path: Path) -> None:
    other = write_tiny_model(tmp_path / "other", seed=5)
    write_extra("reference_nll", scores, tiny_model, tmp_path / "r.parquet", SETTINGS, reference_dir=other)
    actual = pq.read_table(tmp_path / "r.parquet").to_pylist()
    for row, given in zip(actual[:6], pq.read_table(scores / "tokens.parquet").to_pylist(), strict=False):
        values = plain_nll(other, given["prompt_ids"], given["response_ids"])
        np.testing.assert_allclose(row["reference_nll"], values, **TOLERANCE)


def test_an_extra_score_is_read_beside_the_scores(tiny_model: Path, dataset: Path, tmp_path: Path) -> None:
    from prunegrid.pruners.method import Needs

    score(tiny_model, dataset, tmp_path, SETTINGS)
    write_extra("fastv_layer2", tmp_path, tiny_model, tmp_path / "extra" / "fastv_layer2.parquet", SETTINGS)
    needs = Needs(samples={}, tokens={"fastv_layer2": "fastv"})
    read = ScoresFolder(tmp_path).read(needs)
    assert len(read.tokens["fastv_layer2"]) == read.response_tokens.sum()


@pytest.mark.parametrize(
    ("name", "change", "where", "value"),
    [
        ("reference_nll", "vocabulary", "reference", "vocabulary"),
        ("reference_nll", "none", "name", "reference model"),
        ("fastv_layer2", "reference", "name", "reference model"),
        ("fastv_layer2", "one layer", "model", "has 1 layer"),
        ("fastv_layer2", "model", "scores", "made for another model"),
        ("perplexity", "none", "name", "not an optional score"),
    ],
)
def test_write_extra_of_unfit_input_is_refused(
    name: str, change: str, where: str, value: str, tiny_model: Path, dataset: Path, scores: Path, tmp_path: Path
) -> None:
    model, reference = tiny_model, None
    if change in ("vocabulary", "reference"):
        reference = write_tiny_model(tmp_path / "other")
        tokenizer: PreTrainedTokenizerFast = load_tokenizer(reference)
        tokenizer.add_tokens(["zebra"])
        tokenizer.save_pretrained(reference)
    if change == "model":
        model = write_tiny_model(tmp_path / "seeded", seed=9)
    if change == "one layer":
        model = write_model(tmp_path / "flat", tiny_model, model_type="llama", num_hidden_layers=1)
        scores = tmp_path / "scores"
        score(model, dataset, scores, SETTINGS)
    with refused({"name": name, "model": model, "reference": reference, "scores": scores}[where], value):
        write_extra(name, scores, model, tmp_path / "x.parquet", SETTINGS, reference_dir=reference)
    assert not (tmp_path / "x.parquet").exists()


def test_a_softcapped_head_is_refused(tiny_model: Path, dataset: Path, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "granite", tiny_model, model_type="granite", logits_scaling=2.0)
    with refused("granite", "changes its logits", fix="another model"):
        score(folder, dataset, tmp_path / "s", SETTINGS)


def test_columns_declare_every_extra_and_import_nothing_heavy() -> None:
    assert not {"torch", "pandas", "pyarrow"} & imported_by(columns.__name__)
    assert set(columns.EXTRAS.values()) <= {"token", "sample", "vector"}
    assert columns.EXTRAS.keys() == extra.COMPUTE.keys() | extra.STREAMS.keys()
    assert not extra.COMPUTE.keys() & extra.STREAMS.keys()
    assert set(columns.REFERENCE_EXTRAS) <= columns.EXTRAS.keys()


@pytest.mark.parametrize("elements", [1, 40 * 7, 2**23])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_head_equals_float64(elements: int, scale: float) -> None:
    from prunegrid.models.head import chunked

    torch.manual_seed(0)
    module = torch.nn.Linear(16, 40, bias=False)
    hidden_RD, targets_R = torch.randn(33, 16) * scale, torch.randint(0, 40, (33,))
    with torch.inference_mode():
        nll_R, entropy_R = chunked(module, hidden_RD, targets_R, elements)
        logp_RV = (hidden_RD.double() @ module.weight.double().T).log_softmax(-1)
    torch.testing.assert_close(nll_R.double(), -logp_RV.gather(1, targets_R[:, None])[:, 0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(entropy_R.double(), -(logp_RV.exp() * logp_RV).sum(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("vocabulary", "most"), [(50, 20), (500, 2), (5000, 1)])
def test_head_takes_fewer_positions_of_a_larger_vocabulary(
    vocabulary: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prunegrid.models import head

    seen: list[int] = []

    def linear(hidden_CD: torch.Tensor, *weights: Any) -> torch.Tensor:
        seen.append(len(hidden_CD))
        return torch.nn.functional.linear(hidden_CD, *weights)

    monkeypatch.setattr(head, "linear", linear)
    module = torch.nn.Linear(4, vocabulary, bias=False)
    with torch.inference_mode():
        head.chunked(module, torch.randn(41, 4), torch.zeros(41, dtype=torch.long), elements=1000)
    assert max(seen) == most
    assert sum(seen) == 41


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("fused", [False, True])
def test_head_on_a_gpu_equals_float64(fused: bool) -> None:
    from prunegrid.models import head

    module = torch.nn.Linear(64, 1000, bias=False, device="cuda", dtype=torch.bfloat16)
    hidden_RD = torch.randn(333, 64, device="cuda", dtype=torch.bfloat16)
    targets_R = torch.randint(0, 1000, (333,), device="cuda")
    apply = head.fused(module)
    if fused and apply is None:
        pytest.skip("needs liger-kernel with its CuTe DSL kernels and compute capability 9.0")
    with torch.inference_mode():
        logp_RV = (hidden_RD.double() @ module.weight.double().T).log_softmax(-1)
        if fused and apply:
            nll_R, entropy_R = apply(hidden_RD, module.weight, targets_R)
        else:
            nll_R, entropy_R = head.chunked(module, hidden_RD, targets_R)
    near = {"rtol": 1e-2, "atol": 1e-2} if fused else {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(nll_R.double(), -logp_RV.gather(1, targets_R[:, None])[:, 0], **near)
    torch.testing.assert_close(entropy_R.double(), -(logp_RV.exp() * logp_RV).sum(1), **near)
