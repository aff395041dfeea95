"""Audit the pruners on what the sandbox planted: what of each kind is kept, which wrong tokens are dropped.

`snakemake audit`. Selections are made anew from the scores of three base models that differ in the pre-training
seed; model k goes with pruning seed k. Options are the pruners' defaults.

- Samples: the share of a kind that is kept. Chance is the share of all samples that is kept.
- Tokens: the share of planted wrong tokens that is dropped, in the samples that are kept (all of them for a pair).
  Chance is the share expected had each sample's dropped tokens been drawn at random: sum of wrong tokens x dropped /
  droppable tokens. It allows for rounding in short responses and for samples that a joint pruner keeps whole. The end
  of the sequence is never dropped and counts nowhere. Where a whole response is wrong (`reading`) there is nothing
  to choose, and it is left out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunegrid import draws
from prunegrid.intervals import Bootstrap, Counts, Estimate, holm
from prunegrid.pruners import JOINT, SAMPLE, TOKEN, Scores, Selection, select
from prunegrid.pruners.ragged import Bools, Floats, Ints
from prunegrid.sandbox.sft import COUNTS

SAMPLE_RATIOS, TOKEN_RATIOS = (0.25, 0.5), (0.5, 0.7)
PLACES = {"slip": ("slip",), "fact": ("fact",), "sum": ("sum",), "all": ("slip", "fact", "sum")}
Row = dict[str, Any]


@dataclass(frozen=True)
class Items:
    """The samples in order of `sample_id` [n]: planted kind, where its wrong words are, number of its text.

    Exact copies have the same `cluster`.
    """

    sample_id: Ints
    kind: NDArray[np.str_]
    place: NDArray[np.str_]
    cluster: Ints


@dataclass(frozen=True)
class Base:
    """A base model with its pruning seed (the cell's): scores with the rows of `Items`, wrong tokens marked [T]."""

    model: str
    seed: int
    scores: Scores
    wrong: Bools


def audit(
    items: Items,
    bases: Sequence[Base],
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
        if method in left_out:
            rows.append({"what": what, "pruner": pruner, "left_out": left_out[method]})
        elif what == "samples":
            for ratio in at_samples:
                rows += _sample_rows(items, bases, bootstrap, pruner, method, ratio)
        else:
            for ratio in at_samples if pruner in JOINT else [1.0]:
                for token_ratio in at_tokens:
                    rows += _token_rows(items, bases, bootstrap, pruner, method, ratio, token_ratio)
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
    "left_out": "string",
}


def methods() -> list[tuple[str, str, str]]:
    """(samples or tokens, pruner, method): every registered pruner; one that is paired has a random partner."""
    found = [("samples", name, f"{name}+random") for name in SAMPLE]
    found += [("samples", name, name) for name in JOINT]
    found += [("tokens", name, f"random+{name}") for name in TOKEN]
    return found + [("tokens", name, name) for name in JOINT]


def _select(base: Base, method: str, sample_ratio: float, token_ratio: float) -> Selection:
    return select(base.scores, method, {}, sample_ratio, token_ratio, draws.derive(base.seed, "pruning"))


def _sample_rows(
    items: Items, bases: Sequence[Base], bootstrap: Bootstrap, pruner: str, method: str, ratio: float
) -> list[Row]:
    kept = [_select(base, method, ratio, TOKEN_RATIOS[0]).sample_id for base in bases]
    rows = []
    for kind in COUNTS:
        counts = sample_counts(items, kept, kind)
        about = {"what": "samples", "pruner": pruner, "sample_ratio": ratio, "kind": kind}
        rows += _rows(about, bases, bootstrap.estimate(counts), counts.whole.sum(axis=1))
    return rows


def _token_rows(
    items: Items,
    bases: Sequence[Base],
    bootstrap: Bootstrap,
    pruner: str,
    method: str,
    sample_ratio: float,
    token_ratio: float,
) -> list[Row]:
    selections = [_select(base, method, sample_ratio, token_ratio) for base in bases]
    rows = []
    for kind, places in PLACES.items():
        here = np.isin(items.place, places)
        counts = token_counts(bases, selections, here)
        about = {"what": "tokens", "pruner": pruner, "sample_ratio": sample_ratio, "token_ratio": token_ratio}
        rows += _rows(about | {"kind": kind}, bases, bootstrap.estimate(counts), counts.whole.sum(axis=1))
    return rows


def sample_counts(items: Items, kept: Sequence[Ints], kind: str) -> Counts:
    """How much of `kind` is kept, by base model, given the kept `sample_id` of each."""
    kept_Sn = np.stack([np.isin(items.sample_id, ids) for ids in kept]).astype(np.float64)
    kind_Sn = np.broadcast_to(items.kind == kind, kept_Sn.shape).astype(np.float64)
    return Counts(kept_Sn * kind_Sn, kind_Sn, kept_Sn, np.ones_like(kept_Sn))


def token_counts(bases: Sequence[Base], selections: Sequence[Selection], here: Bools) -> Counts:
    """How many of the wrong tokens of the samples `here` [n] are dropped, by base model."""
    each = [_dropped(base, selection) for base, selection in zip(bases, selections, strict=True)]
    part, whole, by_chance = (np.stack(column) * here for column in zip(*each, strict=True))
    return Counts(part, whole, by_chance, whole)


def _dropped(base: Base, selection: Selection) -> tuple[Floats, Floats, Floats]:
    """Per sample [n], 0 where it is not kept: wrong tokens dropped, wrong tokens, wrong tokens dropped by chance."""
    scores, starts = base.scores, base.scores.offsets[:-1]
    row_m = np.searchsorted(scores.sample_id, selection.sample_id)
    droppable = np.zeros(int(scores.offsets[-1]), bool)
    droppable[np.isin(np.repeat(scores.sample_id, scores.response_tokens), selection.sample_id)] = True
    droppable[scores.offsets[1:][~scores.truncated] - 1] = False
    dropped = droppable.copy()
    dropped[np.repeat(starts[row_m], np.diff(selection.offsets)) + selection.positions] = False
    wrong = base.wrong & droppable
    columns = (wrong & dropped, wrong, dropped, droppable)
    part, whole, gone, room = (np.add.reduceat(column.astype(np.float64), starts) for column in columns)
    return part, whole, whole * gone / np.maximum(room, 1)


def _rows(about: Row, bases: Sequence[Base], estimate: Estimate, n: Floats) -> list[Row]:
    """A row a base model, then the mean's. `n` is samples, or wrong tokens; its mean is rounded."""
    rows = [
        about | {"seed": base.seed, "model": base.model, "n": int(own), "share": share, "chance": chance}
        for base, own, share, chance in zip(bases, n, estimate.share, estimate.chance, strict=True)
    ]
    mean = {"n": round(n.mean()), "share": estimate.share.mean(), "chance": estimate.chance.mean()}
    return [*rows, about | mean | {"low": estimate.low, "high": estimate.high, "p": estimate.p}]


def _adjusted(frame: pd.DataFrame) -> pd.DataFrame:
    """With Holm's correction over all means of the samples, and over all of the tokens."""
    for what in ("samples", "tokens"):
        rows = frame.index[(frame["what"] == what) & frame["seed"].isna()]
        frame.loc[rows, "p_holm"] = holm(frame.loc[rows, "p"].to_numpy(dtype=np.float64))
    return frame
