"""Which samples and tokens a step sees, and what the loss is, without starting a training job."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from prunegrid.config import Training
from prunegrid.train.batches import IGNORE, Example, example, schedule, steps_per_epoch
from prunegrid.train.forward import collate, total_nll

SETTINGS = {"num_train_epochs": 3, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("kept", [100, 50, 13, 3, 1])
def test_every_cell_takes_the_steps_of_full(kept: int, ranks: int) -> None:
    training = Training(ranks=ranks, **SETTINGS)
    ids = np.arange(1000, 1000 + kept)
    plans = [schedule(ids, 100, training, seed=1, rank=rank) for rank in range(ranks)]
    steps = steps_per_epoch(100, training)
    assert steps == -(-100 // (8 * ranks))
    for plan in plans:
        assert len(plan) == 3 * steps * 2
        assert all(len(batch) <= 4 for batch in plan)
    for epoch in range(3):
        rows = [i for plan in plans for batch in plan[epoch * steps * 2 : (epoch + 1) * steps * 2] for i in batch]
        assert sorted(rows) == list(range(kept))
    per_step = [sum(len(plan[2 * s + m]) for plan in plans for m in range(2)) for s in range(3 * steps)]
    assert max(per_step) - min(per_step) <= 1
    enough = kept // steps >= 2 * ranks
    assert not enough or all(batch for plan in plans for batch in plan)


def test_order_depends_on_seed_and_epoch_not_on_row_order() -> None:
    training = Training(**SETTINGS)
    ids = np.arange(40)

    def order(ids: np.ndarray, seed: int) -> list[int]:
        return [int(ids[i]) for batch in schedule(ids, 40, training, seed, rank=0) for i in batch]

    assert order(ids, 1) == order(ids[::-1].copy(), 1)
    assert order(ids, 1) != order(ids, 2)
    assert order(ids, 1)[:40] != order(ids, 1)[40:80]


def test_example_mask_keeps_context_and_drop_keeps_positions() -> None:
    mask = example([1, 2], [10, 11, 12, 13], [0, 3], 1.0, "mask")
    assert mask == Example([1, 2, 10, 11, 12, 13], [IGNORE, IGNORE, 10, IGNORE, IGNORE, 13], [0, 1, 2, 3, 4, 5], 1.0)
    drop = example([1, 2], [10, 11, 12, 13], [0, 3], 1.0, "drop")
    assert drop == Example([1, 2, 10, 13], [IGNORE, IGNORE, 10, 13], [0, 1, 2, 5], 1.0)
    whole = example([1, 2], [10, 11], None, 1.0, "mask")
    assert whole.labels == [IGNORE, IGNORE, 10, 11]


def test_collate_pads_and_an_empty_micro_batch_teaches_nothing() -> None:
    batch = collate([example([1], [2, 3], None, 1.0, "mask"), example([1], [2], None, 0.5, "mask")])
    assert batch["input_ids"].tolist() == [[1, 2, 3], [1, 2, 0]]
    assert batch["labels"].tolist() == [[IGNORE, 2, 3], [IGNORE, 2, IGNORE]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["weights"].tolist() == [1.0, 0.5]
    assert (collate([])["labels"] == IGNORE).all()


def test_weighted_nll_equals_a_float64_loop() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 6, 11)
    labels = torch.randint(0, 11, (3, 6))
    labels[torch.rand(3, 6) < 0.4] = IGNORE
    weights = torch.tensor([1.0, 0.25, 2.0])
    expected = 0.0
    for b in range(3):
        for t in range(1, 6):
            if labels[b, t] != IGNORE:
                expected -= weights[b].item() * logits[b, t - 1].double().log_softmax(-1)[labels[b, t]].item()
    assert weighted_nll(logits, labels, weights).item() == pytest.approx(expected, rel=1e-6)


def loss_and_logits(folder, row: Example) -> tuple[float, torch.Tensor]:  # type: ignore[no-untyped-def]
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    batch = collate([row])
    labels, weights = batch.pop("labels"), batch.pop("weights")
    with torch.no_grad():
        logits = model(**batch, use_cache=False).logits
    return weighted_nll(logits, labels, weights).item(), logits[0]


def test_dropped_tokens_influence_nothing_and_survivors_see_each_other(tiny_model) -> None:  # type: ignore[no-untyped-def]
    """A gap in the position ids must not be taken for the border between packed sequences."""
    loss, logits = loss_and_logits(tiny_model, example([5, 6], [10, 11, 12, 13], [0, 3], 1.0, "drop"))
    other, _ = loss_and_logits(tiny_model, example([5, 6], [10, 99, 98, 13], [0, 3], 1.0, "drop"))
    assert loss == other
    model = AutoModelForCausalLM.from_pretrained(tiny_model, attn_implementation="eager").eval()
    causal = torch.full((4, 4), torch.finfo(torch.float32).min).triu(1)[None, None]
    with torch.no_grad():
        expected = model(
            torch.tensor([[5, 6, 10, 13]]), position_ids=torch.tensor([[0, 1, 2, 5]]), attention_mask=causal
        ).logits[0]
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)
    _, moved = loss_and_logits(tiny_model, example([7, 6], [10, 11, 12, 13], [0, 3], 1.0, "drop"))
    assert not torch.allclose(logits[3], moved[3]), "the prompt must reach the token after the gap"


def test_masked_tokens_are_context_but_not_loss(tiny_model) -> None:  # type: ignore[no-untyped-def]
    """Changing a masked token changes later predictions; its own label never counts."""
    loss, _ = loss_and_logits(tiny_model, example([5, 6], [10, 11, 12, 13], [0, 3], 1.0, "mask"))
    other, _ = loss_and_logits(tiny_model, example([5, 6], [10, 11, 98, 13], [0, 3], 1.0, "mask"))
    assert loss != other
    first, _ = loss_and_logits(tiny_model, example([5, 6], [10, 11, 12, 13], [0], 1.0, "mask"))
    same, _ = loss_and_logits(tiny_model, example([5, 6], [10, 97, 98, 99], [0], 1.0, "mask"))
    assert first == same
