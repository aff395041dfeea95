"""Curves of what pruners keep as text that is Markdown, too: what to notice first, then a table for each measure."""

from collections.abc import Iterator
from textwrap import fill

import numpy as np
import pandas as pd

from prunegrid.api.pipe_table import pipe_table

INTRODUCTION = (
    "A random choice keeps the ratio's share of everything, so compare with random+random. Loss and entropy are sums "
    "over tokens, under the scoring model. They show what is dropped, not what a model learns from the rest: only "
    "training shows that (--detect says how many runs)."
)
HALF = 0.5
DEVIATION = 0.02  # of the asked share, beyond which a realised budget is pointed out
MEASURES = {
    "token_share": "Trained tokens, % of all response tokens",
    "nll_share": "Loss of the trained tokens, % of all loss",
    "entropy_share": "Entropy of the trained tokens, % of all entropy",
    "cluster_share": "Clusters with a kept sample, % of the clusters of hidden_mean",
}
KIND = "samples of "
USUAL_RATIO = 0.1  # that kinds are shown at, or the next one


def report(frame: pd.DataFrame, samples: int, tokens: int, title: str) -> str:
    """What `prunegrid suggest` prints."""
    several = frame["token_ratio"].nunique() > 1
    ratios = ", ".join(f"{100 * ratio:g} %" for ratio in sorted(frame["token_ratio"].unique()))
    sizes = f"{samples:,} samples with {tokens:,} response tokens; {ratios} of a kept sample's tokens are requested."
    rows = frame.assign(label=[_label(row, several) for row in frame.itertuples()])
    notes = "\n".join(f"- {line}" for line in (*_halves(rows), *_deviations(rows)))
    parts = [f"# {title}", sizes, fill(INTRODUCTION, 118), notes]
    for column, heading in _measures(rows):
        parts += [f"## {heading}", _table(rows, column)]
    parts += _kinds(rows)
    return "\n\n".join(filter(None, parts))


def _label(row: object, several: bool) -> str:
    method, ratio = str(row.method), float(row.token_ratio)  # type: ignore[attr-defined]
    return f"{method}, {100 * ratio:g} %" if several else method


def _measures(rows: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """The columns that are there, with their headings; realised samples only where they are not the asked ones."""
    if (rows["sample_share"] / rows["sample_ratio"] - 1).abs().max() > DEVIATION and len(_odd_samples(rows)):
        yield "sample_share", "Kept samples, % of all"
    for column, heading in MEASURES.items():
        if column in rows:
            yield column, heading


def _kinds(rows: pd.DataFrame) -> list[str]:
    """A line for each method, a column for each kind, at one sample ratio."""
    kinds = [column for column in rows.columns if column.startswith(KIND)]
    if not kinds:
        return []
    ratios = rows["sample_ratio"].unique()
    ratio = ratios[np.abs(ratios - USUAL_RATIO).argmin()]
    part = rows[rows["sample_ratio"] == ratio]
    body = [[str(row["label"]), *(_percent(row[kind]) for kind in kinds)] for _, row in part.iterrows()]
    heading = f"## Kept samples of each kind, %, where {100 * ratio:g} % of all are requested"
    return [heading, pipe_table(["", *(kind.removeprefix(KIND) for kind in kinds)], body)]


def _table(rows: pd.DataFrame, column: str) -> str:
    """A line for each method, a column for each sample ratio."""
    ratios = sorted(rows["sample_ratio"].unique())
    body = []
    for label, part in rows.groupby("label", sort=False):
        values = part.set_index("sample_ratio")[column]
        body.append([str(label), *(_percent(float(values[ratio])) for ratio in ratios)])
    return pipe_table(["samples requested", *(f"{100 * ratio:g} %" for ratio in ratios)], body)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _halves(rows: pd.DataFrame) -> Iterator[str]:
    """At which ratio of samples each method has half of the loss."""
    if "sample_nll_share" not in rows:
        return
    texts = []
    for method, part in rows.drop_duplicates(["method", "sample_ratio"]).groupby("method", sort=False):
        if (ratio := _ratio_of(part.sort_values("sample_ratio"), "sample_nll_share")) is not None:
            texts.append((ratio, f"{method} {100 * ratio:.2g} %"))
    if texts:
        yield f"Half of the loss is in this share of the samples: {', '.join(text for _, text in sorted(texts))}."


def _ratio_of(part: pd.DataFrame, column: str) -> float | None:
    """The sample ratio at which the share reaches a half, linear between the ratios; None if it is not between two."""
    shares, ratios = part[column].to_numpy(), part["sample_ratio"].to_numpy()
    if not shares[0] < HALF <= shares[-1]:
        return None
    return float(np.interp(HALF, shares, ratios))


def _odd_samples(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows whose kept samples are not those asked for, by more than rounding down."""
    gap = (rows["sample_share"] - rows["sample_ratio"]).abs()
    one_sample = rows["sample_share"] / rows["samples"]
    return rows[(gap > DEVIATION * rows["sample_ratio"]) & (gap > one_sample)]


def _deviations(rows: pd.DataFrame) -> Iterator[str]:
    """The methods whose realised budget is not the nominal one."""
    for method, part in _odd_samples(rows).groupby("method", sort=False):
        row = part.iloc[-1]
        share, ratio = _percent(row["sample_share"]), f"{100 * row['sample_ratio']:g}"
        yield f"{method} keeps {share} % of the samples where {ratio} % are requested."
    realised = rows.assign(realised=rows["token_share"] / rows["length_share"] / rows["token_ratio"])
    is_pair = realised["method"].str.contains("+", regex=False)
    if line := _budget(realised[is_pair], "Pairs train"):
        yield f"{line}: a response keeps a whole number of tokens, rounded down, but at least one."
    for method, part in realised[~is_pair].groupby("method", sort=False):
        if line := _budget(part, f"{method} trains"):
            yield f"{line}, by the ratio of samples: compare it at equal trained tokens, or with `match`."


def _budget(part: pd.DataFrame, subject: str) -> str:
    """How many of the tokens that are asked for are trained, if it is not nearly all."""
    low, high = part["realised"].min(), part["realised"].max()
    if part.empty or max(abs(low - 1), abs(high - 1)) <= DEVIATION:
        return ""
    share = f"{100 * low:.0f} to {100 * high:.0f}" if round(100 * low) < round(100 * high) else f"{100 * low:.0f}"
    return f"{subject} {share} % of the tokens requested of the kept samples"
