"""Audit the pruners on what the sandbox planted: what of each kind is kept, which wrong tokens are dropped.

`snakemake audit`. Selections are made anew from the scores of three base models that differ in the pre-training
seed; model k goes with pruning seed k. Options are the pruners' defaults.

- Samples: the share of a kind that is kept. Chance is the share of all samples that is kept.
- Tokens: the share of planted wrong tokens that is dropped, in the samples that are kept (all of them for a pair).
  Chance is the share expected had each sample's dropped tokens been drawn at random: sum of wrong tokens x dropped /
  droppable tokens. It allows for rounding in short responses and for samples that a joint pruner keeps whole. The end
  of the sequence is never dropped and counts nowhere. Where a whole response is wrong (`reading`) there is nothing
  to choose, and it is left out. `value` is the opposite: tokens of a new fact's right answer, dropped at a loss.
- The row `(first tokens)` is no pruner: it keeps the first tokens of each response, to show what position alone
  gives. Slips and wrong sums stand near the end, a new fact's answer at the beginning.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunegrid.audit.intervals import Bootstrap, Counts, Estimate
from prunegrid.core import ragged, randomness
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
    Selection,
    select,
    select_tokens,
)
from prunegrid.sandbox.sft import COUNTS
from prunegrid.statistics.inference import holm

SAMPLE_RATIOS, TOKEN_RATIOS = (0.25, 0.5), (0.5, 0.7)
PLACES = {
    "slip": ("slip",),
    "fact": ("fact",),
    "sum": ("sum",),
    "all": ("slip", "fact", "sum"),
    "value": ("value",),
}
FIRST = "(first tokens)"
Row = dict[str, Any]


@dataclass(frozen=True)
class PlantedSamples:
    """The samples in order of `sample_id` [n]: planted kind and number of its text, the same for exact copies."""

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
    items: PlantedSamples,
    bases: Sequence[ScoredModel],
    left_out: dict[str, str],
    sample_ratios: Iterable[float],
    token_ratios: Iterable[float],
) -> pd.DataFrame:
    """A row per pruner, ratio, kind and base model, and one without seed for their mean, which has the interval.

    `left_out` maps methods to the reason why they cannot run: a row each, with nothing else in it.
    """
    at_samples = sorted({*sample_ratios, *SAMPLE_RATIOS})
    at_tokens = sorted({*token_ratios, *TOKEN_RATIOS})
    bootstrap = Bootstrap(items.cluster)
    rows: list[Row] = []
    for what, pruner, method in methods():
        about: Row = {"what": what, "pruner": pruner}
        if method in left_out:
            rows.append(about | {"left_out": left_out[method]})
            continue
        for ratio in [1.0] if what == "tokens" and pruner not in JOINT else at_samples:
            at: Row = about | {"sample_ratio": ratio}
            if what == "samples":
                kept = [_select(base, method, ratio, TOKEN_RATIOS[0]).sample_id for base in bases]
                rows += _sample_rows(at, items, bases, bootstrap, kept)
                continue
            for token_ratio in at_tokens:
                chosen = [_select(base, method, ratio, token_ratio) for base in bases]
                rows += _token_rows(at | {"token_ratio": token_ratio}, bases, bootstrap, chosen)
    for token_ratio in at_tokens:
        about = {"what": "tokens", "pruner": FIRST, "sample_ratio": 1.0, "token_ratio": token_ratio}
        rows += _token_rows(about, bases, bootstrap, [first_tokens(base.scores, token_ratio) for base in bases])
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

WITHOUT_RATIO = ("infobatch-original",)


def methods() -> list[tuple[str, str, str]]:
    """(samples or tokens, pruner, method): every registered pruner; one that is paired has a random partner.

    Those that meet no ratio are left out: what they keep is no share of a budget.
    """
    joint = [name for name in JOINT if name not in WITHOUT_RATIO]
    found = [("samples", name, f"{name}+random") for name in SAMPLE]
    found += [("samples", name, name) for name in joint]
    found += [("tokens", name, f"random+{name}") for name in TOKEN]
    return found + [("tokens", name, name) for name in joint]


def _select(base: ScoredModel, method: str, sample_ratio: float, token_ratio: float) -> Selection:
    spec = PruningSpec(method=method, sample_ratio=sample_ratio, token_ratio=token_ratio)
    return select(base.scores, spec, Draw(randomness.derive_seed(base.seed, "pruning")))


def first_tokens(scores: Scores, token_ratio: float) -> Selection:
    """The first tokens of every response: what can be had from position alone."""
    chosen = Choice(
        rows=np.arange(len(scores)),
        k=ragged.keep_counts(token_ratio, scores.response_tokens),
        rank=lambda block: -ragged.positions(block.offsets).astype(np.float64),
        samples=KeptSamples.uniform("first", len(scores)),
    )
    (selection,) = select_tokens(chosen, lambda: [scores])
    return selection


def _sample_rows(
    about: Row, items: PlantedSamples, bases: Sequence[ScoredModel], bootstrap: Bootstrap, kept: Sequence[Ints]
) -> list[Row]:
    rows = []
    for kind in COUNTS:
        counts = sample_counts(items, kept, kind)
        rows += _rows(about | {"kind": kind}, bases, bootstrap.estimate(counts), counts.whole.sum(axis=1))
    return rows


def _token_rows(
    about: Row, bases: Sequence[ScoredModel], bootstrap: Bootstrap, chosen: Sequence[Selection]
) -> list[Row]:
    rows = []
    for kind, places in PLACES.items():
        counts = token_counts(bases, chosen, places)
        rows += _rows(about | {"kind": kind}, bases, bootstrap.estimate(counts), counts.whole.sum(axis=1))
    return rows


def sample_counts(items: PlantedSamples, kept: Sequence[Ints], kind: str) -> Counts:
    """How much of `kind` is kept, by base model, given the kept `sample_id` of each."""
    kept_Sn = np.stack([np.isin(items.sample_id, ids) for ids in kept]).astype(np.float64)
    kind_Sn = np.broadcast_to(items.kind == kind, kept_Sn.shape).astype(np.float64)
    return Counts(kept_Sn * kind_Sn, kind_Sn, kept_Sn, np.ones_like(kept_Sn))


def token_counts(bases: Sequence[ScoredModel], chosen: Sequence[Selection], places: Sequence[str]) -> Counts:
    """How many of the tokens planted in `places` are dropped, by base model."""
    planted = [np.any([base.planted[place] for place in places], axis=0) for base in bases]
    each = [_dropped(*of_one) for of_one in zip((base.scores for base in bases), chosen, planted, strict=True)]
    part, whole, by_chance = (np.stack(column) for column in zip(*each, strict=True))
    return Counts(part, whole, by_chance, whole)


def _dropped(scores: Scores, chosen: Selection, planted: Bools) -> tuple[Floats, Floats, Floats]:
    """Per sample [n], 0 where it is not kept: planted tokens dropped, planted tokens, and those dropped by chance."""
    starts = scores.offsets[:-1]
    row_m = np.searchsorted(scores.sample_id, chosen.sample_id)
    droppable = np.zeros(int(scores.offsets[-1]), bool)
    droppable[np.isin(np.repeat(scores.sample_id, scores.response_tokens), chosen.sample_id)] = True
    droppable[scores.offsets[1:][~scores.truncated] - 1] = False
    dropped = droppable.copy()
    dropped[np.repeat(starts[row_m], np.diff(chosen.offsets)) + chosen.positions] = False
    columns = (planted & dropped, planted & droppable, dropped, droppable)
    part, whole, gone, room = (np.add.reduceat(column.astype(np.float64), starts) for column in columns)
    return part, whole, whole * gone / np.maximum(room, 1)


def _rows(about: Row, bases: Sequence[ScoredModel], estimate: Estimate, n: Floats) -> list[Row]:
    """A row a base model, then the mean's. `n` is samples, or planted tokens; its mean is rounded."""
    rows = [
        about | {"seed": base.seed, "model": base.model, "n": int(own), "share": share, "chance": chance}
        for base, own, share, chance in zip(bases, n, estimate.share, estimate.chance, strict=True)
    ]
    mean = {"n": round(n.mean()), "share": estimate.share.mean(), "chance": estimate.chance.mean()}
    interval = {"low": estimate.low, "high": estimate.high, "p": estimate.p, "agree": estimate.agree}
    return [*rows, about | mean | interval]


def _adjusted(frame: pd.DataFrame) -> pd.DataFrame:
    """With Holm's correction over all means of the samples, and over all of the tokens."""
    for what in ("samples", "tokens"):
        rows = frame.index[(frame["what"] == what) & frame["seed"].isna()]
        frame.loc[rows, "p_holm"] = holm(frame.loc[rows, "p"].to_numpy(dtype=np.float64))
    return frame
