"""The sections of docs/results/speed.md: what a reader learns of a benchmark, from what its script measured.

Each script has a function here, which makes a `Section` of `measured`, the script's last line of JSON. A number that
the JSON lacks (a record copied from a page has fewer) leaves its cell empty.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

Measured = Mapping[str, Any]
Rows = list[dict[str, str]]
Number = float | int | None


class Section(NamedTuple):
    """A sentence, a table's rows by column, and what the page's first table has of it: what is compared, the ratio."""

    claim: str
    rows: Rows
    headline: tuple[str, str] | None = None


def count(value: Number) -> str:
    return "" if value is None else f"{value:,.0f}"


def fixed(value: Number, digits: int = 1) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def figures(value: Number) -> str:
    """A time or a rate: three digits, all of those before the point."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def times(value: Number) -> str:
    """A ratio: 3.1, 0.97, 0.03."""
    return "" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.2f}"


def percent(value: Number, digits: int = 0) -> str:
    """Of a share."""
    return "" if value is None else f"{100 * value:.{digits}f} %"


def over(row: Measured, base: Measured | None, key: str) -> float | None:
    """The row's number by the base's, where both have it."""
    return row[key] / base[key] if base and row.get(key) and base.get(key) else None


def listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
