"""The scoring pass: one forward over the training set, once per model.

`prunegrid score --model DIR --data FILE --out DIR`, or the rules `score` and `gather_scores`. Only response
positions go through the head, in chunks, so that no batch x length x vocabulary tensor exists; attention is
computed of the final layer only, for the response's queries, and averaged over heads.
"""

import json
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from prunegrid import __version__
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import sha256
from prunegrid.core.versions import SCORES_SCHEMA
from prunegrid.experiment.sections import Scoring
from prunegrid.models import check_device, describe, load_model, load_tokenizer
from prunegrid.models.attention_capture import AttentionCapture
from prunegrid.models.head import Head
from prunegrid.models.probes import attention_scores_unavailable, check_reads_positions
from prunegrid.pruners.columns import ATTENTION_SCORES, HEAD_SCORES
from prunegrid.scoring.attention import fastv_and_sparsevlm
from prunegrid.scoring.batches import Batch
from prunegrid.scoring.forward import Compute, compute_in_batches, hidden_states, predicting_states
from prunegrid.scoring.sequences import Sequences, Shard, Values, tokenise_shard
from prunegrid.scoring.writer import rates, refuse_empty, write_scores


def score(
    model_dir: Path,
    data: Path,
    out: Path,
    settings: Scoring,
    device: str = "cpu",
    shard: Shard = (1, 1),
    removals: Collection[str] = (),
) -> dict[str, Any]:
    """Write `samples.parquet`, `tokens.parquet` and `meta.json` (design: contract `scores`); return the meta.

    `shard` (i, n) scores only the i-th of n parts of the data; `shards.gather` puts the parts together. A model that
    cannot be trained under one of `removals` is refused before the pass.
    """
    started = time.monotonic()
    described = describe(model_dir)
    check_device(device)
    tokenizer = load_tokenizer(model_dir)
    if tokenizer.chat_template is None:
        raise PrunegridError(f"{model_dir}: its tokenizer has no chat template; set one and save_pretrained it there")
    with ThreadPoolExecutor(1) as loader:  # loading waits for the disk and the device, tokenising for cores
        model = loader.submit(load_model, model_dir, settings.dtype, device)
        rows, cut = tokenise_shard(data, tokenizer, settings.max_length, shard)
    meta: dict[str, Any] = {
        "schema": SCORES_SCHEMA,
        "version": __version__,
        "digests": {**described["digests"], "data": sha256(data), "scoring": _digest(settings)},
        "dtype": settings.dtype,
        "max_length": settings.max_length,
        "shard": list(shard),
        "shards": shard[1],
        **counts(rows, cut),
    }
    if shard == (1, 1):
        refuse_empty(meta, data)
    if "drop" in removals:
        check_reads_positions(model.result())
    values, found = score_rows(model.result(), rows, settings.batch_tokens)
    meta |= found | {"seconds": round(time.monotonic() - started, 1)}
    meta |= rates(meta)
    write_scores(out, rows, values, meta)
    return meta


def _digest(settings: Scoring) -> str:
    """Of what decides the scores besides model and data; batches and shards do not."""
    return sha256(json.dumps({"max_length": settings.max_length, "dtype": settings.dtype}))


def score_rows(model: Any, rows: Sequences, batch_tokens: int) -> tuple[Values, dict[str, Any]]:
    """The token scores of all rows, and what the meta says of how they were made."""
    head, reason = Head(model), attention_scores_unavailable(model)
    names = HEAD_SCORES if reason else HEAD_SCORES + ATTENTION_SCORES
    with nullcontext() if reason else AttentionCapture(model) as capture:
        values, work = compute_in_batches(
            rows, batch_tokens, model.device, names, scorer(model, head, capture), "scoring"
        )
    return values, {
        "head": head.name,
        **({"fallbacks": head.fallbacks} if head.fallbacks else {}),
        "left_out": dict.fromkeys(ATTENTION_SCORES, reason) if reason else {},
        "positions": work.positions,
        "forward_seconds": round(work.seconds, 3),
    }


def counts(rows: Sequences, cut: int) -> dict[str, int]:
    return {
        "samples": len(rows),
        "fully_cut": cut,
        "truncated": int(rows.truncated_N.sum()),
        "tokens": int(rows.length_N.sum()),
    }


def scorer(model: Any, head: Head, capture: AttentionCapture | None) -> Compute:
    """NLL, entropy and, where the attention is captured, FastV and SparseVLM scores of a batch's response tokens."""

    def compute(batch: Batch) -> tuple[torch.Tensor, ...]:
        hidden_BTD = hidden_states(model, batch)
        of_head = head(predicting_states(hidden_BTD, batch), batch.targets_R)
        return (*of_head, *fastv_and_sparsevlm(capture.take(), batch, hidden_BTD)) if capture else of_head

    return compute
