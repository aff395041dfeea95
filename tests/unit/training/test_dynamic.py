"""Dynamic pruning: with weights that stand still it is static pruning of every mini-batch, and else it is not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma2Config

from prunegrid import pruners
from prunegrid.experiment.training import Training
from prunegrid.pruners import MethodSpec, PruningSpec, SelectionArrays
from prunegrid.pruners.columns import ATTENTION_SCORES, HEAD_SCORES
from prunegrid.pruners.method import AUTHORS
from prunegrid.scoring.batches import batches_by_length
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.selection.examples import Example, build_example
from prunegrid.training import dynamic as module
from prunegrid.training.dynamic import MiniBatchPruner
from prunegrid.training.dynamic_summary import Candidates, StepPosition, summarise
from prunegrid.training.optional_scores import OptionalScores
from prunegrid.training.packed_attention import PACKED
from prunegrid.training.packed_passes import packed_passes
from prunegrid.training.samples import Samples
from prunegrid.training.schedule import MicroBatches, schedule, steps_per_epoch
from support.dynamic_selection import SEED, expected_log, moment_of, plan_of, pruning, statically
from support.errors import refused
from support.tiny_llama import write_tiny_model
from support.training_jobs import SETTINGS

METHODS = ["qtuning", "random+ppl", "infobatch+fastv", "entropy+sparsevlm", "infobatch-original"]


def training(**settings: Any) -> Training:
    return Training(**SETTINGS | {"mode": "dynamic", "learning_rate": 0} | settings)


def new(scores: Path, method: str, settings: Training) -> MiniBatchPruner:
    rows = ScoresFolder(scores).sequences()
    samples = Samples(rows, settings.removal)
    return MiniBatchPruner(samples, pruning(method), SEED, 100)


def attached(model: Path, scores: Path, method: str, settings: Training, maximum: Any = lambda n: n) -> MiniBatchPruner:
    """What a worker has, less DeepSpeed."""
    attention = PACKED if settings.packing else "sdpa"
    own = AutoModelForCausalLM.from_pretrained(model, attn_implementation=attention).eval()
    dynamic = new(scores, method, settings)
    dynamic.attach(own, lambda run: run(), maximum)
    return dynamic


def keep(dynamic: MiniBatchPruner, micro_batches: MicroBatches, moment: StepPosition) -> list[list[Example]]:
    """Scored in the step itself."""
    rows = np.array([row for batch in micro_batches for row in batch], dtype=np.int64)
    return dynamic.prune(micro_batches, moment, dynamic.candidates.score(rows))


def as_examples(scores: Path, selection: SelectionArrays, removal: str) -> list[Example]:
    texts = {row["sample_id"]: row for row in pq.read_table(scores / "tokens.parquet").to_pylist()}
    rows = [texts[number] for number in selection.sample_id.tolist()]
    return [
        build_example(
            row["sample_id"],
            row["prompt_ids"],
            row["response_ids"],
            selection.kept_positions(i).tolist(),
            float(selection.weight[i]),
            removal,
        )
        for i, row in enumerate(rows)
    ]


@pytest.mark.parametrize("candidates", [1, 3, 8, 20, 97])
@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("size", [1, 4, 5])
def test_mini_batches_are_whole_but_at_an_epochs_end(size: int, accumulation: int, ranks: int, candidates: int) -> None:
    """Ranks take turns, then micro-batches, then steps; an epoch has each candidate once, in an order of its own."""
    settings = training(
        ranks=ranks, per_device_train_batch_size=size, gradient_accumulation_steps=accumulation, num_train_epochs=3
    )
    ids = np.arange(100, 100 + candidates)
    plans = [schedule(ids, candidates, settings, 1, rank) for rank in range(ranks)]
    each, orders = steps_per_epoch(candidates, settings), []
    assert all(len(plan) == 3 * each and {len(step) for step in plan} == {accumulation} for plan in plans)
    for epoch in range(3):
        steps = range(each * epoch, each * (epoch + 1))
        in_turn = [plan[step][m] for step in steps for m in range(accumulation) for plan in plans]
        whole, rest = divmod(candidates, size)
        sizes = [size] * whole + [rest] * (rest > 0)
        assert [len(batch) for batch in in_turn] == sizes + [0] * (len(in_turn) - len(sizes))
        assert any(plan[steps[-1]][m] for plan in plans for m in range(accumulation)), "no step is empty"
        orders.append([row for batch in in_turn for row in batch])
        assert sorted(orders[-1]) == list(range(candidates))
    assert candidates < 8 or len(set(map(tuple, orders))) == 3


@pytest.mark.parametrize("form", [{}, {"packing": False, "removal": "drop"}], ids=["packed-mask", "padded-drop"])
@pytest.mark.parametrize("method", METHODS)
def test_fixed_weights_select_what_static_pruners_select(
    method: str, form: dict[str, Any], tiny_model: Path, scores: Path
) -> None:
    settings = training(per_device_train_batch_size=6, gradient_accumulation_steps=1, **form)
    dynamic, plan = attached(tiny_model, scores, method, settings), plan_of(scores, settings)
    assert len(plan) == 2 * 4
    for step, micro_batches in enumerate(plan):
        moment = moment_of(step, settings)
        expected = [statically(scores, method, batch, moment) for batch in micro_batches]
        actual = keep(dynamic, micro_batches, moment)
        assert actual == [as_examples(scores, selection, settings.removal) for selection in expected]
        assert all(actual), "every mini-batch keeps something"
    assert pa.concat_tables(dynamic.log).to_pylist() == expected_log(scores, method, settings)


def test_window_is_the_mini_batch_and_an_empty_one_keeps_none(tiny_model: Path, scores: Path) -> None:
    """Of the four hardest samples two are kept where they are a mini-batch, all four among four easier ones."""
    dynamic, moment = attached(tiny_model, scores, "infobatch+ppl", training()), moment_of(0, training())
    nll = ScoresFolder(scores).read(pruners.Needs(samples={"nll": "test"}, tokens={})).samples["nll"]
    hardest = np.argsort(-nll)[:8].tolist()

    def kept(*micro_batches: list[int]) -> list[list[int]]:
        return [[example.sample_id for example in batch] for batch in keep(dynamic, list(micro_batches), moment)]

    ids = dynamic.rows.sample_id_N[hardest].tolist()
    assert kept(hardest[:4], [], hardest[4:]) == [sorted(ids[:2]), [], sorted(ids[4:6])]
    assert kept(hardest) == [sorted(ids[:4])]


def test_match_keeps_the_other_pruners_counts_in_each_batch(tiny_model: Path, scores: Path) -> None:
    """The equal-budget control: as many samples and tokens as Q-Tuning keeps of the same candidates, at random."""
    settings = training()
    dynamic = attached(tiny_model, scores, "random+random", settings)
    dynamic.pruning = PruningSpec(**dict(dynamic.pruning) | {"match": MethodSpec(method="qtuning")})
    for step, micro_batches in enumerate(plan_of(scores, settings)):
        moment = moment_of(step, settings)
        for batch, kept in zip(micro_batches, keep(dynamic, micro_batches, moment), strict=True):
            if not batch:
                assert kept == []
                continue
            like = statically(scores, "qtuning", batch, moment)
            assert (len(kept), sum(example.trainable for example in kept)) == (len(like), len(like.positions))
    matched = PruningSpec(**dict(dynamic.pruning) | {"match": MethodSpec(method="random+fastv")})
    own = MiniBatchPruner(dynamic.samples, matched, SEED, 100)
    assert own.candidates.attention and not dynamic.candidates.attention, "the other pruner's columns are scored, too"


@pytest.mark.parametrize("surplus", ["trim", "keep"])
def test_rounded_counts_keep_a_sample_of_eight_at_a_sixteenth(surplus: str, tiny_model: Path, scores: Path) -> None:
    """Of 20 candidates 3 mini-batches: 8, 8 and 4. A pair that matches Q-Tuning keeps as many of each."""
    settings = training(per_device_train_batch_size=8, gradient_accumulation_steps=1)
    options = {"sample_count": "round", "surplus": surplus}
    spec = PruningSpec(method="qtuning", options=options, sample_ratio=0.0625, token_ratio=0.5).complete()
    match = MethodSpec(method="qtuning", options=spec.options)
    pair = PruningSpec(method="random+random", sample_ratio=0.0625, token_ratio=0.5, match=match).complete()
    counts = []
    for pruning_spec in (spec, pair):
        dynamic = attached(tiny_model, scores, "qtuning", settings)
        dynamic.pruning = pruning_spec
        plan = plan_of(scores, settings)
        kept = [len(batch) for step in plan for batch in keep(dynamic, step, moment_of(0, settings))]
        assert kept == [len(table) for table in dynamic.log]
        counts.append(kept)
    assert counts[0] == counts[1]
    assert [len(batch) for step in plan for batch in step] == [8, 8, 4] * 2
    assert counts[0] == [1] * 6 if surplus == "trim" else min(counts[0]) >= 1
    log = pa.concat_tables(dynamic.log)
    summary = summarise(dynamic.pruning, dynamic.rows, SEED, Candidates(40, 1, 1), {}, log)
    assert summary.nominal["samples"] == 0.0625
    assert summary.realised["samples"] == sum(counts[0]) / 40


@pytest.mark.parametrize("reading", ["all", "random+ppl", "random+random"])
def test_authors_reading_learns_no_end_and_keeps_samples_without_a_token(
    reading: str, tiny_model: Path, scores: Path
) -> None:
    """One count for a mini-batch, prompts included: what is chosen of each prompt reaches its example."""
    settings, folder = training(per_device_train_batch_size=6, gradient_accumulation_steps=1), ScoresFolder(scores)
    plain = folder.read(pruners.Needs({}, {}))
    assert plain.prompt_tokens is not None
    fixed = replace(plain, samples={"prompt_candidates": plain.prompt_tokens.astype(np.float64)}, tokens={})
    spec = PruningSpec(method=reading, options={"reading": AUTHORS}, sample_ratio=0.5, token_ratio=0.02).complete()
    samples = Samples(folder.sequences(), settings.removal)
    dynamic = MiniBatchPruner(samples, spec, SEED, 100, OptionalScores(fixed=fixed))
    own = AutoModelForCausalLM.from_pretrained(tiny_model, attn_implementation=PACKED).eval()
    dynamic.attach(own, lambda run: run(), lambda n: n)
    kept = [batch for step in plan_of(scores, settings) for batch in keep(dynamic, step, moment_of(0, settings))]
    assert all(kept), "a mini-batch keeps its samples, whether they learn or not"
    for batch in kept:
        rows = [int(np.flatnonzero(plain.sample_id == example.sample_id)[0]) for example in batch]
        learned = sum(example.trainable for example in batch)
        ends = ~plain.truncated[rows]
        assert not any(example.labels[-1] != -100 for example, end in zip(batch, ends, strict=True) if end)
        if reading == "all":
            assert learned == (plain.response_tokens[rows] - ends).sum()
            continue
        candidates = int((plain.response_tokens[rows] - ends + plain.prompt_tokens[rows]).sum())
        chosen = sum(example.kept_tokens for example in batch)
        assert chosen == max(1, round(0.02 * candidates)) >= learned
    log = pa.concat_tables(dynamic.log)
    candidates_N = np.array([row for step in plan_of(scores, settings) for batch in step for row in batch])
    response, length = (int(column[candidates_N].sum()) for column in (dynamic.rows.response_N, dynamic.rows.length_N))
    totals = Candidates(len(candidates_N), response, length)
    summary = summarise(dynamic.pruning, dynamic.rows, dynamic.cell_seed, totals, {}, log)
    assert summary.empty == (None if reading == "all" else log["kept"].to_pylist().count(0))
    assert reading == "all" or summary.empty


def test_qtunings_authors_reading_has_a_token_target_for_each_mini_batch(tiny_model: Path, scores: Path) -> None:
    """Prompts included; what the kept samples have above it goes, as far as the samples like Q2 hold it."""
    settings, plain = training(per_device_train_batch_size=6), ScoresFolder(scores).read(pruners.Needs({}, {}))
    spec = PruningSpec(method="qtuning", options={"reading": AUTHORS}, sample_ratio=0.5, token_ratio=0.7).complete()
    samples = Samples(ScoresFolder(scores).sequences(), settings.removal)
    dynamic = MiniBatchPruner(samples, spec, SEED, 100, OptionalScores(computed=("sequence_entropy",)))
    own = AutoModelForCausalLM.from_pretrained(tiny_model, attn_implementation=PACKED).eval()
    dynamic.attach(own, lambda run: run(), lambda n: n)
    assert plain.prompt_tokens is not None
    whole_N, goes = plain.prompt_tokens + plain.response_tokens, set()
    for step, micro_batches in enumerate(plan_of(scores, settings)):
        moment = moment_of(step, settings)
        for batch, examples in zip(micro_batches, keep(dynamic, micro_batches, moment), strict=True):
            if not batch:
                continue
            rows = np.array([np.flatnonzero(plain.sample_id == example.sample_id)[0] for example in examples])
            kept = np.array([example.trainable for example in examples])
            rules = dynamic.log.pop(0)["treated_as"].to_numpy()
            excess = max(0, int(whole_N[rows].sum()) - round(0.35 * int(whole_N[batch].sum())))
            pool = int(plain.response_tokens[rows][rules == 2].sum())
            assert (plain.response_tokens[rows] - kept)[rules == 4].sum() == 0
            assert (plain.response_tokens[rows] - kept)[rules == 2].sum() == min(excess, pool)
            goes.add((excess > 0, excess < pool, bool((kept == 0).any())))
    assert {(True, True, False), (True, False, True)} <= goes, "targets met in part of a pool, and emptied pools"


def test_random_draws_change_with_the_step_and_the_epoch(tiny_model: Path, scores: Path) -> None:
    dynamic = attached(tiny_model, scores, "random+random", training())
    (first,), (repeated,), (step,), (epoch,) = (
        keep(dynamic, [list(range(20))], moment)
        for moment in (
            StepPosition(0, 0, 0, 0.0),
            StepPosition(0, 0, 0, 0.0),
            StepPosition(0, 1, 0, 0.1),
            StepPosition(1, 0, 0, 0.5),
        )
    )
    assert first == repeated
    assert first != step and first != epoch and step != epoch


@pytest.mark.parametrize("method", METHODS)
def test_other_weights_select_otherwise(method: str, tiny_model: Path, scores: Path) -> None:
    settings = training()
    dynamic, moment = attached(tiny_model, scores, method, settings), moment_of(0, settings)
    before = keep(dynamic, [list(range(20))], moment)
    with torch.no_grad():
        for parameter in dynamic.candidates.model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    assert keep(dynamic, [list(range(20))], moment) != before


@pytest.mark.parametrize("packing", [True, False])
def test_scores_are_those_of_the_scoring_pass(packing: bool, tiny_model: Path, scores: Path) -> None:
    """In any order of the samples, and however many forwards the other ranks make."""
    needed = pruners.Needs(
        samples=dict.fromkeys(("nll", "ppl", "entropy"), "test"),
        tokens=dict.fromkeys(HEAD_SCORES + ATTENTION_SCORES, "test"),
    )
    rows = np.random.default_rng(0).permutation(20)[:13]
    stored = ScoresFolder(scores).read(needed).take(rows)
    forwards: list[Any] = []
    dynamic = attached(tiny_model, scores, "random+fastv", training(packing=packing), maximum=lambda n: n + 2)
    dynamic.candidates.model.get_decoder().register_forward_pre_hook(lambda *given: forwards.append(given))
    actual = dynamic.candidates.score(rows)
    divide = packed_passes if packing else batches_by_length
    parts = len(list(divide(dynamic.rows.take(rows).length_N, 100)))
    assert parts > 1 and len(forwards) == parts + 2, "as many forwards as the rank with the most makes"
    for name in ("sample_id", "response_tokens", "truncated", "offsets", "prompt_tokens"):
        np.testing.assert_array_equal(getattr(actual, name), getattr(stored, name))
    for kind in ("samples", "tokens"):
        for name, column in getattr(stored, kind).items():
            np.testing.assert_allclose(getattr(actual, kind)[name], column, rtol=1e-4, atol=1e-6, err_msg=name)


def test_no_gradient_is_left_behind(tiny_model: Path, scores: Path) -> None:
    dynamic = attached(tiny_model, scores, "qtuning", training())
    keep(dynamic, [list(range(8))], moment_of(0, training()))
    assert all(parameter.grad is None for parameter in dynamic.candidates.model.parameters())


def test_probe_scores_the_same_samples_shared_among_ranks(
    tiny_model: Path, scores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROBE_SAMPLES", 7)
    dynamic = attached(tiny_model, scores, "random+ppl", training())
    alone, repeated = dynamic.probe(0, 1), dynamic.probe(0, 1)
    shares = [dynamic.probe(rank, 3) for rank in range(3)]
    assert alone == repeated and alone[2] == 7
    np.testing.assert_allclose(np.sum(shares, axis=0), alone, rtol=1e-6)
    assert not dynamic.log, "a probe selects nothing"


def test_unreadable_attention_is_refused_if_a_pruner_needs_it(scores: Path) -> None:
    config = Gemma2Config(
        vocab_size=300,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        attn_logit_softcapping=5.0,
        final_logit_softcapping=None,
    )
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with refused("variants", "random+fastv", "gemma2", "softcap", fix="another pruner"):
        new(scores, "random+fastv", training()).attach(model, lambda f: f(), max)
    new(scores, "random+ppl", training()).attach(model, lambda f: f(), max)


def test_scores_whose_two_tables_disagree_are_refused(tmp_path: Path, scores: Path) -> None:
    for name in ("samples.parquet", "tokens.parquet"):
        table = pq.read_table(scores / name)
        pq.write_table(table[:-1] if name == "samples.parquet" else table, tmp_path / name)
    with refused(tmp_path / "tokens.parquet", "samples.parquet", fix="score again"):
        new(tmp_path, "random+ppl", training())


def test_scoring_needs_no_particular_model_seed(tmp_path: Path, scores: Path) -> None:
    """The scores of the moment are the model's own, not the files': another model's differ from theirs."""
    other = attached(write_tiny_model(tmp_path / "other", seed=5), scores, "random+ppl", training())
    stored = ScoresFolder(scores).read(pruners.Needs(samples={"nll": "test"}, tokens={}))
    assert not np.allclose(other.candidates.score(np.arange(20)).samples["nll"], stored.samples["nll"], rtol=1e-2)
