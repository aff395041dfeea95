"""The sentences above or below a table that say how to read the figures that it really has."""

from prunegrid.results.collect import AVERAGE, SEVERITY
from prunegrid.statistics.bootstrap import MIN_CLUSTERS
from prunegrid.table.document import TIMES, Table
from prunegrid.table.text import SIGNS, delta_seeds_note, seeds_note

ONE_SEED = "One seed: deltas carry item noise only; no significance is claimed."
TWO_SEEDS = "Two seeds: intervals are over items and seeds; no test is made with fewer than three."
SINGLE = "Intervals are of single comparisons, not corrected."
BOLD = "Bold: best of the column among the budget's pruned rows."
STATUSES = {
    "missing": "not computed yet",
    "running": "a step has begun and not ended",
    "stale": "made with other settings than the experiment's, from other weights, or from what is gone",
    "failed": "a step did not end well, see its log",
}


def legend(table: Table) -> list[str]:
    """How to read this table, one sentence each; nothing about what it does not have."""
    said = [
        "Scores in percent.",
        _against(table, "Arrows"),
        *_noise(table, "Asterisk"),
        BOLD if any(entry.best for entry in table.entries) else "",
        _means(table),
        _lacking(table),
        *_measures(table),
        *_statuses(table),
    ]
    return [sentence for sentence in said if sentence]


def plain(table: Table) -> list[str]:
    """The same for bare columns (CSV), which have names instead of arrows, asterisks, bold figures and signs."""
    said = [
        "Scores in percent.",
        _against(table, "delta"),
        *_noise(table, "significant"),
        _means(table),
        *_statuses(table),
    ]
    return [sentence for sentence in said if sentence]


def _against(table: Table, deltas: str) -> str:
    return f"{deltas}: points above or below {table.baseline}." if table.deltas else ""


def _noise(table: Table, mark: str) -> list[str]:
    """What is known of the deltas' noise: over one seed, over two, over more, with too few items; all that apply."""
    deltas = [entry for entry in table.entries if entry.delta is not None] if table.noise_estimated else []
    mixed = len({entry.n_compared for entry in deltas}) > 1
    untested = [entry for entry in deltas if entry.low is not None and entry.p_holm is None]
    said = {
        _where(ONE_SEED, mixed): any(entry.n_compared == 1 for entry in deltas),
        _where(TWO_SEEDS, mixed): any(entry.n_compared > 1 for entry in untested),
        _significant(table, mark): table.tested,
        SINGLE: table.tested,
        _no_interval(table): any(entry.low is None for entry in deltas),
    }
    return [sentence for sentence, holds in said.items() if holds]


def _where(said: str, mixed: bool) -> str:
    """`One seed: ...` as `Over one seed: ...` in a table that compares different numbers of seeds."""
    return f"Over {said[0].lower()}{said[1:]}" if mixed else said


def _significant(table: Table, mark: str) -> str:
    found = "" if any(entry.significant for entry in table.entries) else "; here none does"
    return (
        f"{mark}: the delta differs from 0 at 5 %, over items and seeds, "
        f"Holm-corrected over the budget's rows of the column{found}."
    )


def _no_interval(table: Table) -> str:
    """Names the columns, where some have intervals. Avg has none where one of its benchmarks has none."""
    compared = {
        (name, entry.low is None)
        for row in table.rows
        for (_, name), entry in row.entries.items()
        if entry.delta is not None
    }
    own = ", ".join(name for name in table.benchmarks if (name, True) in compared and name != AVERAGE)
    average = f" and so for {AVERAGE}" if (AVERAGE, True) in compared else ""
    where = f" for {own}{average}" if any(not without for _, without in compared) else ""
    return f"No interval{where}: fewer than {MIN_CLUSTERS} clusters of items."


def _means(table: Table) -> str:
    if table.n_seeds < 2:
        return ""
    spread = " ± standard deviations" if any(entry.sd is not None for entry in table.entries) else ""
    lacking = any(seeds_note(entry) or delta_seeds_note(entry) for entry in table.entries)
    return f"Means{spread} over {table.n_seeds} seeds" + (f"; (k/{table.n_seeds}): k of them." if lacking else ".")


def _lacking(table: Table) -> str:
    """What stands beside k of n seeds for the others."""
    entries = [entry for entry in table.entries if seeds_note(entry)]
    shown = {entry.status: entry.marks for entry in sorted(entries, key=lambda entry: bool(entry.marks))}
    signs = {"missing": "no sign", "failed": "a footnote" if shown.get("failed") else ""} | SIGNS
    said = [f"{word} ({signs[word]})" if signs[word] else word for word in SEVERITY if word in shown]
    return f"Of the other seeds the worst is told: {', '.join(said)}." if said else ""


def _measures(table: Table) -> list[str]:
    said = {
        "Kept": f"samples kept {TIMES} response tokens kept of these, percent",
        "Tokens": "trained on, over all epochs",
        "Cost": f"training and the row's share of the scoring pass, {table.unit}",
        "Seeds": "those with every benchmark",
    }
    return [f"{name}: {said[name]}." for name in table.measures]


def _statuses(table: Table) -> list[str]:
    shown = {entry.status for entry in table.entries}
    return [f"{status}: {meaning}." for status, meaning in STATUSES.items() if status in shown]
