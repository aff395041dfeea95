"""Scores of candidate samples under the current weights: as the scoring pass computes them, in passes as in training.

A model that is trained packed scores packed, so that a step's candidates take as few forwards as their tokens fill.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Ints
from prunegrid.models.architecture import PACKED
from prunegrid.models.attention_capture import AttentionCapture, AttentionInputs
from prunegrid.models.head import Head
from prunegrid.models.probes import attention_scores_unavailable
from prunegrid.pruners import Scores
from prunegrid.pruners.columns import ATTENTION_SCORES, HEAD_SCORES, LAYER_EXTRAS, MEAN_EXTRAS
from prunegrid.scoring.attention import fastv_and_sparsevlm
from prunegrid.scoring.batches import Batch, batches_by_length, pad
from prunegrid.scoring.forward import scatter, to_host
from prunegrid.scoring.sequence_scores import layer_scores
from prunegrid.scoring.sequences import Sequences
from prunegrid.scoring.token_means import MEANS, means
from prunegrid.scoring.writer import sample_means
from prunegrid.training.candidate_passes import packed_scorer, padded_scorer
from prunegrid.training.optional_scores import NONE, OptionalScores
from prunegrid.training.packed_passes import pack_rows, packed_passes

CallModel = Callable[[Callable[[], Any]], Any]
WHOLE = "sequence_entropy"


class CandidateScorer:
    """Scores samples of `rows` with the model that is being trained.

    `attention`: pruners read its scores; `optional` scores come with them. `counts` has the number of forwards,
    `scoring_passes`.
    """

    def __init__(self, rows: Sequences, batch_tokens: int, attention: bool, optional: OptionalScores = NONE) -> None:
        assert rows.continues_N is None, "the config refuses dynamic mode for conversations (turns: all)"
        self.rows, self.batch_tokens, self.optional = rows, batch_tokens, optional
        self.of_head = HEAD_SCORES + tuple(name for name in optional.computed if name == WHOLE)
        self.of_layer = tuple(name for name in optional.computed if name in LAYER_EXTRAS)
        self.of_tokens = tuple(name for name in optional.computed if name in MEAN_EXTRAS)
        self.attention = ATTENTION_SCORES if attention else ()
        self.names = self.of_head + self.attention + self.of_layer
        self.counts: Counter[str] = Counter()
        self.model: Any = None

    def attach(self, model: Any, call_model: CallModel, maximum: Callable[[int], int]) -> str | None:
        """Score with this model's weights; return why its attention scores, if needed, are unavailable.

        `call_model(run)` runs within a call of the wrapped model, `maximum(n)` is over all ranks.
        """
        self.model, self.call_model, self.maximum = model, call_model, maximum
        self.packed = model.config._attn_implementation == PACKED
        self.head = call_model(partial(Head, model))
        self.special_S = torch.tensor(self.optional.special_ids, device=model.device, dtype=torch.long)
        return call_model(partial(attention_scores_unavailable, model)) if self.reads_layer else None

    @property
    def reads_layer(self) -> bool:
        """Whether a score is computed from the last layer's attention."""
        return bool(self.attention or self.of_layer)

    def score(self, rows_N: Ints) -> Scores:
        """The scores of these samples under the current weights, without gradients.

        Every rank makes as many forwards as the rank with the most, since ZeRO-3 gathers weights in each; all within
        one call of the wrapped model, whose bookkeeping costs more than a small model's forward.
        """
        rows = self.rows.take(rows_N)
        divide = packed_passes if self.packed else batches_by_length
        parts = list(divide(rows.length_N, self.batch_tokens))
        idle_passes = self.maximum(len(parts)) - len(parts)  # before the first forward, which is itself collective
        self.counts["scoring_passes"] += len(parts) + idle_passes
        values = {name: np.empty(rows.response_offsets[-1], np.float32) for name in self.names}
        with AttentionCapture(self.model) if self.reads_layer else nullcontext() as capture, torch.no_grad():
            self.call_model(partial(self._fill, values, rows, parts, idle_passes, capture))
        _require_finite(rows, values)
        nll_N, entropy_N = (sample_means(values[name], rows) if len(rows) else np.empty(0) for name in HEAD_SCORES)
        fixed = self.optional.take(rows_N)
        vocabulary = self.model.config.get_text_config().vocab_size
        samples = {"nll": _single(nll_N), "ppl": _single(np.exp(nll_N)), "entropy": _single(entropy_N)}
        if WHOLE in values:  # each of a sample's tokens has the sample's value
            samples[WHOLE] = _single(values.pop(WHOLE)[rows.response_offsets[:-1]])
        for name in self.of_tokens:
            samples[name] = _single(means(MEANS[name](values, vocabulary), rows.response_offsets))
        return Scores(
            sample_id=rows.sample_id_N,
            response_tokens=rows.response_N,
            truncated=self.rows.truncated_N[rows_N],
            offsets=rows.response_offsets,
            samples=samples | fixed.samples,
            tokens=values | fixed.tokens,
            prompt_tokens=rows.prompt_N,
        )

    def _fill(
        self,
        values: dict[str, NDArray[np.float32]],
        rows: Sequences,
        parts: list[Ints],
        idle_passes: int,
        capture: AttentionCapture | None,
    ) -> None:
        for number, values_KR in enumerate(to_host(self._forwards(rows, parts, idle_passes, capture))):
            if number < len(parts):
                scatter(values, rows, parts[number], values_KR)

    def _forwards(
        self, rows: Sequences, parts: list[Ints], idle_passes: int, capture: AttentionCapture | None
    ) -> Iterator[torch.Tensor]:
        """The values [K, R] of each pass: first over the samples of each part, then of the idle passes.

        An idle pass runs on the first sample of the data, only to keep step with the ranks that have more parts.
        """
        device, first_sample = self.model.device, np.zeros(1, np.int64)
        chunks = [(rows, part) for part in parts] + [(self.rows, first_sample)] * idle_passes
        whole = WHOLE in self.of_head
        if self.packed:
            packed = packed_scorer(self.model, self.head, whole, capture, self._layer_scores, self.batch_tokens)
            yield from (torch.stack(packed(pack_rows(source.take(part), device))) for source, part in chunks)
        else:
            padded = padded_scorer(self.model, self.head, whole, capture, self._layer_scores)
            yield from (torch.stack(padded(pad(source, part, device))) for source, part in chunks)

    def _layer_scores(self, layer: AttentionInputs, batch: Batch, hidden_BTD: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The scores of the last layer's attention, in the order of `names`."""
        scores = fastv_and_sparsevlm(layer, batch, hidden_BTD) if self.attention else ()
        extras = layer_scores(self.of_layer, layer, batch, hidden_BTD, self.special_S) if self.of_layer else ()
        return (*scores, *extras)


def _require_finite(rows: Sequences, values: dict[str, NDArray[np.float32]]) -> None:
    sample_T = np.repeat(rows.sample_id_N, rows.response_N)
    bad = np.unique(sample_T[~np.isfinite([*values.values()]).all(0)])
    if len(bad):
        ids = ", ".join(map(str, bad[:8].tolist()))
        problem = f"scores of sample_id {ids} are not finite"
        raise PrunegridError("candidates", problem, "lower training.learning_rate or look at these samples")


def _single(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rounded as in the sample table of the static path."""
    return values.astype(np.float32).astype(np.float64)
