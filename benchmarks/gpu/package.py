"""Every call from the kit into prunegrid: what changes in the package changes here.

But training jobs are in `jobs.py`, and `limits.py` reads the head's chunk.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prunegrid import models
from prunegrid.core.ragged import flat_indices
from prunegrid.models import head
from prunegrid.pruners import PruningSpec
from prunegrid.pruners.columns import ATTENTION_SCORES, HEAD_SCORES
from prunegrid.scoring.batches import batches_by_length, pad
from prunegrid.scoring.forward import compute_in_batches, hidden_states
from prunegrid.scoring.score import Scorer, scorer
from prunegrid.scoring.sequences import Sequences
from prunegrid.scoring.writer import write_scores
from prunegrid.selection.examples import build_example
from prunegrid.selection.prune import prune
from prunegrid.training.loss import chunked_nll, collate, total_nll
from prunegrid.training.packed_attention import PACKED, packed_attention, segment_borders

PACKED = PACKED
SCORES = HEAD_SCORES + ATTENTION_SCORES
Values = dict[str, np.ndarray]


# ------------------------------------------------------------------------------------------------------------ scoring


def rows(prompt_N: np.ndarray, response_N: np.ndarray, ids_T: np.ndarray) -> Sequences:
    """Samples 0, 1, 2, ... of these lengths."""
    return Sequences(np.arange(len(prompt_N)), prompt_N, response_N, np.zeros(len(prompt_N), bool), ids_T)


def score(model: Any, samples: Sequences, batch_tokens: int) -> Values:
    """The scoring pass: of each score an array of one value a response token."""
    return Scorer(model)(samples, batch_tokens, "scoring")[0]


def score_head_only(model: Any, samples: Sequences, batch_tokens: int) -> None:
    """The scoring pass without the attention scores."""
    compute_in_batches(
        samples, batch_tokens, model.device, HEAD_SCORES, scorer(model, head.Head(model), None), "scoring"
    )


def bare_forward(model: Any, samples: Sequences, batch_tokens: int, with_head: bool) -> None:
    """The least that a pass over the same batches can be: no statistics, nothing kept."""
    with torch.inference_mode():
        for chosen in batches_by_length(samples.length_N, batch_tokens):
            hidden_BTD = hidden_states(model, pad(samples, chosen, model.device))
            for part_CD in hidden_BTD.flatten(0, 1).split(2048) if with_head else ():
                model.get_output_embeddings()(part_CD)


def one_token(model: Any) -> None:
    """The launches of a forward, and next to nothing for the device to do."""
    with torch.inference_mode():
        model.get_decoder()(input_ids=torch.ones(1, 1, dtype=torch.long, device=model.device), use_cache=False)


def longest_batch(samples: Sequences, batch_tokens: int) -> Sequences:
    return samples.take(next(iter(batches_by_length(samples.length_N, batch_tokens))))


def batch_count(samples: Sequences, batch_tokens: int) -> int:
    return sum(1 for _ in batches_by_length(samples.length_N, batch_tokens))


def padded(samples: Sequences, chosen: np.ndarray, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask [B, T], as anyone pads them."""
    batch = pad(samples, chosen, device)
    mask_BT = (torch.arange(batch.ids_BT.shape[1], device=device) < batch.length_B[:, None]).long()
    return batch.ids_BT, mask_BT


def load_model(folder: Path, dtype: str, device: str) -> Any:
    return models.load_model(folder, dtype, device)


# -------------------------------------------------------------------------------------------------------------- heads


def score_head(
    module: Any, hidden_RD: torch.Tensor, target_R: torch.Tensor, chunk: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """NLL and entropy; `chunk` positions' logits at a time, if the package's own chunk is no smaller."""
    return head.chunked(module, hidden_RD, target_R, chunk and chunk * module.out_features)


def fused_score_head(module: Any) -> Callable[..., Any] | None:
    return head.fused(module)


def train_head(module: Any, hidden_RD: torch.Tensor, target_R: torch.Tensor, size: int) -> torch.Tensor:
    return chunked_nll(module, hidden_RD, target_R, torch.ones(len(target_R), device=hidden_RD.device), size)


# ------------------------------------------------------------------------------------------------------------ packing


Attention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def attention(lengths: list[int], device: str) -> Attention:
    """Packed attention [1, T, H, D] of samples of these lengths, whose borders are on the device already."""
    module, borders = torch.nn.Module(), segment_borders(lengths).to(device)
    return lambda q, k, v: packed_attention(module, q, k, v, None, segments=lengths, borders=borders)[0]


def examples(samples: Sequences, removal: str) -> list[Any]:
    """Of every sample two of three response tokens."""
    kept = [[i for i in range(int(n)) if i % 3] or [0] for n in samples.response_N]
    return [build_example(i, *samples.ids(i), kept[i], 1.0, removal) for i in range(len(samples))]


def loss(model: Any, some: list[Any], packed: bool) -> torch.Tensor:
    """The sum of NLL over the trainable tokens."""
    inputs = collate(some, packed)
    moved = {k: v.to(model.device) if isinstance(v, torch.Tensor) else v for k, v in inputs.items()}
    return total_nll(model, moved)


# --------------------------------------------------------------------------------------------------------- selections


def store_scores(folder: Path, samples: Sequences, values: Values, max_length: int) -> Path:
    write_scores(folder, samples, values, {"digests": {}, "max_length": max_length})
    return folder


def select(scores: Path, out: Path, method: str, sample_ratio: float, token_ratio: float) -> Path:
    """Prune by these scores; the selection's Parquet file."""
    prune(scores, out, PruningSpec(method=method, sample_ratio=sample_ratio, token_ratio=token_ratio), 0)
    return out / "selection.parquet"


def of_sample(samples: Sequences, i: int) -> tuple[np.ndarray, int, slice]:
    """The ids of sample i, the length of its prompt, and where its values stand among those of all samples."""
    ids_T = samples.ids_T[flat_indices(samples.offsets, np.array([i]))].astype(np.int64)
    start, end = samples.response_offsets[i : i + 2]
    return ids_T, int(samples.prompt_N[i]), slice(int(start), int(end))


# --------------------------------------------------------------------------------------------------------- evaluation


def static_answers(
    model: Any, tokenizer: Any, prompts: list[list[int]], new: int, stops: list[str], batch_tokens: int
) -> list[list[int]]:
    """Answers from a static cache, as an evaluation has them that is long enough to compile for."""
    from prunegrid.evaluation.generation import generate

    settings = {"max_new_tokens": new, "stops": stops, "batch_tokens": batch_tokens}
    return generate(model, tokenizer, prompts, implementation="static", **settings).tokens


def language_model(model: Any, tokenizer: Any, batch_tokens: int) -> Any:
    """The model as an evaluation asks it: lm-eval's requests."""
    from prunegrid.evaluation.language_model import LanguageModel

    return LanguageModel(model, tokenizer, batch_tokens)
