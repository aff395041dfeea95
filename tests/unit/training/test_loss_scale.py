"""`loss_divisor`, `loss_average` and `accumulation`: what a step's loss is divided by."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from prunegrid.experiment.training import Training
from prunegrid.selection.examples import Answer, Example, build_conversation, build_example
from prunegrid.selection.prune import prune
from prunegrid.training.counters import Counters
from prunegrid.training.loss import collate, total_nll
from prunegrid.training.loss_scale import divisors, step_divisor, with_equal_weight
from prunegrid.training.packed_attention import PACKED
from prunegrid.training.samples import Samples
from prunegrid.training.schedule import forward_passes
from support import selections
from support.conversations import conversations
from support.errors import refused
from support.gradients import SIZES, built
from support.handmade_scores import spec
from support.killed_jobs import Inputs
from support.resumed_jobs import Kills, Undisturbed, kill_twice_and_resume
from support.training_jobs import SETTINGS, contract_loss, load_float64, micro_batches_of_steps, run

KEPT = {"loss_divisor": "kept_tokens"}
EQUAL = {"loss_average": "micro_batch"}
SUM = {"accumulation": "sum"}
COPY = KEPT | EQUAL | SUM

# prompt, response, kept positions, weight: 2, 3 and 1 trained tokens; 4, 4 and 7 that pruning left
THREE = [
    build_example(0, [1, 2], [3, 4, 5, 6], [0, 3], 2.0, "mask"),
    build_example(1, [7], [8, 9, 10], [0, 1, 2], 1.0, "mask"),
    build_example(2, [1, 2, 3, 4, 5, 6], [7, 8], [0], 0.5, "mask"),
]
STEP = [THREE[:2], THREE[2:]]  # two micro-batches of one rank


def step_loss(model: Any, micro_batches: list[list[Example]], packed: bool, ranks: int = 1, **keys: Any) -> float:
    """The loss of a step, as the trainer puts it together."""
    training = Training(packing=packed, batch_tokens=8, ranks=ranks, **keys)
    passes = forward_passes(with_equal_weight(micro_batches, training), training)
    counts = divisors(micro_batches, training)
    total = sum(total_nll(model, collate(rows, packed)).item() for rows in passes)
    return total / step_divisor(sum(counts), sum(map(bool, counts)), training)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("keys", "expected"),
    [  # the sum of weight x NLL is 4 + 3 and 0.5, in units of one token's NLL
        ({}, 7.5 / 6),
        (KEPT, 7.5 / 15),
        (EQUAL, (7 / 5 + 0.5 / 1) / 2),
        (KEPT | EQUAL, (7 / 8 + 0.5 / 7) / 2),
        (SUM, 2 * 7.5 / 6),
        (KEPT | SUM, 2 * 7.5 / 15),
        (EQUAL | SUM, 7 / 5 + 0.5 / 1),
        (COPY, 7 / 8 + 0.5 / 7),
    ],
    ids=str,
)
def test_three_samples_by_hand(keys: dict[str, str], expected: float, packed: bool) -> None:
    """A model whose head is 0 gives every token the same NLL, log of the vocabulary's size."""
    model = built(attention=PACKED if packed else "sdpa")
    torch.nn.init.zeros_(model.lm_head.weight)
    nll = math.log(SIZES["vocab_size"])
    assert step_loss(model, STEP, packed, **keys) == pytest.approx(expected * nll, rel=1e-6)


@pytest.mark.parametrize("keys", [KEPT, EQUAL, KEPT | EQUAL, COPY], ids=str)
def test_packed_passes_equal_padded_ones(keys: dict[str, str]) -> None:
    """One pass of a pack has samples of both micro-batches."""
    losses = [
        step_loss(built(attention=PACKED if packed else "sdpa"), STEP, packed, **keys) for packed in (True, False)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    plain = step_loss(built(), STEP, packed=True)
    assert losses[0] != pytest.approx(plain, rel=1e-2)


def test_ranks_are_averaged_and_micro_batches_of_a_rank_summed() -> None:
    """Four micro-batches, of two ranks or of one; an empty one is none."""
    for ranks, factor in ((1, 4), (2, 2), (4, 1)):
        assert step_divisor(60, 4, Training(ranks=ranks, **SUM)) == 60 / factor
        assert step_divisor(60, 4, Training(ranks=ranks, **EQUAL | SUM)) == 4 / factor
    assert step_divisor(60, 3, Training(**EQUAL)) == 3
    assert divisors([THREE, []], Training()) == [6, 0]
    assert step_divisor(60, 4, Training(ranks=2)) == 60


def test_kept_tokens_are_those_that_pruning_left() -> None:
    """Prompts count, whole or as chosen; so does context, whatever became of the masked tokens."""
    answers = [Answer([1, 2], [3, 4, 5], [0, 2]), Answer([6], [7, 8], None), Answer([9, 10], [11, 12], [1])]
    for removal in ("mask", "drop"):
        assert build_conversation(0, answers, removal).kept_tokens == (2 + 2) + (1 + 2) + (2 + 1)
        assert build_example(0, [1, 2], [3, 4, 5], [], 1.0, removal).kept_tokens == 2
        assert build_example(0, [1, 2], [3, 4, 5], [0], 1.0, removal, prompt_kept=1).kept_tokens == 2


def test_chosen_tokens_of_prompts_are_read_from_the_selection(tmp_path: Path) -> None:
    rows = conversations([1, 1, 1])
    path = tmp_path / "selection.parquet"
    columns = {"sample_id": rows.sample_id_N, "kept": [[0], [], [0]], "weight": np.ones(3, np.float32)}
    pq.write_table(pa.table(columns | {"prompt_kept": [1, 2, 0]}), path)
    samples = Samples(rows, "mask")
    samples.select(path)
    assert [samples[number].kept_tokens for number in range(3)] == [2, 2, 1]
    assert [samples[number].trainable for number in range(3)] == [1, 0, 1]


def test_learned_ends_are_counted() -> None:
    """Not the end of a truncated answer, which has none, nor one that is masked, nor that of context."""
    ends = [
        build_example(0, [1], [2, 3], kept, 1.0, "mask", truncated=truncated).ends
        for kept, truncated in ((None, False), ([1], False), ([0], False), ([0, 1], True), ([], False))
    ]
    assert ends == [1, 1, 0, 0, 0]
    answers = [Answer([1], [2, 3], [1]), Answer([1], [2, 3], None), Answer([1], [2, 3], [0]), Answer([1], [2], [0])]
    assert build_conversation(0, answers, "drop").ends == 2


def test_shuffled_responses_bring_their_ends(tmp_path: Path) -> None:
    rows = conversations([1, 1, 1])
    rows.truncated_N[:] = [True, False, False]
    samples = Samples(rows, "mask", np.array([1, 2, 0]))
    assert [samples[number].ends for number in range(3)] == [1, 1, 0]


def test_a_checkpoint_that_did_not_count_ends_gives_no_number(tmp_path: Path) -> None:
    """A sum over the steps since would look like one over all."""
    counters = Counters(0)
    counters.count([THREE], [collate(THREE, packed=True)])
    assert counters.counts["end_tokens"] == 2
    del counters.counts["end_tokens"]
    counters.save(tmp_path)
    resumed = Counters(0)
    resumed.load(tmp_path, 1)
    resumed.count([THREE], [collate(THREE, packed=True)])
    assert "end_tokens" not in resumed.counts
    assert resumed.counts["samples"] == 6


@pytest.fixture(scope="module")
def selection(tmp_path_factory: pytest.TempPathFactory, scores: Path) -> Path:
    """Half of the samples, half of their tokens; of every second sample not the end."""
    out = tmp_path_factory.mktemp("pruned")
    prune(scores, out, spec("random+random"), 0)
    return without_tokens(out / "selection.parquet", lambda number, kept: kept[: -1 if number % 2 else None])


def without_tokens(path: Path, reduced: Any) -> Path:
    """The selection with fewer tokens in some samples."""
    table = pq.read_table(path)
    kept = [reduced(number, row) for number, row in enumerate(table["kept"].to_pylist())]
    place = table.schema.get_field_index("kept")
    selections.rewrite(path, table.set_column(place, "kept", pa.array(kept, table.schema.field("kept").type)))
    return path


FORMS = {"mean": {}, "sum": SUM}
SGD: dict[str, Any] = {  # weights before - weights after = learning rate x gradient
    "optim": "sgd",
    "learning_rate": 0.1,
    "lr_scheduler_type": "constant",
    "warmup_ratio": 0,
    "max_steps": 1,
}


@pytest.mark.parametrize(
    ("keys", "ranks", "form"),
    [
        (COPY, 2, {"packing": True, "batch_tokens": 64, "zero_stage": 2}),
        pytest.param(KEPT | EQUAL, 1, {"packing": False, "zero_stage": 0}, marks=pytest.mark.slow),
        pytest.param(EQUAL | SUM, 2, {"packing": False, "zero_stage": 3}, marks=pytest.mark.slow),
        pytest.param(KEPT | SUM, 2, {"packing": True, "batch_tokens": 64, "zero_stage": 0}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_job_has_the_loss_and_gradient_of_the_formula(
    keys: dict[str, str],
    ranks: int,
    form: dict[str, Any],
    tmp_path: Path,
    tiny_model: Path,
    scores: Path,
    selection: Path,
    warm: None,
) -> None:
    """Micro-batch by micro-batch, in float64, through the library's own forward."""
    (batches,) = micro_batches_of_steps(scores, selection, Training(**SETTINGS | SGD | {"ranks": ranks}))
    model = load_float64(tiny_model)
    trained = [sum(len(row["kept"]) for row in batch) for batch in batches]
    prompts = [sum(len(row["prompt_ids"]) for row in batch) for batch in batches]
    counts = [a + b * (keys.get("loss_divisor") == "kept_tokens") for a, b in zip(trained, prompts, strict=True)]
    sums = [contract_loss(model, batch, "mask") * n for batch, n in zip(batches, trained, strict=True)]
    if "loss_average" in keys:
        loss = torch.stack([s / n for s, n in zip(sums, counts, strict=True)]).mean()
    else:
        loss = torch.stack(sums).sum() / sum(counts)
    loss = loss * (2 if "accumulation" in keys else 1)
    loss.backward()
    norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm().item()
    clipping = {"max_grad_norm": 0.75 * norm}  # of the sum: half of it, the mean's, would not be clipped
    report = run(tmp_path, tiny_model, scores, selection, ranks=ranks, **SGD | clipping | form | keys)
    assert report["loss_curve"][0]["loss"] == pytest.approx(loss.item(), rel=1e-5)
    if form["zero_stage"]:  # without ZeRO, DeepSpeed reports no norm
        assert report["loss_curve"][0]["grad_norm"] == pytest.approx(norm, rel=1e-4)
    after = load_file(tmp_path / "model/model.safetensors")
    for name, p in model.named_parameters():
        change = (p.detach() - after[name].double()) / SGD["learning_rate"] / 0.75
        torch.testing.assert_close(change, p.grad, rtol=0, atol=1e-4 * p.grad.abs().max().item() + 2e-6)
    rows = [row for batch in batches for row in batch]
    ends = [len(row["response_ids"]) - 1 in row["kept"] for row in rows]
    assert (report["sample_passes"], report["end_tokens"]) == (len(rows), sum(ends))
    assert 0 < sum(ends) < len(rows)


@pytest.mark.slow
def test_adamw_divides_a_sum_out_again(
    tmp_path: Path, tiny_model: Path, scores: Path, selection: Path, warm: None
) -> None:
    """Without clipping the weights are those of the mean, but for epsilon."""
    adamw = {"adam_epsilon": 1e-30, "learning_rate": 1e-3, "max_steps": 3, "max_grad_norm": 0}
    mean, total = (run(tmp_path / name, tiny_model, scores, selection, **adamw | keys) for name, keys in FORMS.items())
    assert total["loss_curve"][0]["grad_norm"] == pytest.approx(2 * mean["loss_curve"][0]["grad_norm"], rel=1e-5)
    expected, actual = (load_file(tmp_path / name / "model/model.safetensors") for name in FORMS)
    for name, weights in expected.items():
        torch.testing.assert_close(actual[name], weights, rtol=0, atol=1e-5)


def test_a_step_without_a_trained_token_has_loss_0_if_prompts_count(
    tmp_path: Path, tiny_model: Path, scores: Path, warm: None
) -> None:
    """One of four samples, in one of four steps, keeps a token; with today's divisor that job cannot be."""
    prune(scores, tmp_path, spec("random+random", 0.2, 0.5), 0)
    path = without_tokens(tmp_path / "selection.parquet", lambda number, kept: kept if number == 0 else [])
    batches = {"per_device_train_batch_size": 5, "gradient_accumulation_steps": 1, "num_train_epochs": 1}
    report = run(tmp_path / "kept", tiny_model, scores, path, **batches | KEPT)
    losses = [point["loss"] for point in report["loss_curve"]]
    assert (len(losses), losses.count(0), report["sample_passes"]) == (4, 3, 4)
    with refused("step 1", "has no trainable token"):
        run(tmp_path / "trained", tiny_model, scores, path, **batches)


def test_killed_and_resumed_with_the_copys_loss(
    tmp_path: Path, inputs: Inputs, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch, warm: None
) -> None:
    """Weights, losses, sample passes and learned ends are those of a job that ran through."""
    settings = {"zero_stage": 2, "ranks": 1, "dynamic": True, "packing": True, "gradient_accumulation_steps": 2}
    kills = Kills(3, "killed before", "killed while writing")
    kill_twice_and_resume(tmp_path, inputs, undisturbed, monkeypatch, settings | COPY, kills)
