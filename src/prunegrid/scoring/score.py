"""The scoring pass: one forward over the training set, once per model.

`prunegrid score --model DIR --data FILE --out DIR`, or the rules `score` and `gather_scores`. Only response
positions go through the head, in chunks, so that no batch x length x vocabulary tensor exists; attention is
computed of the final layer only, for the response's queries, and averaged over heads.
"""

import json
import sys
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from prunegrid import __version__
from prunegrid.core.files import sha256, write_json
from prunegrid.core.progress import Progress
from prunegrid.core.versions import SCORES_SCHEMA
from prunegrid.experiment import layout
from prunegrid.experiment.training import Scoring
from prunegrid.models import (
    check_device,
    data_digest,
    describe,
    load_model,
    prepare_tokenizer,
    template_date,
    template_digest,
)
from prunegrid.models.attention_capture import AttentionCapture
from prunegrid.models.head import Head
from prunegrid.models.probes import attention_scores_unavailable, check_reads_positions
from prunegrid.pruners.columns import ATTENTION_SCORES, FORWARD_EXTRAS, HEAD_SCORES
from prunegrid.scoring.attention import fastv_and_sparsevlm
from prunegrid.scoring.batches import Batch
from prunegrid.scoring.check import check_sequences
from prunegrid.scoring.data_shard import tokenise_shard
from prunegrid.scoring.extra import write_extras
from prunegrid.scoring.extra_inputs import ExtraInputs
from prunegrid.scoring.forward import Compute, compute_in_batches, hidden_states, predicting_states
from prunegrid.scoring.forward_columns import ForwardColumns, pop_columns
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.render import Renderer
from prunegrid.scoring.rendering import sentences, summed
from prunegrid.scoring.sequence_scores import sequence_head
from prunegrid.scoring.sequences import Sequences, Shard
from prunegrid.scoring.writer import rates, refuse_empty, write_scores


def score(
    model_dir: Path,
    data: Path,
    out: Path,
    settings: Scoring,
    device: str = "cpu",
    shard: Shard = (1, 1),
    removals: Collection[str] = (),
    tokenizer: Any = None,
    reference: Path | None = None,
) -> dict[str, Any]:
    """Write `samples.parquet`, `tokens.parquet` and `meta.json` (docs/reference/files.md); return the meta.

    `shard` (i, n) scores only the i-th of n parts of the data; `writer.gather` puts the parts together. A model that
    cannot be trained under one of `removals` is refused before the pass. `tokenizer`, of `prepare_tokenizer`, renders
    instead of the one in `model_dir`. The optional scores `settings.extra` are written beside them, those under a
    reference model with the one in `reference`.
    """
    start = time.monotonic()
    described = describe(model_dir)
    check_device(device)
    digests = described["digests"]
    if tokenizer is not None:
        digests |= {"template": template_digest(tokenizer.chat_template)}
    renderer = Renderer(tokenizer or prepare_tokenizer(model_dir))
    with ThreadPoolExecutor(1) as loader:  # loading waits for the disk and the device, tokenising for cores
        model = loader.submit(load_model, model_dir, settings.dtype, device)
        sequences, cut = tokenise_shard(data, renderer, settings.max_length, shard)
    digests = pass_digests(digests, data, settings)
    meta = pass_facts(model_dir, digests, settings, sequences, cut, renderer) | {
        "shard": list(shard),
        "shards": shard[1],
    }
    if shard == (1, 1):
        refuse_empty(meta, data)
    if "drop" in removals:
        check_reads_positions(model.result())
    special_ids = renderer.tokenizer.all_special_ids
    scores, loaded = ScoresFolder(out), model.result()
    inputs = ExtraInputs(scores, sequences, model_dir, reference, settings, device, data, loaded)
    return _score_rows(loaded, inputs, special_ids, meta, start)


def _score_rows(
    model: Any, inputs: ExtraInputs, special_ids: Sequence[int], meta: dict[str, Any], start: float
) -> dict[str, Any]:
    """Write the scores of the inputs' samples, and the optional scores of their settings.

    `start` is when the job began; the meta is returned.
    """
    settings, sequences, out = inputs.settings, inputs.sequences, inputs.scores.path
    in_forward = [name for name in settings.extra if name in FORWARD_EXTRAS]
    values, facts = Scorer(model, in_forward, special_ids)(sequences, settings.batch_tokens, "scoring")
    columns = pop_columns(in_forward, values, sequences)
    meta |= facts | {"seconds": round(time.monotonic() - start, 1)}
    meta |= rates(meta)
    meta = write_scores(out, sequences, values, meta)
    if settings.extra:
        write_extras(inputs, columns)
        meta |= {"seconds": round(time.monotonic() - start, 1)}
        write_json(out / layout.META, meta)
    return meta


def pass_digests(model: dict[str, str], data: Path, settings: Scoring) -> dict[str, str]:
    """Digests of all that decides the scores: `model` and its tokenizer and template, the data, and the settings."""
    scoring = {"max_length": settings.max_length, "dtype": settings.dtype}  # not the sizes of batches and shards
    return {**model, "data": data_digest(data), "scoring": sha256(json.dumps(scoring))}


def pass_facts(
    model_dir: Path, digests: dict[str, str], settings: Scoring, sequences: Sequences, cut: int, renderer: Renderer
) -> dict[str, Any]:
    """What the meta says before the pass; what a user should know of it is printed.

    Raises `PrunegridError` if the model cannot read the samples.
    """
    excess = check_sequences(model_dir, renderer.tokenizer, sequences)
    facts = {
        "schema": SCORES_SCHEMA,
        "version": __version__,
        "digests": digests,
        "dtype": settings.dtype,
        "max_length": settings.max_length,
        **({"extra": settings.extra} if settings.extra else {}),
        **counts(sequences, cut),
        **({"template_date": date} if (date := template_date(renderer.tokenizer)) else {}),
        **summed([renderer.facts(), excess]),
    }
    for sentence in sentences(facts):
        print(f"prunegrid: {sentence}", file=sys.stderr, flush=True)
    return facts


class Scorer:
    """Scores samples under `model`, as many times as it is called, with the optional scores `extra` of its forward."""

    def __init__(self, model: Any, extra: Sequence[str] = (), special_ids: Sequence[int] = ()) -> None:
        self.model, self.head, self.reason = model, Head(model), attention_scores_unavailable(model)
        self.extra = ForwardColumns(model, extra, special_ids)

    def __call__(
        self, sequences: Sequences, batch_tokens: int, title: str | Progress
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """The scores of response tokens, vectors of samples, and the meta's facts about how they were computed."""
        names = HEAD_SCORES + self.extra.tokens[: self.extra.whole] + (() if self.reason else ATTENTION_SCORES)
        names += self.extra.tokens[self.extra.whole :]
        vectors, device = self.extra.empty_vectors(len(sequences)), self.model.device
        with nullcontext() if self.reason else AttentionCapture(self.model) as capture, self.extra.capturing():
            compute = scorer(self.model, self.head, capture, self.extra)
            values, cost = compute_in_batches(sequences, batch_tokens, device, names, compute, title, vectors)
        return values | vectors, {
            "head": self.head.name,
            **({"fallbacks": self.head.fallbacks} if self.head.fallbacks else {}),
            "left_out": dict.fromkeys(ATTENTION_SCORES, self.reason) if self.reason else {},
            "positions": cost.positions,
            "forward_seconds": round(cost.seconds, 3),
        }


def counts(sequences: Sequences, cut: int) -> dict[str, int]:
    return {
        "samples": len(sequences),
        "fully_cut": cut,
        "truncated": int(sequences.truncated_N.sum()),
        "tokens": int(sequences.length_N.sum()),
    }


def scorer(model: Any, head: Head, capture: AttentionCapture | None, columns: ForwardColumns | None = None) -> Compute:
    """The function that scores a batch: `HEAD_SCORES`, with them `sequence_entropy` if it is wanted, if attention is
    captured `ATTENTION_SCORES`, and the other optional scores."""
    extra = columns or ForwardColumns(model, (), ())

    def compute(batch: Batch) -> tuple[torch.Tensor, ...]:
        hidden_BTD = hidden_states(model, batch)
        layer = capture.take() if capture else None
        if extra.whole:
            head_scores = sequence_head(head, hidden_BTD, batch)
        else:
            head_scores = head(predicting_states(hidden_BTD, batch), batch.targets_R)
        attention = fastv_and_sparsevlm(layer, batch, hidden_BTD) if layer else ()
        return (*head_scores, *attention, *extra.of_batch(layer, batch, hidden_BTD))

    return compute
