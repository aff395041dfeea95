"""The sentences above or below a table that say how to read the figures that it really has."""

from prunegrid.table.contents import TIMES, Table
from prunegrid.table.text import compared, partly

ONE_SEED = "One seed: deltas carry item noise only; no significance is claimed."
STATUSES = {
    "missing": "not computed yet",
    "running": "a step has begun and not ended",
    "stale": "made with other settings than the experiment's, or from what is gone",
    "failed": "a step did not end well, see its log",
}


def legend(table: Table) -> list[str]:
    """How to read this table, one sentence each; nothing about what it does not have."""
    best = any(entry.best for entry in table.entries)
    said = {
        "Scores in percent.": True,
        f"Arrows: points above or below {table.against}.": table.deltas,
        ONE_SEED: table.intervals and not table.tested,
        _asterisk(table): table.tested,
        "Bold: best of the column among the budget's pruned rows.": best,
        _means(table): table.seeds > 1,
        **_measures(table),
        **_statuses(table),
    }
    return [sentence for sentence, holds in said.items() if holds]


def _asterisk(table: Table) -> str:
    found = "" if any(entry.significant for entry in table.entries) else "; here none does"
    untested = any(entry.delta is not None and entry.p_holm is None for entry in table.entries)
    return (
        "Asterisk: the delta differs from 0 at 5 %, over items and seeds, "
        f"Holm-corrected over the budget's rows of the column{found}."
        + (" A delta over one seed is not tested." if untested else "")
    )


def _means(table: Table) -> str:
    spread = " ± standard deviations" if any(entry.sd is not None for entry in table.entries) else ""
    partial = any(partly(entry.done, entry.seeds) or compared(entry) for entry in table.entries if entry.done)
    return f"Means{spread} over {table.seeds} seeds" + (f"; (k/{table.seeds}): k of them." if partial else ".")


def _measures(table: Table) -> dict[str, bool]:
    said = {
        "Kept": f"samples kept {TIMES} response tokens kept of these, percent",
        "Tokens": "trained on, over all epochs",
        "Cost": f"training and the row's share of the scoring pass, {table.unit}",
        "Seeds": "those with every benchmark",
    }
    return {f"{name}: {said[name]}.": True for name in table.measures}


def _statuses(table: Table) -> dict[str, bool]:
    shown = {entry.status for entry in table.entries if entry.score is None}
    return {f"{status}: {meaning}.": status in shown for status, meaning in STATUSES.items()}
