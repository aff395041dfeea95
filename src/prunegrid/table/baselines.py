"""The deltas of the table: each entry's own, with its interval, and what they are against."""

from typing import Any

import pandas as pd

from prunegrid.table.document import TIMES, budget_of
from prunegrid.table.labels import LABELS, method_label, variant_labels

PLAIN = f"{LABELS['random']} + {LABELS['random']}"
MANNER = ["mode", "removal"]
PLACE = ["model", "sample_ratio", "token_ratio"]


def delta_fields(line: Any) -> dict[str, Any]:
    """The fields of an entry about its delta, from a line of `layout._places` or of the deltas frame, or None.

    The interval is that of both noises where several seeds are compared, else that of the items alone.
    """
    if line is None or pd.isna(line.delta):
        return {}
    if not hasattr(line, "item_low"):
        return {"delta": rounded(line.delta), "n_compared": line.n_compared}
    several = line.n_seeds > 1
    return {
        "delta": rounded(line.delta),
        "n_compared": int(line.n_seeds),
        "low": rounded(line.low if several else line.item_low),
        "high": rounded(line.high if several else line.item_high),
        "p_holm": None if pd.isna(line.p_holm) else float(line.p_holm),
        "significant": None if pd.isna(line.significant) else bool(line.significant),
    }


def rounded(value: float) -> float | None:
    return None if pd.isna(value) else round(value, 2)


def labels(frame: pd.DataFrame, deltas: pd.DataFrame | None) -> dict[tuple[Any, ...], str]:
    """The label of the row that each (budget, variant) is compared with, of those in `deltas`."""
    if deltas is None:
        return {}
    lines: Any = deltas.drop_duplicates(["sample_ratio", "token_ratio", "variant"]).itertuples()
    rows = _variants(frame)
    return {(budget_of(line), line.variant): _label(rows[line.against]) for line in lines}


def describe(frame: pd.DataFrame, deltas: pd.DataFrame | None) -> str:
    """What the table's deltas are against, for its legend: one row, one for each mode and removal, or one a budget."""
    same = "at the same model, budget and seed"
    if deltas is None or deltas.empty:
        return f"{PLAIN} {same}"
    rows = _variants(frame)
    found = [rows[variant] for variant in deltas["against"].unique()]
    if len(found) == 1:
        return f"{_label(found[0])} {_of_reference(found[0]) if pd.isna(found[0].sample_ratio) else same}"
    if (deltas.groupby(PLACE, dropna=False)["against"].nunique() == 1).all():
        return f"one row of each model and budget ({_by_place(rows, deltas)}) at the same seed"
    methods = " or ".join(dict.fromkeys(method_label(row.sample_pruner, row.token_pruner) for row in found))
    varying = [name for name in MANNER if len({getattr(row, name) for row in found}) > 1]
    return f"the {methods} row of the same {' and '.join(varying)}{_but(rows, deltas)} {same}"


def _of_reference(line: Any) -> str:
    return "of the same model" if pd.isna(line.seed) else "of the same model and seed"


def _by_place(rows: dict[str, Any], deltas: pd.DataFrame) -> str:
    lines: Any = deltas.drop_duplicates(PLACE).itertuples()
    places = [(line.model, 100 * line.sample_ratio, 100 * line.token_ratio, line.against) for line in lines]
    return "; ".join(f"{model}, {s:.6g} {TIMES} {t:.6g}: {_label(rows[its])}" for model, s, t, its in places)


def _but(rows: dict[str, Any], deltas: pd.DataFrame) -> str:
    """The exception to `describe`, where a row has no baseline of its own mode and removal."""
    pairs = deltas[["variant", "against"]].drop_duplicates().itertuples(index=False)
    alike = all(getattr(rows[own], name) == getattr(rows[its], name) for own, its in pairs for name in MANNER)
    return "" if alike else " (where there is none, of the experiment's own)"


def _variants(frame: pd.DataFrame) -> dict[str, Any]:
    """A line of each variant."""
    lines: Any = frame.drop_duplicates("variant").itertuples()
    return {line.variant: line for line in lines}


def _label(line: Any) -> str:
    """How the table names a row in a sentence: `Random + Random`, or a variant's own name."""
    _, first, second = variant_labels(line.variant, line.sample_pruner, line.token_pruner)
    method = method_label(line.sample_pruner, line.token_pruner)
    return first if second == method else method
