"""Audit the pruners on what the sandbox planted: what of each kind is kept, which wrong tokens are dropped.

`snakemake audit`. Selections are made again from the scores of three base models that differ in the pre-training
seed; model k goes with pruning seed k. Options are the pruners' defaults.

- Samples: the share of a kind that is kept. Chance is the share of all samples that is kept.
- Tokens: the share of planted wrong tokens that is dropped, in the samples that are kept (all of them for a pair).
  Chance is the share expected had each sample's dropped tokens been drawn at random: sum of wrong tokens x dropped /
  droppable tokens. It allows for rounding in short responses and for samples that a joint pruner keeps whole. The end
  of the sequence is never dropped and counts nowhere. Where a whole response is wrong (`reading`) there is nothing
  to choose, and it is left out. `value` is the opposite: tokens of a new fact's right answer, which should be kept.
- The row `(first tokens)` is not a pruner: it keeps the first tokens of each response, to show what position alone
  gives. Slips and wrong sums stand near the end, a new fact's answer at the beginning.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunegrid.audit.intervals import Bootstrap, Counts, Estimate
from prunegrid.core import ragged
from prunegrid.core.files import Record
from prunegrid.core.ragged import Bools, Floats, Ints
from prunegrid.pruners import (
    JOINT,
    SAMPLE,
    TOKEN,
    Choice,
    Draw,
    KeptSamples,
    PruningSpec,
    Scores,
    SelectionArrays,
    select,
    select_tokens,
)
from prunegrid.sandbox.sft import COUNTS
from prunegrid.statistics.inference import holm

SAMPLE_RATIOS, TOKEN_RATIOS = (0.25, 0.5), (0.5, 0.7)
PLACES = {"slip": ("slip",), "fact": ("fact",), "sum": ("sum",), "all": ("slip", "fact", "sum"), "value": ("value",)}
FIRST = "(first tokens)"


@dataclass(frozen=True)
class PlantedSamples:
    """The samples in order of `sample_id` [n]: planted kind, and number of the text, the same for exact copies."""

    sample_id: Ints
    kind: NDArray[np.str_]
    cluster: Ints


@dataclass(frozen=True)
class ScoredModel:
    """A base model, its pruning seed (the cell's), its scores in the order of `PlantedSamples`, and by place which
    tokens [T] are planted."""

    model: str
    seed: int
    scores: Scores
    planted: dict[str, Bools]


def audit(
    samples: PlantedSamples,
    bases: Sequence[ScoredModel],
    left_out: dict[str, str],
    sample_ratios: Iterable[float],
    token_ratios: Iterable[float],
) -> pd.DataFrame:
    """A row for each pruner, ratio, kind and base model, and one without a seed for their mean, with its interval.

    `left_out` maps the methods that cannot run to the reason; each has one row, otherwise empty.
    """
    sample_ratios = sorted({*sample_ratios, *SAMPLE_RATIOS})
    token_ratios = sorted({*token_ratios, *TOKEN_RATIOS})
    bootstrap = Bootstrap(samples.cluster)
    rows: list[Record] = []
    for unit, pruner, method in methods():
        row: Record = {"what": unit, "pruner": pruner}
        if method in left_out:
            rows.append(row | {"left_out": left_out[method]})
            continue
        for ratio in [1.0] if unit == "tokens" and pruner not in JOINT else sample_ratios:
            row = row | {"sample_ratio": ratio}
            if unit == "samples":
                ids = [_select(base, method, ratio, TOKEN_RATIOS[0]).sample_id for base in bases]
                rows += _sample_rows(row, samples, bases, bootstrap, ids)
                continue
            for token_ratio in token_ratios:
                selections = [_select(base, method, ratio, token_ratio) for base in bases]
                rows += _token_rows(row | {"token_ratio": token_ratio}, bases, bootstrap, selections)
    for token_ratio in token_ratios:
        row = {"what": "tokens", "pruner": FIRST, "sample_ratio": 1.0, "token_ratio": token_ratio}
        rows += _token_rows(row, bases, bootstrap, [first_tokens(base.scores, token_ratio) for base in bases])
    return _adjusted(pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS))


COLUMNS = {
    "what": "string",
    "pruner": "string",
    "sample_ratio": "float64",
    "token_ratio": "float64",
    "kind": "string",
    "seed": "Int64",
    "model": "string",
    "n": "Int64",
    "share": "float64",
    "chance": "float64",
    "low": "float64",
    "high": "float64",
    "p": "float64",
    "p_holm": "float64",
    "agree": "boolean",
    "left_out": "string",
}

WITHOUT_RATIO = ("all", "infobatch-original")


def methods() -> list[tuple[str, str, str]]:
    """(samples or tokens, pruner, method) for every registered pruner; in a pair its partner is random.

    Pruners that do not follow the ratios are left out: what they keep cannot be compared with a budget's share.
    """
    joint = [name for name in JOINT if name not in WITHOUT_RATIO]
    return [
        *(("samples", name, f"{name}+random") for name in SAMPLE),
        *(("samples", name, name) for name in joint),
        *(("tokens", name, f"random+{name}") for name in TOKEN),
        *(("tokens", name, name) for name in joint),
    ]


def _select(base: ScoredModel, method: str, sample_ratio: float, token_ratio: float) -> SelectionArrays:
    spec = PruningSpec(method=method, sample_ratio=sample_ratio, token_ratio=token_ratio)
    return select(base.scores, spec, Draw(base.seed))


def first_tokens(scores: Scores, token_ratio: float) -> SelectionArrays:
    """The first tokens of every response: what position alone achieves."""
    choice = Choice(
        rows=np.arange(len(scores)),
        k=ragged.keep_counts(token_ratio, scores.response_tokens),
        rank=lambda block: -ragged.positions(block.offsets).astype(np.float64),
        samples=KeptSamples.uniform("first", len(scores)),
    )
    (selection,) = select_tokens(choice, lambda: [scores])
    return selection


def _sample_rows(
    row: Record, samples: PlantedSamples, bases: Sequence[ScoredModel], bootstrap: Bootstrap, ids: Sequence[Ints]
) -> list[Record]:
    rows = []
    for kind in COUNTS:
        counts = sample_counts(samples, ids, kind)
        rows += _rows(row | {"kind": kind}, bases, bootstrap.estimate(counts), counts.whole.sum(axis=1))
    return rows


def _token_rows(
    row: Record, bases: Sequence[ScoredModel], bootstrap: Bootstrap, selections: Sequence[SelectionArrays]
) -> list[Record]:
    rows = []
    for kind, places in PLACES.items():
        counts = token_counts(bases, selections, places)
        rows += _rows(row | {"kind": kind}, bases, bootstrap.estimate(counts), counts.whole.sum(axis=1))
    return rows


def sample_counts(samples: PlantedSamples, ids: Sequence[Ints], kind: str) -> Counts:
    """How much of `kind` is kept, by base model; `ids` are the `sample_id` that each keeps."""
    kept_MN = np.stack([np.isin(samples.sample_id, kept_ids) for kept_ids in ids]).astype(np.float64)
    kind_MN = np.broadcast_to(samples.kind == kind, kept_MN.shape).astype(np.float64)
    return Counts(kept_MN * kind_MN, kind_MN, kept_MN, np.ones_like(kept_MN))


def token_counts(bases: Sequence[ScoredModel], selections: Sequence[SelectionArrays], places: Sequence[str]) -> Counts:
    """How many of the tokens planted in `places` are dropped, by base model."""
    planted = [np.any([base.planted[place] for place in places], axis=0) for base in bases]
    counts = [
        _dropped(base.scores, selection, planted_T)
        for base, selection, planted_T in zip(bases, selections, planted, strict=True)
    ]
    part, whole, by_chance = (np.stack(column) for column in zip(*counts, strict=True))
    return Counts(part, whole, by_chance, whole)


def _dropped(scores: Scores, selection: SelectionArrays, planted_T: Bools) -> tuple[Floats, Floats, Floats]:
    """For each sample [n]: planted tokens dropped, planted tokens, and how many of them chance would drop.

    All are 0 for a sample that is not kept. Only tokens that a pruner may drop count.
    """
    starts = scores.offsets[:-1]
    row_m = np.searchsorted(scores.sample_id, selection.sample_id)
    droppable_T = np.zeros(int(scores.offsets[-1]), bool)
    droppable_T[np.isin(np.repeat(scores.sample_id, scores.response_tokens), selection.sample_id)] = True
    droppable_T[scores.offsets[1:][~scores.truncated] - 1] = False
    dropped_T = droppable_T.copy()
    dropped_T[np.repeat(starts[row_m], np.diff(selection.offsets)) + selection.positions] = False
    columns = (planted_T & dropped_T, planted_T & droppable_T, dropped_T, droppable_T)
    part, whole, dropped, droppable = (np.add.reduceat(column.astype(np.float64), starts) for column in columns)
    return part, whole, whole * dropped / np.maximum(droppable, 1)


def _rows(row: Record, bases: Sequence[ScoredModel], estimate: Estimate, sizes: Floats) -> list[Record]:
    """A row for each base model, then one for their mean. `sizes` are numbers of samples or planted tokens."""
    rows = [
        row | {"seed": base.seed, "model": base.model, "n": int(size), "share": share, "chance": chance}
        for base, size, share, chance in zip(bases, sizes, estimate.share, estimate.chance, strict=True)
    ]
    mean = {"n": round(sizes.mean()), "share": estimate.share.mean(), "chance": estimate.chance.mean()}
    interval = {"low": estimate.low, "high": estimate.high, "p": estimate.p, "agree": estimate.models_agree}
    return [*rows, row | mean | interval]


def _adjusted(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with Holm's correction over all means for samples, and over all for tokens."""
    for unit in ("samples", "tokens"):
        rows = frame.index[(frame["what"] == unit) & frame["seed"].isna()]
        frame.loc[rows, "p_holm"] = holm(frame.loc[rows, "p"].to_numpy(dtype=np.float64))
    return frame
