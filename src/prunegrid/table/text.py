"""Entries of the table as text, the same in every format."""

from itertools import groupby

from prunegrid.table.document import TIMES, Entry, Group, Measurements, Row, Table

NONE = "\N{EN DASH}"
SIGNS = {"stale": "†", "running": "…"}


def arrow(delta: float, decimals: int = 2) -> str:
    """A delta in points as `↑2.34`, `↓0.50` or `0.00`."""
    sign = "↑" if delta > 0 else "↓" if delta < 0 else ""
    return f"{sign}{abs(delta):.{decimals}f}"


def star(entry: Entry) -> str:
    """`*` after a delta that is significant."""
    return "*" if entry.significant else ""


def seeds_note(entry: Entry) -> str:
    """`(2/3)` if a mean lacks seeds, with the sign of the worst missing one, `(2/3 †)`, unless a footnote says it."""
    if entry.score is None or entry.n_done == entry.n_seeds:
        return ""
    sign = SIGNS.get(entry.status) or ("failed" if entry.status == "failed" and not entry.marks else "")
    return f"({entry.n_done}/{entry.n_seeds}{f' {sign}' if sign else ''})"


def delta_seeds_note(entry: Entry) -> str:
    """`(1/3)` if a delta is over fewer seeds than its score."""
    lacks_seeds = entry.delta is not None and entry.n_compared < entry.n_done
    return f"({entry.n_compared}/{entry.n_seeds})" if lacks_seeds else ""


def status(entry: Entry) -> str:
    """The word shown instead of a score, with a sign if the score is stale or pending."""
    return " ".join(filter(None, (entry.status, SIGNS.get(entry.status))))


def interval(entry: Entry, row: Row) -> str:
    """A delta's 95 % interval in words, empty where it has none."""
    if entry.low is None or entry.high is None:
        return ""
    tested = "not tested" if entry.p_adjusted is None else f"p = {entry.p_adjusted:.3g}, corrected"
    noise = "item noise only" if entry.n_compared == 1 else f"items and seeds; {tested}"
    return f"95 % interval {entry.low:+.2f} to {entry.high:+.2f} points, {noise}; against {row.baseline}"


def percent(realised: tuple[float, float] | None) -> str:
    """Realised ratios of samples and tokens, as `12.5 × 51.3` percent; all of them is `100`."""
    return f" {TIMES} ".join(f"{100 * ratio:.1f}" if ratio < 1 else "100" for ratio in realised) if realised else NONE


def compact(value: float | None) -> str:
    """Three significant digits: `0.0417`, `17.2`, `950`, `12.3k`, `1.20M`."""
    if value is None:
        return NONE
    rounded = float(f"{value:.3g}")
    unit, letter = next(((u, s) for u, s in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if rounded >= u), (1, ""))
    return f"{rounded / unit:#.3g}".removesuffix(".") + letter


def count(value: float | None) -> str:
    """As `compact`, but below a thousand a whole number has no decimals: `0`, `80`."""
    return f"{value:.0f}" if value is not None and value < 1000 and value == int(value) else compact(value)


def measures(table: Table, row: Row, model: str) -> list[str]:
    """The cells of a row and model in the table's `measures`."""
    values = row.measurements.get(model, Measurements())
    cells = {
        "Kept": percent(values.realised),
        "Tokens": count(values.tokens),
        "Steps": count(values.steps),
        "Passes": count(values.passes),
        "Ends": count(values.ends),
        "Cost": compact(values.cost),
        "Seeds": NONE if values.n_seeds is None else str(values.n_seeds),
    }
    return [cells[name] for name in table.measures]


def blocks(group: Group) -> list[list[Row]]:
    """Neighbouring pairs grouped by their sample pruner, so that the first column names it once."""
    return [list(rows) for _, rows in groupby(group.rows, key=lambda row: (row.kind, row.sample))]
