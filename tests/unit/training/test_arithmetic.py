"""Which samples and tokens a step sees, and what the loss is, without starting a training job."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from prunegrid.experiment.training import Training
from prunegrid.selection.examples import IGNORE, Example, build_example
from prunegrid.training.loss import collate, total_nll
from prunegrid.training.packed_attention import PACKED
from prunegrid.training.schedule import MicroBatches, forward_passes, schedule, steps_per_epoch, total_steps

SETTINGS = {"num_train_epochs": 3, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}


def flat(plan: list[MicroBatches]) -> list[int]:
    return [row for step in plan for batch in step for row in batch]


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("kept", [100, 50, 13, 3, 1])
def test_every_cell_takes_the_steps_of_full(kept: int, ranks: int) -> None:
    training = Training(ranks=ranks, **SETTINGS)
    ids = np.arange(1000, 1000 + kept)
    plans = [schedule(ids, 100, training, cell_seed=1, rank=rank) for rank in range(ranks)]
    steps = steps_per_epoch(100, training)
    assert steps == -(-100 // (8 * ranks))
    assert all(len(plan) == 3 * steps for plan in plans)
    assert all(len(step) == 2 and len(batch) <= 4 for plan in plans for step in plan for batch in step)
    for epoch in range(3):
        rows = [row for plan in plans for row in flat(plan[epoch * steps : (epoch + 1) * steps])]
        assert sorted(rows) == list(range(kept))
    per_step = [sum(len(flat([plan[s]])) for plan in plans) for s in range(3 * steps)]
    assert max(per_step) - min(per_step) <= 1
    enough = kept // steps >= 2 * ranks
    assert not enough or all(batch for plan in plans for step in plan for batch in step)


@pytest.mark.parametrize("max_steps", [1, 5, 13, 30])
def test_max_steps_overrides_the_epochs(max_steps: int) -> None:
    """13 steps are an epoch of 100 candidates; the steps that are there are those of the longer plan."""
    whole = schedule(np.arange(50), 100, Training(**SETTINGS | {"num_train_epochs": 3}), cell_seed=1, rank=0)
    training = Training(**SETTINGS, max_steps=max_steps)
    plan = schedule(np.arange(50), 100, training, cell_seed=1, rank=0)
    assert len(plan) == max_steps == total_steps(100, training)
    assert plan == whole[:max_steps]


def test_order_depends_on_seed_and_epoch_not_on_row_order() -> None:
    training = Training(**SETTINGS)
    ids = np.arange(40)

    def order(ids: np.ndarray, seed: int) -> list[int]:
        return [int(ids[row]) for row in flat(schedule(ids, 40, training, seed, rank=0))]

    assert order(ids, 1) == order(ids[::-1].copy(), 1)
    assert order(ids, 1) != order(ids, 2)
    assert order(ids, 1)[:40] != order(ids, 1)[40:80]


def test_example_mask_keeps_context_and_drop_keeps_positions() -> None:
    mask = build_example(7, [1, 2], [10, 11, 12, 13], [0, 3], 0.5, "mask")
    masked_ids, masked_labels = [1, 2, 10, 11, 12, 13], [IGNORE, IGNORE, 10, IGNORE, IGNORE, 13]
    assert mask == Example(7, masked_ids, masked_labels, [0, 1, 2, 3, 4, 5], 0.5, kept_tokens=4, ends=1)
    drop = build_example(7, [1, 2], [10, 11, 12, 13], [0, 3], 0.5, "drop")
    assert drop == mask._replace(ids=[1, 2, 10, 13], labels=[IGNORE, IGNORE, 10, 13], positions=[0, 1, 2, 5])
    assert mask.trainable == drop.trainable == 2
    whole = build_example(7, [1, 2], [10, 11], None, 1.0, "mask")
    assert whole.labels == [IGNORE, IGNORE, 10, 11]


TWO = [build_example(3, [1], [2, 3], None, 1.0, "mask"), build_example(4, [1], [2], None, 0.5, "mask")]


def test_collate_pads_short_rows_with_what_nobody_sees() -> None:
    batch = collate(TWO, packed=False)
    assert batch["input_ids"].tolist() == [[1, 2, 3], [1, 2, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["segments"] is None
    assert (batch["before_R"].tolist(), batch["target_R"].tolist()) == ([0, 1, 3], [2, 3, 2])
    assert batch["weight_R"].tolist() == [1.0, 1.0, 0.5]


def test_collate_packs_rows_behind_one_another() -> None:
    batch = collate(TWO, packed=True)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 1, 2]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1]]
    assert (batch["attention_mask"], batch["segments"]) == (None, [3, 2])
    assert (batch["before_R"].tolist(), batch["target_R"].tolist()) == ([0, 1, 3], [2, 3, 2])
    assert batch["sample_ids"] == [3, 4]


@pytest.mark.parametrize("packed", [True, False])
def test_an_empty_pass_teaches_nothing(packed: bool, tiny_model: Path) -> None:
    """A rank without samples goes through the model all the same: the others wait for it there."""
    model = AutoModelForCausalLM.from_pretrained(tiny_model, attn_implementation=PACKED if packed else "sdpa")
    batch = collate([], packed)
    assert batch["sample_ids"] == []
    loss = total_nll(model, batch)
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


def nll(folder: Path, rows: list[Example], packed: bool) -> float:
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation=PACKED if packed else "sdpa")
    return float(total_nll(model, collate(rows, packed)).detach())


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("removal", ["mask", "drop"])
def test_total_nll_equals_a_float64_loop_over_the_samples(removal: str, packed: bool, tiny_model: Path) -> None:
    """Reference: the library's own forward of each sample alone, and -log softmax at its kept tokens."""
    model = AutoModelForCausalLM.from_pretrained(tiny_model).double()
    rng, expected, rows = np.random.default_rng(0), 0.0, []
    for number, (prompt, length, weight) in enumerate([(3, 9, 1.0), (1, 1, 0.25), (5, 14, 2.0), (2, 4, 1.5)]):
        ids = rng.integers(1, 200, prompt + length).tolist()
        kept = sorted(rng.choice(length, size=max(1, length // 2), replace=False).tolist())
        rows.append(build_example(number, ids[:prompt], ids[prompt:], kept, weight, removal))
        seen = [*range(prompt), *(prompt + i for i in (kept if removal == "drop" else range(length)))]
        with torch.no_grad():
            logits_TV = model(
                torch.tensor([[ids[i] for i in seen]]),
                position_ids=torch.tensor([seen]),
                attention_mask=torch.ones(1, len(seen)),
            ).logits[0]
        for place in (seen.index(prompt + i) for i in kept):
            expected -= weight * logits_TV[place - 1].log_softmax(-1)[ids[seen[place]]].item()
    assert nll(tiny_model, rows, packed) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("halvings", [0, 1, 2, 9])
def test_halved_passes_hold_the_same_samples(halvings: int, packing: bool) -> None:
    training = Training(packing=packing, batch_tokens=64, per_device_train_batch_size=5)
    step = [[build_example(10 * m + n, [1], [2] * (n + 1), None, 1.0, "mask") for n in range(5)] for m in range(3)]
    passes = forward_passes(step, training, halvings)
    assert sorted(example.sample_id for batch in passes for example in batch) == sorted(
        example.sample_id for batch in step for example in batch
    )
    assert all(passes), "an empty pass costs a forward"
    if packing:
        assert all(len(batch) == 1 or sum(len(example.ids) for example in batch) <= 64 >> halvings for batch in passes)
    else:
        assert max(map(len, passes)) == max(1, -(-5 // 2**halvings))
