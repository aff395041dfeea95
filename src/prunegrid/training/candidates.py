"""Scores of candidate samples under the current weights: as the scoring pass computes them, in passes as in training.

A model that is trained packed scores packed, so that a step's candidates take as few forwards as their tokens fill.
Attention scores are computed after the forward from the last layer's queries and keys, for a few samples of similar
length at a time, by the functions of the padded scoring pass.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import pad as pad_end

from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Ints, positions
from prunegrid.models.architecture import PACKED
from prunegrid.models.attention_capture import AttentionCapture
from prunegrid.models.head import Head
from prunegrid.models.probes import attention_scores_unavailable
from prunegrid.pruners import Scores
from prunegrid.pruners.columns import ATTENTION_SCORES, HEAD_SCORES
from prunegrid.scoring.attention import fastv_and_sparsevlm
from prunegrid.scoring.batches import batches_by_length, pad, to_device
from prunegrid.scoring.forward import scatter, to_host
from prunegrid.scoring.score import scorer
from prunegrid.scoring.sequences import Sequences
from prunegrid.scoring.writer import sample_means

GROUP_PADDING = 0.25  # share of padding in a group whose attention is computed together; fewer groups save more time

CallModel = Callable[[Callable[[], Any]], Any]


@dataclass(frozen=True)
class PackedPass:
    """Samples of one forward, the longest first, one after another in a row of T tokens."""

    rows: Sequences
    ids_1T: torch.Tensor
    position_1T: torch.Tensor
    start_N: torch.Tensor
    response_R: torch.Tensor


def pack_rows(rows: Sequences, device: Any) -> PackedPass:
    response_T = positions(rows.offsets) >= np.repeat(rows.prompt_N, rows.length_N)
    arrays = {
        "ids_1T": rows.ids_T[None].astype(np.int64),
        "position_1T": positions(rows.offsets)[None],
        "start_N": rows.offsets[:-1],
        "response_R": np.flatnonzero(response_T),
    }
    return PackedPass(rows, **to_device(arrays, device))


def packed_passes(length_N: Ints, batch_tokens: int) -> list[Ints]:
    """The indices of the samples of each pass, by best fit decreasing: each goes where the least room is left.

    First fit, as in `batches.batches_by_length`, searches all passes for each sample, which takes minutes for the
    candidates of an epoch. A sample longer than `batch_tokens` has a pass of its own.
    """
    members: list[list[int]] = []
    free: list[tuple[int, int]] = []  # (tokens that still fit, pass), sorted
    for index in np.lexsort((np.arange(len(length_N)), -length_N)).tolist():  # the longest first, in a fixed order
        length = int(length_N[index])
        # Passes sort below any of their own room by -1, so this is the fullest pass that still has `length` tokens.
        best = bisect_left(free, (length, -1))
        if best < len(free):
            room, number = free.pop(best)
        else:
            room, number = batch_tokens, len(members)
            members.append([])
        members[number].append(index)
        insort(free, (room - length, number))
    return [np.array(indices, dtype=np.int64) for indices in members]


def decode(model: Any, packed: PackedPass) -> torch.Tensor:
    """The final hidden states [1, T, D]; no sample sees another."""
    hidden_1TD: torch.Tensor = model.get_decoder()(
        input_ids=packed.ids_1T,
        position_ids=packed.position_1T,
        attention_mask=None,
        use_cache=False,
        segments=packed.rows.length_N.tolist(),
        borders=pad_end(packed.start_N, (0, 1), value=packed.ids_1T.shape[1]).int(),
    ).last_hidden_state
    return hidden_1TD


def packed_scorer(
    model: Any, head: Head, capture: AttentionCapture | None, batch_tokens: int
) -> Callable[[PackedPass], tuple[torch.Tensor, ...]]:
    """As `score.scorer`, for packed samples."""

    def compute(packed: PackedPass) -> tuple[torch.Tensor, ...]:
        hidden_1TD = decode(model, packed)
        head_scores = head(hidden_1TD[0, packed.response_R - 1], packed.ids_1T[0, packed.response_R])
        if not capture:
            return head_scores
        return (*head_scores, *attention_scores(capture, packed, hidden_1TD, batch_tokens))

    return compute


def attention_scores(
    capture: AttentionCapture, packed: PackedPass, hidden_1TD: torch.Tensor, batch_tokens: int
) -> tuple[torch.Tensor, ...]:
    """float32[R] each: FastV and SparseVLM scores, for groups of samples that are padded on the right."""
    captured, scores = capture.take(), []
    for group in batches_by_length(packed.rows.length_N, batch_tokens, GROUP_PADDING):
        batch = pad(packed.rows, group, hidden_1TD.device)
        place_T = torch.arange(batch.ids_BT.shape[1], device=hidden_1TD.device)
        start_B = packed.start_N[group[0] : group[-1] + 1]  # samples go from long to short: a group is a run of them
        # A group's padding shows the next samples' tokens, which no score reads.
        place_BT = (start_B[:, None] + place_T).clamp_max(hidden_1TD.shape[1] - 1)
        query_BHTD, key_BGTD = (x[0][:, place_BT].transpose(0, 1) for x in (captured.query_BHTD, captured.key_BGTD))
        group_capture = captured._replace(query_BHTD=query_BHTD, key_BGTD=key_BGTD)
        scores.append(fastv_and_sparsevlm(group_capture, batch, hidden_1TD[0, place_BT]))
    return tuple(torch.cat(column) for column in zip(*scores, strict=True))


class CandidateScorer:
    """Scores samples of `rows` with the model that is being trained.

    `attention`: pruners read its scores. `counts` has the number of forwards, `scoring_passes`.
    """

    def __init__(self, rows: Sequences, batch_tokens: int, attention: bool) -> None:
        assert rows.continues_N is None, "the config refuses dynamic mode for conversations (turns: all)"
        self.rows, self.batch_tokens, self.attention = rows, batch_tokens, attention
        self.names = HEAD_SCORES + ATTENTION_SCORES if attention else HEAD_SCORES
        self.counts: Counter[str] = Counter()
        self.model: Any = None

    def attach(self, model: Any, call_model: CallModel, maximum: Callable[[int], int]) -> str | None:
        """Score with this model's weights; return why its attention scores, if needed, are unavailable.

        `call_model(run)` runs within a call of the wrapped model, `maximum(n)` is over all ranks.
        """
        self.model, self.call_model, self.maximum = model, call_model, maximum
        self.packed = model.config._attn_implementation == PACKED
        self.head = call_model(partial(Head, model))
        return call_model(partial(attention_scores_unavailable, model)) if self.attention else None

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
        with AttentionCapture(self.model) if self.attention else nullcontext() as capture, torch.no_grad():
            self.call_model(partial(self._fill, values, rows, parts, idle_passes, capture))
        _require_finite(rows, values)
        nll_N, entropy_N = (sample_means(values[name], rows) if len(rows) else np.empty(0) for name in HEAD_SCORES)
        return Scores(
            sample_id=rows.sample_id_N,
            response_tokens=rows.response_N,
            truncated=self.rows.truncated_N[rows_N],
            offsets=rows.response_offsets,
            samples={"nll": _single(nll_N), "ppl": _single(np.exp(nll_N)), "entropy": _single(entropy_N)},
            tokens=values,
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
        if self.packed:
            packed = packed_scorer(self.model, self.head, capture, self.batch_tokens)
            yield from (torch.stack(packed(pack_rows(source.take(part), device))) for source, part in chunks)
        else:
            padded = scorer(self.model, self.head, capture)
            yield from (torch.stack(padded(pad(source, part, device))) for source, part in chunks)


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
