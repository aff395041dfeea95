"""A comparison of logs as text: a few lines for two logs of one task, else a table with a row for each difference."""

from collections.abc import Sequence
from math import isnan

from prunegrid.experiment.names import AVERAGE
from prunegrid.statistics.log_differences import Difference

MODELS = "do these models differ (items)"
RECIPE = "does the recipe differ (runs and items)"
ALPHA = 0.05


def report(differences: Sequence[Difference], notes: Sequence[str]) -> str:
    """What `prunegrid stats` prints."""
    lines = _lines(differences[0]) if len(differences) == 1 else _table(differences)
    return "\n".join([*lines, *(f"note: {note}" for note in notes)])


def _lines(row: Difference) -> list[str]:
    percent = " %" if row.metric_is_share else ""
    width = max(len(row.name), len(row.against))
    lines = [
        f"{_place(row)}: {_sizes(row)}",
        f"  {row.name:<{width}}  {row.score:.2f}{percent}",
        f"  {row.against:<{width}}  {row.against_score:.2f}{percent}  (baseline)",
        f"  {MODELS}: {_effect(row, row.item_low, row.item_high)}, {p_text(row.item_p)}",
    ]
    if row.answers_recipe:
        p_value = p_text(row.p) if not isnan(row.p) else "no p (give three runs)"
        lines.append(f"  {RECIPE}: {_effect(row, row.low, row.high)}, {p_value}")
    mcnemar = "" if isnan(row.mcnemar_p) else f"; McNemar's exact test: {p_text(row.mcnemar_p)}"
    lines.append(f"  items won {row.won:,}, lost {row.lost:,}, tied {row.tied:,}{mcnemar}")
    return [*lines, *_detectable([row])]


def _table(rows: Sequence[Difference]) -> list[str]:
    recipe = any(row.answers_recipe for row in rows)
    head = ["task", "model", "items", rows[0].against, "model", "difference", "95 %", "p", "p adjusted"]
    head += ["won/lost/tied"]
    body = [[AVERAGE if row.task == AVERAGE else _place(row), row.name, *_cells(row)] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    question = RECIPE if recipe else MODELS
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in (head, *body)]
    means = [row for row in rows if row.task == AVERAGE]
    return [f"{question}? against {rows[0].against}", *map(str.rstrip, lines), *_detectable(means or rows)]


def _cells(row: Difference) -> list[str]:
    low, high, p_value = (row.low, row.high, row.p) if row.answers_recipe else (row.item_low, row.item_high, row.item_p)
    numbers = [
        f"{row.against_score:.2f}",
        f"{row.score:.2f}",
        f"{row.delta:+.2f}",
        interval_text(low, high),
        p_number(p_value),
    ]
    return [f"{row.n_items:,}", *numbers, p_number(row.p_adjusted), f"{row.won}/{row.lost}/{row.tied}"]


def _place(row: Difference) -> str:
    """`gsm8k, exact_match (strict-match)`."""
    return f"{row.task}, {row.metric}" + (f" ({row.filter})" if row.filter not in (None, "none") else "")


def _sizes(row: Difference) -> str:
    sizes = [f"{row.n_items:,} items"]
    sizes += [f"{row.n_clusters:,} clusters"] if row.n_clusters < row.n_items else []
    return ", ".join([*sizes, *([f"{row.n_runs} runs"] if row.answers_recipe else [])])


def _effect(row: Difference, low: float, high: float) -> str:
    return f"{row.delta:+.2f} {interval_text(low, high)}"


def _detectable(rows: Sequence[Difference]) -> list[str]:
    """The smallest differences that as many items find; the largest of the rows'."""
    known = [row for row in rows if not isnan(row.detectable)]
    if not known:
        return []
    row = max(known, key=lambda row: row.detectable)
    runs = f" and {row.n_runs} runs" if row.answers_recipe else ""
    size = f"{row.detectable:.1f} {'points' if row.metric_is_share else 'on its scale'}"
    return [f"  {row.n_items:,} items{runs} find a true difference of {size} in 80 % of cases", *_draws(row)]


def _draws(row: Difference) -> list[str]:
    """How much of the item noise is other answers to the same items, and what more answers or more runs would find."""
    if not row.draw_se > 0:
        return []
    share = min(1.0, row.draw_se**2 / row.item_se**2)
    more = [f"twice the answers {row.detectable_answers:.1f}"]
    more += [f"twice the runs {row.detectable_runs:.1f}"] if row.answers_recipe else []
    part = f"  other answers to the same items are {share:.0%} of the variance over items"
    return [f"{part}; it would be {', '.join(more)}"]


def interval_text(low: float, high: float) -> str:
    return "too few clusters" if isnan(low) else f"[{low:+.2f}, {high:+.2f}]"


def p_text(p_value: float) -> str:
    return "no p" if isnan(p_value) else f"p = {p_number(p_value)}" if p_value >= 1e-4 else "p < 0.0001"


def p_number(p_value: float) -> str:
    return "" if isnan(p_value) else "<0.0001" if p_value < 1e-4 else f"{p_value:.2g}"
