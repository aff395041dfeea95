"""Dynamic pruning: the candidates of every mini-batch are scored with the weights of the moment, and pruned.

The paper's method (arXiv 2509.23873, section 3 and Algorithm 1). The scores are the scoring pass's own, the
pruners those of the static path; the window is the mini-batch.
"""

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from prunegrid import __version__
from prunegrid.attention import Capture
from prunegrid.draws import uniform
from prunegrid.errors import PrunegridError
from prunegrid.head import Head
from prunegrid.io import read_parquet
from prunegrid.models.probes import attention_scores_unavailable
from prunegrid.prune import foreign
from prunegrid.pruners import Match, Scores, Selection, needs, select
from prunegrid.pruners.ragged import Bools, Ints, flat_rows
from prunegrid.rows import Rows, batches, pad
from prunegrid.score import scorer
from prunegrid.shards import ATTENTION_SCORES, HEAD_SCORES, sample_means
from prunegrid.train.batches import Example, MicroBatches
from prunegrid.train.samples import Samples

PROBE = 100
LOG = pa.schema(
    {
        "epoch": pa.int32(),
        "step": pa.int32(),
        "rank": pa.int32(),
        "sample_id": pa.int64(),
        "kept": pa.int32(),
        "quadrant": pa.int8(),
        "reason": pa.string(),
        "treated_as": pa.int8(),
    }
)


class Moment(NamedTuple):
    """Where training is: `progress` is the share of all steps that are done."""

    epoch: int
    step: int
    rank: int
    progress: float


class Dynamic:
    """Prunes the mini-batches of one rank. `ask(run)` calls the wrapped model, `most(n)` is the maximum over ranks."""

    def __init__(
        self, samples: Samples, truncated_N: Bools, pruning: dict[str, Any], seed: int, batch_tokens: int
    ) -> None:
        self.samples, self.rows, self.truncated_N = samples, samples.rows, truncated_N
        self.pruning, self.seed, self.batch_tokens = pruning, seed, batch_tokens
        self.log: list[pa.Table] = []
        self.model: Any = None
        methods = [pruning, pruning["match"]] if pruning.get("match") else [pruning]
        wanted = {column for one in methods for column in needs(one["method"], one["options"]).tokens}
        self.attention = bool(wanted & set(ATTENTION_SCORES))

    def attach(self, model: Any, ask: Any, most: Any) -> None:
        """The model whose weights score; refused where a pruner needs an attention that cannot be reached."""
        self.model, self.ask, self.most = model, ask, most
        self.head = ask(partial(Head, model))
        reason = ask(partial(attention_scores_unavailable, model)) if self.attention else None
        if reason:
            raise PrunegridError(
                f"{self.pruning['method']} needs attention scores, but {reason}; choose another pruner"
            )

    def keep(self, micro_batches: MicroBatches, moment: Moment) -> list[list[Example]]:
        """What is kept of each mini-batch, as it is trained on; the log has a row for each kept sample."""
        found = self.score(np.array([row for batch in micro_batches for row in batch], dtype=np.int64))
        kept, start = [], 0
        for batch in micro_batches:
            part = np.arange(start, start + len(batch))
            start += len(batch)
            kept.append(self._prune(found.take(part), np.array(batch), moment) if batch else [])
        return kept

    def _prune(self, candidates: Scores, rows: Ints, moment: Moment) -> list[Example]:
        match = None
        if other := self.pruning.get("match"):
            like = self._select(candidates, other, moment)
            match = Match(len(like), len(like.positions))
        selection = self._select(candidates, self.pruning, moment, match)
        self.log.append(log_table(selection, moment))
        row_of = dict(zip(self.rows.sample_id_N[rows].tolist(), rows.tolist(), strict=True))
        return [
            self.samples.example(row_of[sample_id], selection.kept(i).tolist(), float(selection.weight[i]))
            for i, sample_id in enumerate(selection.sample_id.tolist())
        ]

    def _select(
        self, candidates: Scores, pruner: dict[str, Any], moment: Moment, match: Match | None = None
    ) -> Selection:
        return select(
            candidates,
            pruner["method"],
            pruner["options"],
            self.pruning["sample_ratio"],
            self.pruning["token_ratio"],
            self.seed,
            epoch=moment.epoch,
            step=moment.step,
            progress=moment.progress,
            match=match,
        )

    def score(self, rows_N: Ints) -> Scores:
        """The scores of these samples under the present weights, without gradients.

        Every rank makes as many forwards as the one with the most, since ZeRO-3 gathers weights in each; all of
        them within one call of the wrapped model, whose own bookkeeping costs more than a small model's forward.
        """
        rows = self.rows.take(rows_N)
        parts = list(batches(rows.length_N, self.batch_tokens))
        idle = self.most(len(parts)) - len(parts)  # asked before the first forward, which is itself collective
        names = HEAD_SCORES + ATTENTION_SCORES if self.attention else HEAD_SCORES
        values = {name: np.empty(rows.response_offsets[-1], np.float32) for name in names}
        inputs = [pad(rows, part, self.model.device) for part in parts]
        inputs += [pad(self.rows, np.zeros(1, np.int64), self.model.device)] * idle
        with Capture(self.model) if self.attention else nullcontext() as capture, torch.no_grad():
            compute = scorer(self.model, self.head, capture)
            found = self.ask(lambda: [compute(batch) for batch in inputs])
        for part, of_part in zip(parts, found, strict=False):
            places = flat_rows(rows.response_offsets, part)
            for name, found_R in zip(names, of_part, strict=True):
                values[name][places] = found_R.float().cpu().numpy()
        _require_finite(rows, values)
        nll_N, entropy_N = (sample_means(values[name], rows) if len(rows) else np.empty(0) for name in HEAD_SCORES)
        return Scores(
            sample_id=rows.sample_id_N,
            response_tokens=rows.response_N,
            truncated=self.truncated_N[rows_N],
            offsets=rows.response_offsets,
            samples={"nll": _single(nll_N), "ppl": _single(np.exp(nll_N)), "entropy": _single(entropy_N)},
            tokens=values,
            prompt_tokens=rows.prompt_N,
        )

    def probe(self, rank: int, ranks: int) -> tuple[float, float, int]:
        """This rank's sums of PPL and entropy over its share of a fixed choice of samples, and their number."""
        luck_N = uniform(self.seed, "probe", self.rows.sample_id_N)
        chosen = np.sort(np.lexsort((self.rows.sample_id_N, luck_N))[:PROBE])[rank::ranks]
        found = self.score(chosen).samples
        return float(found["ppl"].sum()), float(found["entropy"].sum()), len(chosen)


def _require_finite(rows: Rows, values: dict[str, NDArray[np.float32]]) -> None:
    sample_T = np.repeat(rows.sample_id_N, rows.response_N)
    bad = np.unique(sample_T[~np.isfinite([*values.values()]).all(0)])
    if len(bad):
        raise PrunegridError(
            f"the scores of sample_id {', '.join(map(str, bad[:8].tolist()))} are not finite; "
            "lower training.learning_rate or look at these samples"
        )


def _single(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rounded as the sample table of the static path rounds them."""
    return values.astype(np.float32).astype(np.float64)


def truncated(scores: Path, rows: Rows) -> Bools:
    """Whether each sample's response was cut off."""
    table = read_parquet(scores / "samples.parquet", ["sample_id", "truncated"])
    if not np.array_equal(table["sample_id"].to_numpy(), rows.sample_id_N):
        raise PrunegridError(f"{scores}: samples.parquet and tokens.parquet hold other samples; score again")
    truncated_N: Bools = table["truncated"].to_numpy(zero_copy_only=False).astype(bool)
    return truncated_N


def log_table(selection: Selection, moment: Moment) -> pa.Table:
    n = len(selection)
    return pa.table(
        [
            np.full(n, moment.epoch),
            np.full(n, moment.step),
            np.full(n, moment.rank),
            selection.sample_id,
            np.diff(selection.offsets),
            selection.quadrant,
            selection.reason.tolist(),
            selection.treated_as,
        ],
        names=LOG.names,
    ).cast(LOG)


def summarise(
    dynamic: Dynamic, candidates: Ints, cell_seed: int, digests: dict[str, str], log: pa.Table
) -> dict[str, Any]:
    """`selection.json` of a dynamic cell, with the static one's keys; its counts are over all mini-batches.

    `candidates` are the rows of all samples of all mini-batches: one that comes in three epochs counts thrice.
    """
    pruning, rows = dynamic.pruning, dynamic.rows
    row_of = dict(zip(rows.sample_id_N.tolist(), range(len(rows)), strict=True))
    kept_rows = np.array([row_of[number] for number in log["sample_id"].to_pylist()], dtype=np.int64)
    kept_tokens, tokens = int(pa.compute.sum(log["kept"]).as_py()), int(rows.response_N[candidates].sum())
    return {
        "mode": "dynamic",
        **{key: pruning[key] for key in ("variant", "method", "options")},
        "match": (pruning.get("match") or {}).get("variant"),
        "pruning": pruning,
        "nominal": {"samples": pruning["sample_ratio"], "tokens": pruning["token_ratio"]},
        "realised": {
            "samples": len(log) / len(candidates),
            "response_tokens": kept_tokens / tokens,
            "all_tokens": (int(rows.prompt_N[kept_rows].sum()) + kept_tokens) / int(rows.length_N[candidates].sum()),
        },
        "realised_token_ratio": kept_tokens / int(rows.response_N[kept_rows].sum()),
        "n_samples": len(candidates),
        "n_kept_samples": len(log),
        "kept_tokens": kept_tokens,
        "counts": {name: _counts(log[name]) for name in ("quadrant", "reason", "treated_as")},
        "foreign_pruners": foreign(pruning["method"]),
        "seeds": {"cell": cell_seed, "pruning": dynamic.seed},
        "digests": digests,
        "extras": {},
        "version": __version__,
    }


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {str(count["values"]): count["counts"] for count in column.value_counts().to_pylist()}
