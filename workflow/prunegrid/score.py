"""The scoring pass: one forward over the training set, once per model.

`prunegrid score --model DIR --data FILE --out DIR`, or the rule `score`. Only response positions go through
the head, in chunks, so that no batch x length x vocabulary tensor exists; attention is kept of the final
layer only, averaged over heads.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from prunegrid import __version__
from prunegrid.attention import FinalAttention, received, to_raters
from prunegrid.config import Scoring
from prunegrid.errors import PrunegridError
from prunegrid.io import read_parquet, replacing, sha256, write_json, write_parquet
from prunegrid.models import check_device, describe, load_model, load_tokenizer
from prunegrid.tokenise import Tokens, tokenise
from prunegrid.versions import SCORES_SCHEMA

HEAD_CHUNK = 256
TOKEN_SCORES = ("nll", "entropy", "fastv", "sparsevlm")


class Row(NamedTuple):
    """A tokenised sample of the data set."""

    sample_id: int
    tokens: Tokens

    @property
    def length(self) -> int:
        return len(self.tokens.prompt_ids) + len(self.tokens.response_ids)


def score(model_dir: Path, data: Path, out: Path, settings: Scoring, device: str = "cpu") -> dict[str, Any]:
    """Write `samples.parquet`, `tokens.parquet` and `meta.json` (design: contract `scores`); return the meta."""
    started = time.monotonic()
    described = describe(model_dir)
    check_device(device)
    tokenizer = load_tokenizer(model_dir)
    if tokenizer.chat_template is None:
        raise PrunegridError(f"{model_dir}: its tokenizer has no chat template; set one and save_pretrained it there")
    model = load_model(model_dir, settings.dtype, device)
    _check_head(model)
    rows, cut = tokenise_all(data, tokenizer, settings.max_length)
    scored: list[dict[str, np.ndarray]] = [{}] * len(rows)
    with FinalAttention(model) as attention, torch.inference_mode():
        for batch in batches([row.length for row in rows], settings.batch_tokens):
            for index, values in zip(batch, score_batch(model, attention, [rows[i] for i in batch]), strict=True):
                scored[index] = values
    meta = {
        "schema": SCORES_SCHEMA,
        "version": __version__,
        "digests": {**described["digests"], "data": sha256(data)},
        "dtype": settings.dtype,
        "max_length": settings.max_length,
        "samples": len(rows),
        "fully_cut": cut,
        "truncated": sum(row.tokens.truncated for row in rows),
        "tokens": sum(row.length for row in rows),
        "seconds": round(time.monotonic() - started, 1),
    }
    _write(out, rows, scored, meta)
    return meta


def tokenise_all(data: Path, tokenizer: Any, max_length: int) -> tuple[list[Row], int]:
    """The samples that keep at least one response token under the cut-off, and the number of those that do not."""
    table = read_parquet(data, ["sample_id", "messages"])
    pairs = zip(table["sample_id"].to_pylist(), table["messages"].to_pylist(), strict=True)
    tokenised = [(sample_id, tokenise(messages, tokenizer, max_length)) for sample_id, messages in pairs]
    rows = [Row(sample_id, tokens) for sample_id, tokens in tokenised if tokens is not None]
    if not rows:
        raise PrunegridError(f"{data}: no sample keeps a response token under max_length {max_length}")
    return rows, len(tokenised) - len(rows)


def batches(lengths: list[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices, longest first, in batches whose padded size is at most `batch_tokens` (or one sample)."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batch and lengths[batch[0]] * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def score_batch(model: Any, attention: FinalAttention, rows: list[Row]) -> Iterator[dict[str, np.ndarray]]:
    """Per row the token scores, each float32[response tokens]."""
    ids_BT, mask_BT = pad([row.tokens.prompt_ids + row.tokens.response_ids for row in rows], model.device)
    hidden_BTD = model.get_decoder()(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False).last_hidden_state
    for i, row in enumerate(rows):
        start, end = len(row.tokens.prompt_ids), row.length
        nll_R, entropy_R = head(model, hidden_BTD[i, start - 1 : end - 1], ids_BT[i, start:end])
        weights_TT = attention.mean_BTT[i, :end, :end]
        values = {
            "nll": nll_R,
            "entropy": entropy_R,
            "fastv": received(weights_TT)[start:],
            "sparsevlm": to_raters(weights_TT, hidden_BTD[i, :end], start),
        }
        yield {name: value.float().cpu().numpy() for name, value in values.items()}


def pad(sequences: list[list[int]], device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded ids int64[B, T] and mask int64[B, T]; the padding id does not matter where the mask is 0."""
    width = max(map(len, sequences))
    ids = [sequence + [0] * (width - len(sequence)) for sequence in sequences]
    mask = [[1] * len(sequence) + [0] * (width - len(sequence)) for sequence in sequences]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def head(model: Any, hidden_RD: torch.Tensor, targets_R: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """NLL and predictive entropy (nats) at R positions, in chunks: lse - z_y and lse - sum softmax(z) z."""
    nll, entropy = [], []
    for hidden, target in zip(hidden_RD.split(HEAD_CHUNK), targets_R.split(HEAD_CHUNK), strict=True):
        logits_CV = model.get_output_embeddings()(hidden).float()
        lse_C = logits_CV.logsumexp(-1)
        nll.append(lse_C - logits_CV.gather(-1, target[:, None])[:, 0])
        entropy.append(lse_C - (logits_CV.softmax(-1) * logits_CV).sum(-1))
    return torch.cat(nll), torch.cat(entropy)


def _check_head(model: Any) -> None:
    for key in ("final_logit_softcapping", "logits_scaling", "logit_scale"):
        if getattr(model.config, key, None) not in (None, 1, 1.0):
            raise PrunegridError(f"{model.config.model_type}: its head applies {key}, which the scoring pass does not")


def _write(out: Path, rows: list[Row], scored: list[dict[str, np.ndarray]], meta: dict[str, Any]) -> None:
    with replacing(out) as folder:
        folder.mkdir()
        write_parquet(folder / "samples.parquet", samples_table(rows, scored))
        write_parquet(folder / "tokens.parquet", tokens_table(rows, scored), row_group_size=4096)
        write_json(folder / "meta.json", meta)


def samples_table(rows: list[Row], scored: list[dict[str, np.ndarray]]) -> pa.Table:
    nll_N = np.array([values["nll"].mean(dtype=np.float64) for values in scored])
    entropy_N = np.array([values["entropy"].mean(dtype=np.float64) for values in scored])
    return pa.table(
        {
            "sample_id": pa.array([row.sample_id for row in rows], pa.int64()),
            "prompt_tokens": pa.array([len(row.tokens.prompt_ids) for row in rows], pa.int32()),
            "response_tokens": pa.array([len(row.tokens.response_ids) for row in rows], pa.int32()),
            "truncated": pa.array([row.tokens.truncated for row in rows], pa.bool_()),
            "nll": pa.array(nll_N, pa.float32()),
            "ppl": pa.array(np.exp(nll_N), pa.float32()),
            "entropy": pa.array(entropy_N, pa.float32()),
        }
    )


def tokens_table(rows: list[Row], scored: list[dict[str, np.ndarray]]) -> pa.Table:
    columns = {
        "sample_id": pa.array([row.sample_id for row in rows], pa.int64()),
        "prompt_ids": pa.array([row.tokens.prompt_ids for row in rows], pa.list_(pa.int32())),
        "response_ids": pa.array([row.tokens.response_ids for row in rows], pa.list_(pa.int32())),
    }
    for name in TOKEN_SCORES:
        columns[name] = pa.array([values[name] for values in scored], pa.list_(pa.float32()))
    return pa.table(columns)
