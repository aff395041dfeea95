"""The deltas of the table: each entry's fields, with its interval, and what its baseline is called."""

from typing import Any

import pandas as pd

from prunegrid.table.document import TIMES, budget_of
from prunegrid.table.labels import Labels, label

PLAIN = f"{label('random')} + {label('random')}"
SETTINGS = ["mode", "removal"]
PLACE = ["model", "sample_ratio", "token_ratio"]


def delta_fields(line: Any) -> dict[str, Any]:
    """The fields of an entry about its delta, from a line of `layout._places` or of the deltas frame, or None.

    The interval covers both noises if several seeds are compared, else the items' alone.
    """
    if line is None or pd.isna(line.delta):
        return {}
    if not hasattr(line, "item_low"):
        return {"delta": rounded(line.delta), "n_compared": line.n_compared}
    low, high = (line.low, line.high) if line.n_seeds > 1 else (line.item_low, line.item_high)
    return {
        "delta": rounded(line.delta),
        "n_compared": int(line.n_seeds),
        "low": rounded(low),
        "high": rounded(high),
        "p_adjusted": None if pd.isna(line.p_adjusted) else float(line.p_adjusted),
        "significant": None if pd.isna(line.significant) else bool(line.significant),
    }


def rounded(value: float) -> float | None:
    return None if pd.isna(value) else round(value, 2)


def labels(frame: pd.DataFrame, deltas: pd.DataFrame | None, names: Labels) -> dict[tuple[Any, ...], str]:
    """The label of the row that each (budget, variant) of `deltas` is compared with."""
    if deltas is None:
        return {}
    lines: Any = deltas.drop_duplicates(["sample_ratio", "token_ratio", "variant"]).itertuples()
    rows = _variants(frame)
    return {(budget_of(line), line.variant): _label(rows[line.against], names) for line in lines}


def describe(frame: pd.DataFrame, deltas: pd.DataFrame | None, names: Labels) -> str:
    """The legend's words for what deltas are against: one row, one per mode and removal, or one per budget."""
    place = "at the same model, budget and seed"
    if deltas is None or deltas.empty:
        return f"{PLAIN} {place}"
    rows = _variants(frame)
    baselines = [rows[variant] for variant in deltas["against"].unique()]
    if len(baselines) == 1:
        (row,) = baselines
        if pd.isna(row.sample_ratio):
            place = "of the same model" if pd.isna(row.seed) else "of the same model and seed"
        return f"{_label(row, names)} {place}"
    if (deltas.groupby(PLACE, dropna=False)["against"].nunique() == 1).all():
        return f"one row of each model and budget ({_list_places(rows, deltas, names)}) at the same seed"
    methods = " or ".join(dict.fromkeys(_method(row, names) for row in baselines))
    varying = [name for name in SETTINGS if len({getattr(row, name) for row in baselines}) > 1]
    same = " and ".join(varying) or "training settings"  # of the variants' own, where mode and removal are equal
    return f"the {methods} row of the same {same}{_exception(rows, deltas)} {place}"


def _list_places(rows: dict[str, Any], deltas: pd.DataFrame, names: Labels) -> str:
    lines: Any = deltas.drop_duplicates(PLACE).itertuples()
    places = [(line.model, 100 * line.sample_ratio, 100 * line.token_ratio, rows[line.against]) for line in lines]
    return "; ".join(f"{model}, {s:.6g} {TIMES} {t:.6g}: {_label(row, names)}" for model, s, t, row in places)


def _exception(rows: dict[str, Any], deltas: pd.DataFrame) -> str:
    """The exception to `describe`: rows without a baseline of their own mode and removal."""
    pairs = deltas[["variant", "against"]].drop_duplicates().itertuples(index=False)
    matching = all(getattr(rows[row], name) == getattr(rows[base], name) for row, base in pairs for name in SETTINGS)
    return "" if matching else " (where there is none, of the experiment's own)"


def _variants(frame: pd.DataFrame) -> dict[str, Any]:
    """A line of each variant."""
    lines: Any = frame.drop_duplicates("variant").itertuples()
    return {line.variant: line for line in lines}


def _label(line: Any, names: Labels) -> str:
    """A row's name in a sentence: `Random + Random`, or a variant's own name."""
    _, first, second = names.row(line.variant, line.sample_pruner, line.token_pruner)
    method = _method(line, names)
    return first if second == method else method


def _method(line: Any, names: Labels) -> str:
    return names.method(line.variant, line.sample_pruner, line.token_pruner)
