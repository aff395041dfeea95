"""Optional scores in dynamic mode: computed with the weights of the moment, or read if no weights change them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from prunegrid.api.scores import add_scores
from prunegrid.core.files import read_json
from prunegrid.experiment.layout import extra_name
from prunegrid.experiment.training import Scoring, Training
from prunegrid.models import load_tokenizer
from prunegrid.models.head import patch_forward
from prunegrid.pruners import Draw, Needs, PruningSpec, select
from prunegrid.pruners.columns import EXTRAS, FIXED_EXTRAS, MOMENT_EXTRAS, QUERY_EXTRAS, REFERENCE_EXTRAS
from prunegrid.scoring.extra import write_extra
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.training import Job
from prunegrid.training.candidates import CandidateScorer
from prunegrid.training.dynamic import MiniBatchPruner
from prunegrid.training.optional_scores import NONE, OptionalScores, optional_scores
from prunegrid.training.packed_attention import PACKED
from prunegrid.training.samples import Samples
from support.dynamic_selection import SEED, moment_of, plan_of
from support.errors import refused
from support.killed_jobs import Inputs
from support.resumed_jobs import Kills, kill_twice_and_resume
from support.tiny_architectures import MODELS, write_model
from support.tiny_llama import write_tiny_model
from support.training_jobs import SETTINGS, run

NEEDS = Needs(
    samples={name: "test" for name, kind in EXTRAS.items() if kind != "token"},
    tokens={name: "test" for name, kind in EXTRAS.items() if kind == "token"},
)
SEQUENCE = PruningSpec(
    method="qtuning", options={"entropy_over": "sequence"}, sample_ratio=0.5, token_ratio=0.5
).complete()
SSTOKEN = PruningSpec(method="random+sstoken", sample_ratio=0.5, token_ratio=0.5).complete()
RHO1 = PruningSpec(method="random+rho1", sample_ratio=0.5, token_ratio=0.5).complete()


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, dataset: Path, scores: Path) -> Path:
    """The scores with every optional score beside them."""
    folder = tmp_path_factory.mktemp("extended")
    shutil.copytree(scores, folder / "scores")
    reference = write_tiny_model(folder / "reference", seed=3)
    for name in EXTRAS:
        of_reference = reference if name in REFERENCE_EXTRAS else None
        out = folder / "scores" / "extra" / extra_name(name)
        query = dataset if name in QUERY_EXTRAS else None
        write_extra(name, folder / "scores", tiny_model, out, Scoring(), "cpu", of_reference, dataset, query)
    return folder / "scores"


def scorer(
    model: Path,
    scores: Path,
    packed: bool,
    batch_tokens: int = 100,
    attention: bool = True,
    optional: OptionalScores | None = None,
    maximum: Any = lambda n: n,
) -> CandidateScorer:
    if optional is None:
        optional = OptionalScores(MOMENT_EXTRAS, load_tokenizer(model).all_special_ids)
    made = CandidateScorer(ScoresFolder(scores).sequences(), batch_tokens, attention, optional)
    kernel = PACKED if packed else "sdpa"
    own = AutoModelForCausalLM.from_pretrained(model, attn_implementation=kernel).eval()
    assert made.attach(own, lambda run: run(), maximum) is None
    return made


def assert_close(actual: Any, expected: Any, names: Any) -> None:
    for name in names:
        kind = "samples" if EXTRAS.get(name) == "sample" else "tokens"
        columns = (getattr(one, kind)[name] for one in (actual, expected))
        np.testing.assert_allclose(*columns, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("batch_tokens", [10, 100, 10_000], ids=["a sample a pass", "some", "one pass"])
def test_scores_of_unchanged_weights_are_the_static_ones(
    packed: bool, batch_tokens: int, tiny_model: Path, extended: Path
) -> None:
    """In any order of the samples, with and without the attention scores of the scoring pass beside them."""
    rows = np.random.default_rng(0).permutation(20)[:13]
    expected = ScoresFolder(extended).read(NEEDS).take(rows)
    for attention in (True, False):
        actual = scorer(tiny_model, extended, packed, batch_tokens, attention).score(rows)
        assert_close(actual, expected, MOMENT_EXTRAS)
        assert ("fastv" in actual.tokens) == attention
        assert "sequence_entropy" not in actual.tokens
    assert 0 < expected.tokens["sparsevlm_kept"].sum() < len(expected.tokens["sparsevlm_kept"])


@pytest.mark.parametrize("architecture", MODELS)
def test_packed_scores_are_the_padded_ones(architecture: str, tmp_path: Path, tiny_model: Path, scores: Path) -> None:
    """With sliding windows and grouped heads. The other scores are those of a pass without the whole sequence."""
    model = write_model(tmp_path / "model", tiny_model, **MODELS[architecture] | {"max_position_embeddings": 256})
    packed, padded = (scorer(model, scores, packed).score(np.arange(20)) for packed in (True, False))
    plain = scorer(model, scores, True, optional=NONE).score(np.arange(20))
    assert_close(packed, padded, [*MOMENT_EXTRAS, "nll", "entropy", "fastv", "sparsevlm"])
    assert_close(packed, plain, ["nll", "entropy", "fastv", "sparsevlm"])


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
def test_bfloat16_scores_are_near_those_of_float32(packed: bool, tiny_model: Path, scores: Path) -> None:
    exact, half = scorer(tiny_model, scores, packed), scorer(tiny_model, scores, packed)
    half.model.to(torch.bfloat16)
    values = [one.score(np.arange(20)) for one in (exact, half)]
    entropies = [one.samples["sequence_entropy"] for one in values]
    np.testing.assert_allclose(*entropies, rtol=0.02)
    ranks = [one.tokens["fastv_rank"] for one in values]
    assert np.corrcoef(*ranks)[0, 1] > 0.98
    assert set(values[1].tokens["sparsevlm_kept"].tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
def test_ranks_make_the_same_calls_of_decoder_and_head(packed: bool, tiny_model: Path, scores: Path) -> None:
    """Under ZeRO-3 each is collective: a rank without candidates makes those of the rank with the most."""
    calls, passes = [], [0]
    for rows in (np.arange(20), np.empty(0, np.int64)):
        one = scorer(tiny_model, scores, packed, batch_tokens=150, maximum=lambda n: max(n, passes[0]))
        head, counted = one.model.get_output_embeddings(), [0, 0]
        patch_forward(head)
        head.register_forward_pre_hook(lambda *given, counted=counted: counted.__setitem__(0, counted[0] + 1))
        one.model.get_decoder().register_forward_pre_hook(
            lambda *given, counted=counted: counted.__setitem__(1, counted[1] + 1)
        )
        made = one.score(rows)
        passes[0] = one.counts["scoring_passes"]
        calls.append(counted)
        assert len(made.samples["sequence_entropy"]) == len(made) == len(rows)
    assert calls[0] == calls[1] == [passes[0], passes[0]] and passes[0] > 1


def test_fixed_scores_follow_their_samples(tiny_model: Path, extended: Path) -> None:
    rows = np.random.default_rng(1).permutation(20)[:7]
    everything = ScoresFolder(extended).read(NEEDS)
    fixed = Needs(*({k: v for k, v in needs.items() if k in FIXED_EXTRAS} for needs in (NEEDS.samples, NEEDS.tokens)))
    optional = OptionalScores(fixed=ScoresFolder(extended).read(fixed))
    actual = scorer(tiny_model, extended, True, optional=optional).score(rows)
    for name in FIXED_EXTRAS:
        kind = "samples" if EXTRAS[name] == "sample" else "tokens"
        np.testing.assert_array_equal(getattr(actual, kind)[name], getattr(everything.take(rows), kind)[name])


def job(model: Path, scores: Path, pruning: PruningSpec) -> Job:
    return Job(model=model, scores=scores, pruning=pruning, training=Training(mode="dynamic"), seed=0)


def test_jobs_read_and_compute_only_what_their_pruners_read(tiny_model: Path, extended: Path) -> None:
    sequence, rho1 = (optional_scores(job(tiny_model, extended, pruning)) for pruning in (SEQUENCE, RHO1))
    assert (sequence.computed, sequence.fixed) == (("sequence_entropy",), None)
    assert rho1.computed == () and rho1.fixed and [*rho1.fixed.tokens] == ["reference_nll"]
    matched = PruningSpec(**dict(RHO1) | {"method": "random+random", "options": {}, "match": SEQUENCE_METHOD})
    assert optional_scores(job(tiny_model, extended, matched)).computed == ("sequence_entropy",)


def test_the_loss_of_the_base_model_is_that_of_the_scores(tiny_model: Path, extended: Path) -> None:
    """ssToken compares it with the mini-batch's own: under changed weights the two differ."""
    optional = optional_scores(job(tiny_model, extended, SSTOKEN))
    assert optional.computed == ("prompt_attention",) and optional.fixed
    made, rows = scorer(tiny_model, extended, True, optional=optional), np.random.default_rng(2).permutation(20)[:9]
    stored = ScoresFolder(extended).read(Needs({}, {"nll": "test"})).take(rows).tokens["nll"]
    now = made.score(rows).tokens
    np.testing.assert_array_equal(now["base_nll"], stored)
    np.testing.assert_allclose(now["nll"], stored, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        for parameter in made.model.parameters():
            parameter.mul_(1.1)
    later = made.score(rows).tokens
    np.testing.assert_array_equal(later["base_nll"], stored)
    assert np.abs(later["nll"] - stored).max() > 0.01


SEQUENCE_METHOD = {"method": "qtuning", "options": {"entropy_over": "sequence"}}


def test_a_fixed_score_that_is_not_there_is_named(tiny_model: Path, scores: Path) -> None:
    with refused(scores / "tokens.parquet", "reference_nll", fix="prunegrid extra reference_nll"):
        optional_scores(job(tiny_model, scores, RHO1))


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("pruning", [SEQUENCE, RHO1], ids=lambda pruning: pruning.method)
def test_fixed_weights_select_what_static_pruners_select(
    pruning: PruningSpec, packing: bool, tiny_model: Path, extended: Path
) -> None:
    settings = Training(**SETTINGS | {"mode": "dynamic", "learning_rate": 0, "packing": packing})
    own = AutoModelForCausalLM.from_pretrained(tiny_model, attn_implementation=PACKED if packing else "sdpa").eval()
    optional = optional_scores(job(tiny_model, extended, pruning))
    samples = Samples(ScoresFolder(extended).sequences(), "mask")
    dynamic = MiniBatchPruner(samples, pruning, SEED, 100, optional)
    dynamic.attach(own, lambda run: run(), lambda n: n)
    static = ScoresFolder(extended).read(pruning.needs)
    for step, micro_batches in enumerate(plan_of(extended, settings)):
        moment = moment_of(step, settings)
        rows = [row for batch in micro_batches for row in batch]
        made = dynamic.prune(micro_batches, moment, dynamic.candidates.score(np.array(rows)))
        draw = Draw(SEED, moment.epoch, moment.step, moment.progress)
        for batch, kept in zip(micro_batches, made, strict=True):
            expected = select(static.take(np.array(batch)), pruning, draw) if batch else []
            assert [example.sample_id for example in kept] == [*getattr(expected, "sample_id", [])]
            assert sum(example.trainable for example in kept) == len(getattr(expected, "positions", []))


def test_models_without_attention_scores_are_refused_as_for_fastv(
    tiny_model: Path, scores: Path, tmp_path: Path
) -> None:
    gpt2 = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
    folder = write_model(tmp_path / "gpt2", tiny_model, **gpt2)
    made = CandidateScorer(ScoresFolder(scores).sequences(), 100, False, OptionalScores(("fastv_rank",), [0]))
    reason = made.attach(AutoModelForCausalLM.from_pretrained(folder), lambda run: run(), lambda n: n)
    assert reason and "model type gpt2 has no attention at" in reason


@pytest.fixture(scope="module")
def warm_ranks(warm_module: None) -> None:
    """Training jobs start in a second."""


def test_the_reference_and_its_file_are_recorded(
    warm_ranks: None, tmp_path: Path, tiny_model: Path, extended: Path
) -> None:
    """For `status`, which says when a reference model has changed; two ranks, ZeRO-3."""
    form = {"mode": "dynamic", "ranks": 2, "zero_stage": 3, "gradient_accumulation_steps": 1, "max_steps": 2}
    report = run(tmp_path, tiny_model, extended, pruning=RHO1, **form)
    assert any(name.endswith("extra/reference_nll.parquet") for name in report["inputs"])
    extras = read_json(tmp_path / "selection.json")["extras"]
    assert extras == ScoresFolder(extended).extra_digests(RHO1.needs)
    assert "reference" in extras["reference_nll"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "kills"),
    [
        (
            {"ranks": 2, "zero_stage": 3, "gradient_accumulation_steps": 1},
            Kills(2, "killed after", "killed while writing"),
        ),
        ({"rescore_every": "epoch"}, Kills(3, "killed before", "killed before renaming")),
    ],
    ids=["at every step", "within a block"],
)
def test_a_killed_job_resumes_with_the_same_scores(
    warm_ranks: None,
    settings: dict[str, Any],
    kills: Kills,
    tmp_path: Path,
    inputs: Inputs,
    undisturbed: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings |= {"dynamic": True, "options": {"entropy_over": "sequence"}}
    kill_twice_and_resume(tmp_path, inputs, undisturbed, monkeypatch, settings, kills)


def test_imported_columns_are_the_same_at_every_step(tiny_model: Path, scores: Path, tmp_path: Path) -> None:
    """Sample and token scores from elsewhere: mini-batches keep what the same pruner keeps of them in static mode."""
    folder = Path(shutil.copytree(scores, tmp_path / "scores"))
    sequences, draw = ScoresFolder(folder).sequences(), np.random.default_rng(0)
    rows = [
        {"sample_id": int(i), "quality": draw.random(), "influence": draw.random(n).tolist()}
        for i, n in zip(sequences.sample_id_N, sequences.response_N, strict=True)
    ]
    (tmp_path / "judge.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[::-1]))
    for name in ("quality", "influence"):
        add_scores(folder, name, tmp_path / "judge.jsonl")
    pruning = PruningSpec(
        method="imported+imported", options={"token_scores": "influence"}, sample_ratio=0.5, token_ratio=0.5
    ).complete()
    optional = optional_scores(job(tiny_model, folder, pruning))
    assert optional.computed == () and optional.fixed
    assert ([*optional.fixed.samples], [*optional.fixed.tokens]) == (["quality"], ["influence"])
    test_fixed_weights_select_what_static_pruners_select(pruning, True, tiny_model, folder)
