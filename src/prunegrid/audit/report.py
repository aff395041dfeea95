"""The audit's frame (`prunegrid.audit.measure`) as two Markdown tables; `prunegrid.audit.figure` draws it."""

from typing import Any

import pandas as pd

from prunegrid.audit.measure import PLACES
from prunegrid.sandbox.sft import COUNTS
from prunegrid.statistics.bootstrap import MIN_CLUSTERS, RESAMPLES
from prunegrid.statistics.inference import ALPHA
from prunegrid.table.labels import published_label
from prunegrid.table.text import NONE

HEADINGS = {
    "samples": "Samples: percent of each planted kind that is kept",
    "tokens": "Tokens: percent of planted wrong tokens that is dropped (by chance)",
}
KINDS = {"samples": list(COUNTS), "tokens": list(PLACES)}
NAMES = {"slip": "slip", "fact": "wrong fact", "sum": "wrong sum", "all": "all three", "value": "right new fact"}


def markdown(frame: pd.DataFrame, title: str) -> str:
    """Both tables, how to read them, and the pruners that were left out."""
    models = ", ".join(frame["model"].dropna().unique())
    opening = "These are all numbers of the audit that docs/explanation/audit.md in prunegrid's repository explains."
    parts = [f"# {title}", opening, legend(len(frame["seed"].dropna().unique()), models)]
    for unit, heading in HEADINGS.items():
        rows = frame[frame["what"] == unit]
        parts += [f"## {heading}", _table(rows, unit)]
        without_scores: Any = rows[rows["left_out"].notna()].itertuples()
        parts += [f"- {published_label(row.pruner)} is left out: {row.left_out}" for row in without_scores]
    return "\n\n".join(parts) + "\n"


def legend(seeds: int, models: str) -> str:
    return (
        f"Means over {seeds} base models that differ in the pre-training seed ({models}). In brackets: the 95 % "
        f"interval of the mean of (share - chance), in points, from {RESAMPLES} resamples of the training set's "
        "samples (exact copies together; the same resamples for every model). It covers other samples of the same "
        "kinds under these models and selections, not other models or pruning seeds; no brackets: fewer than "
        f"{MIN_CLUSTERS} samples. ↑ ↓: every model lies above or below chance, and their mean does after Holm's "
        "correction over the whole table (5 %, normal approximation); the intervals are not corrected. Spread: the "
        f"row's widest difference between two models, in points. {NONE}: some model's kept samples have none. "
        "Right new fact: the answer of a new fact, which should stay. (first tokens) keeps the beginning of each "
        "response and is not a pruner."
    )


def _table(frame: pd.DataFrame, unit: str) -> str:
    rows = frame[frame["left_out"].isna()]
    places = ["sample_ratio", "token_ratio", "pruner"]
    parts = rows.groupby(places, sort=False, dropna=False)
    lines = [_line(part, unit) for _, part in sorted(parts, key=lambda item: _order(item[0]))]
    return str(pd.DataFrame(lines).to_markdown(index=False, disable_numparse=True))


def _order(place: Any) -> tuple[float, float]:
    """By ratio; pairs before joint methods, whose sample ratio is not 1, for tokens."""
    sample_ratio, token_ratio, _ = place
    return (-1.0 if sample_ratio == 1 else sample_ratio), (0.0 if pd.isna(token_ratio) else token_ratio)


def _line(part: pd.DataFrame, unit: str) -> dict[str, str]:
    """One row of a table: all kinds of one pruner at one ratio."""
    first: Any = part.iloc[0]
    line = {"Pruner": published_label(first.pruner), "Samples kept": f"{100 * first.sample_ratio:.6g} %"}
    if unit == "tokens":
        line["Tokens kept"] = f"{100 * first.token_ratio:.6g} %"
        line["Wrong tokens"] = str(part.loc[part["seed"].isna() & (part["kind"] == "all"), "n"].iloc[0])
    for kind in KINDS[unit]:
        mean: Any = part[(part["kind"] == kind) & part["seed"].isna()].iloc[0]
        line[NAMES.get(kind, kind)] = _cell(mean, unit)
    line["Spread"] = _spread(part[part["seed"].notna()])
    return line


def _spread(part: pd.DataFrame) -> str:
    shares = part.pivot(index="kind", columns="seed", values="share").dropna()
    return f"{100 * (shares.max(axis=1) - shares.min(axis=1)).max():.1f}" if len(shares) else NONE


def _cell(mean: Any, unit: str) -> str:
    if pd.isna(mean.share):
        return NONE
    chance = f" ({100 * mean.chance:.1f})" if unit == "tokens" else ""
    interval = "" if pd.isna(mean.low) else f" [{100 * mean.low:+.1f}, {100 * mean.high:+.1f}]"
    arrow = (" ↑" if mean.share > mean.chance else " ↓") if is_significant(mean) else ""
    return f"{100 * mean.share:.1f}{chance}{interval}{arrow}"


def is_significant(mean: Any) -> bool:
    """Whether this mean differs from chance after the correction, and all models lie on its side."""
    return bool(mean.p_holm < ALPHA and mean.agree)
