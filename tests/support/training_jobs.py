"""Whole training jobs on a tiny model, and what they must come to: the contract's arithmetic in float64."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from transformers import AutoModelForCausalLM

from prunegrid.experiment.training import Training
from prunegrid.models import describe
from prunegrid.pruners import PruningSpec
from prunegrid.training import Job, train
from prunegrid.training.schedule import schedule

SETTINGS: dict[str, Any] = {
    "method": "full",
    "learning_rate": 1e-2,
    "num_train_epochs": 2,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 2,
}


def run(
    out: Path,
    model: Path,
    scores: Path,
    selection: Path | None = None,
    *,
    pruning: PruningSpec | None = None,
    seed: int = 0,
    device: str = "cpu",
    **settings: Any,
) -> dict[str, Any]:
    """Train into `out/model`, `out/training.json`; return the latter."""
    job = Job(
        model=model,
        scores=scores,
        selection=selection,
        pruning=pruning,
        training=Training(**(SETTINGS | settings)),
        seed=seed,
        device=device,
        threads=2,
    )
    return train(job, out / "model", out / "training.json", describe(model)["digests"])


Rows = list[dict[str, Any]]


def samples_of_steps(scores: Path, selection: Path, training: Training) -> list[Rows]:
    """Of each optimizer step the kept samples of all ranks: prompt, response, kept positions, weight."""
    steps = micro_batches_of_steps(scores, selection, training)
    return [[row for batch in batches for row in batch] for batches in steps]


def micro_batches_of_steps(scores: Path, selection: Path, training: Training) -> list[list[Rows]]:
    """The same, the samples of each micro-batch of each rank by themselves."""
    tokens = {row["sample_id"]: row for row in pq.read_table(scores / "tokens.parquet").to_pylist()}
    kept = pq.read_table(selection).to_pylist()
    ids = np.array([row["sample_id"] for row in kept])
    plans = [schedule(ids, len(tokens), training, 0, rank) for rank in range(training.ranks)]
    return [
        [[kept[row] | tokens[kept[row]["sample_id"]] for row in batch] for plan in plans for batch in plan[step]]
        for step in range(len(plans[0]))
    ]


def contract_loss(model: Any, samples: list[dict[str, Any]], removal: str) -> torch.Tensor:
    """sum(weight x NLL) / number of trainable tokens, sample by sample through the library's own forward."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for row in samples:
        prompt, response, kept = row["prompt_ids"], row["response_ids"], row["kept"]
        survivors = kept if removal == "drop" else list(range(len(response)))
        seen = [*range(len(prompt)), *(len(prompt) + i for i in survivors)]
        logits_TV = model(
            torch.tensor([prompt + [response[i] for i in survivors]]),
            position_ids=torch.tensor([seen]),
            attention_mask=torch.ones(1, len(seen)),
            use_cache=False,
        ).logits[0]
        for i in kept:
            before = seen.index(len(prompt) + i) - 1
            total = total - row["weight"] * logits_TV[before].log_softmax(-1)[response[i]]
        count += len(kept)
    return total / count


def load_float64(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder).double()
