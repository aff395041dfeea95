"""The Hugging Face Trainer with our batches and our loss; everything else is the library's."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from transformers import Trainer

from prunegrid.train.batches import IGNORE, Example


def collate(examples: list[Example]) -> dict[str, torch.Tensor]:
    """Right-padded ids, labels, position ids, an explicit attention mask (all int64[B, T]) and weights float32[B].

    The mask is explicit because without one transformers takes a gap in the position ids for the border
    between packed sequences. An empty micro-batch becomes one token that nothing is learned from.
    """
    examples = examples or [Example([0], [IGNORE], [0], 1.0)]
    width = max(len(example.ids) for example in examples)

    def padded(rows: list[list[int]], value: int) -> torch.Tensor:
        return torch.tensor([row + [value] * (width - len(row)) for row in rows])

    return {
        "input_ids": padded([e.ids for e in examples], 0),
        "labels": padded([e.labels for e in examples], IGNORE),
        "position_ids": padded([e.positions for e in examples], 0),
        "attention_mask": padded([[1] * len(e.ids) for e in examples], 0),
        "weights": torch.tensor([e.weight for e in examples], dtype=torch.float32),
    }


def weighted_nll(logits_BTV: torch.Tensor, labels_BT: torch.Tensor, weights_B: torch.Tensor) -> torch.Tensor:
    """Sum over trainable tokens of weight x NLL (nats); token t is predicted from the one before it in the row."""
    targets = labels_BT[:, 1:]
    nll = cross_entropy(
        logits_BTV[:, :-1].flatten(0, 1).float(), targets.flatten(), reduction="none", ignore_index=IGNORE
    )
    return (nll.view_as(targets).sum(1) * weights_B).sum()


class PrunedTrainer(Trainer):
    """Loss = sum(weight x NLL) over trainable tokens / trainable tokens of the whole accumulated global batch."""

    def __init__(self, *, examples: list[Example], plan: list[list[int]], **kwargs: Any) -> None:
        super().__init__(train_dataset=examples, data_collator=collate, **kwargs)
        self.plan = plan
        self.loss_is_scaled_for_ga = True

    def get_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.train_dataset, batch_sampler=self.plan, collate_fn=collate)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], torch.Tensor]:
        """The step's micro-batches, and the trainable tokens in them over all ranks."""
        batches = [next(epoch_iterator) for _ in range(num_batches)]
        trainable = sum((batch["labels"] != IGNORE).sum() for batch in batches)
        return batches, self.accelerator.gather(torch.as_tensor(trainable, device=device)).sum()

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """This micro-batch's share of the global loss, times the ranks, since gradients are averaged over them."""
        labels, weights = inputs.pop("labels"), inputs.pop("weights")
        logits = model(**inputs, use_cache=False).logits
        total = weighted_nll(logits, labels, weights)
        return total / num_items_in_batch.clamp(min=1) * self.accelerator.num_processes
