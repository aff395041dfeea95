"""What a dynamic cell's training says of its selections: the log of kept samples, and `selection.json`."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prunegrid.pruners import Draw, PruningSpec, SelectionArrays
from prunegrid.scoring.sequences import Sequences
from prunegrid.selection.summary import SelectionSummary, Totals
from prunegrid.training.rescoring import RescoreInterval

LOG_SCHEMA = pa.schema(
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


class StepPosition(NamedTuple):
    """Where training is. `progress` is the share of all steps that are done."""

    epoch: int
    step: int
    rank: int
    progress: float


class Candidates(NamedTuple):
    """What samples are chosen from, over all mini-batches or epochs: one that is in three epochs counts three times."""

    samples: int
    response_tokens: int
    all_tokens: int


def log_rows(selection: SelectionArrays, position: StepPosition) -> pa.Table:
    places = [np.full(len(selection), number) for number in (position.epoch, position.step, position.rank)]
    decisions = [selection.quadrant, selection.reason.tolist(), selection.treated_as]
    columns = [*places, selection.sample_id, np.diff(selection.offsets), *decisions]
    return pa.table(columns, names=LOG_SCHEMA.names).cast(LOG_SCHEMA)


def summarise(
    pruning: PruningSpec,
    rows: Sequences,
    cell_seed: int,
    candidates: Candidates,
    digests: dict[str, str],
    log: pa.Table,
    interval: RescoreInterval = 1,
    extras: dict[str, dict[str, str]] | None = None,
) -> SelectionSummary:
    """`selection.json` of a dynamic cell; its counts are over all mini-batches, or all epochs.

    `interval` is `training.rescore_every`; `extras` are the digests of the optional scores that were read.
    """
    row_of = dict(zip(rows.sample_id_N.tolist(), range(len(rows)), strict=True))
    kept_rows = np.array([row_of[sample_id] for sample_id in log["sample_id"].to_pylist()], dtype=np.int64)
    totals = Totals(
        **candidates._asdict(),
        kept_samples=len(log),
        kept_tokens=int(pc.sum(log["kept"]).as_py()),
        response_tokens_of_kept=int(rows.response_N[kept_rows].sum()),
        prompt_tokens_of_kept=int(rows.prompt_N[kept_rows].sum()),
    )
    return SelectionSummary.build(
        "dynamic",
        pruning,
        totals,
        {},
        match=pruning.match and pruning.match.variant,
        pruning=pruning,
        rescore_every=interval,
        empty=log["kept"].to_pylist().count(0) or None,
        counts={name: _counts(log[name]) for name in ("quadrant", "reason", "treated_as")},
        seeds={"cell": cell_seed, "pruning": Draw(cell_seed).seed},
        digests=digests,
        extras=extras or {},
    )


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {str(count["values"]): count["counts"] for count in column.value_counts().to_pylist()}
