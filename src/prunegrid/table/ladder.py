"""A ladder's decomposition as text for a terminal, at most 100 columns wide."""

from collections.abc import Iterator
from textwrap import fill, wrap
from typing import Any

import pandas as pd

from prunegrid.experiment.names import AVERAGE
from prunegrid.statistics.inference import ALPHA, MIN_SEEDS
from prunegrid.statistics.ladder import MOST_SEEDS, seeds_to_find
from prunegrid.table.document import TIMES

WIDTH, LABEL, NUMBER, MOST = 100, 40, 9, 6
WANTED = 2.0  # points that are worth to be seen
NONE = "\N{EN DASH}"
TITLES = {
    "paper": "Gap in the paper's reading",
    "copy": "Gap in the copy's reading",
    "total": "The copy's gap minus the paper's",
    "left-over": "Left over: differences that act together",
}
PLACE = ["model", "sample_ratio", "token_ratio", "first", "second"]


def text(frame: pd.DataFrame) -> str:
    """The frame of `statistics.ladder.decompose`: of each model and budget Avg, then the benchmarks."""
    groups: Any = frame.groupby(PLACE, sort=False)
    return "\n\n".join(_place(part, *place) for place, part in groups)


def rows(frame: pd.DataFrame) -> list[tuple[str, dict[str, Any]]]:
    """The lines of one column: (label, its numbers by part), from the paper's gap to the copy's."""
    by_key: dict[tuple[str, str], Any] = {(row.part, row.difference): row for row in _tuples(frame)}
    names = dict.fromkeys(difference for _, difference in by_key if difference)
    lines: list[tuple[str, dict[str, Any]]] = [(TITLES["paper"], {"contribution": by_key.get(("paper", ""))})]
    for name in names:
        sides = {part: by_key.get((part, name)) for part in ("up", "down", "contribution")}
        lines.append((next(row.label for row in sides.values() if row is not None), sides))
    return lines + [(TITLES[part], {"contribution": by_key.get((part, ""))}) for part in ("left-over", "copy", "total")]


def _tuples(frame: pd.DataFrame) -> Any:
    return frame.itertuples()


def counts(frame: pd.DataFrame) -> str:
    """How many seeds and items the numbers of Avg are over."""
    seeds = sorted({int(count) for count in frame["n_seeds"] if count})
    items = sorted({int(count) for count in frame["n_items"].dropna()})
    if not seeds:
        return "no cell is finished"
    words = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    return f"{words} seed{'s' * (seeds != [1])}, {items[-1]} items"


def percent(ratio: float) -> str:
    return f"{100 * ratio:.6g} %"


def _place(frame: pd.DataFrame, model: str, samples: float, tokens: float, first: str, second: str) -> str:
    average = frame[frame["benchmark"] == AVERAGE]
    budget = f"{percent(samples)} samples {TIMES} {percent(tokens)} tokens"
    head = f"{model}, {budget}: {first} minus {second}, points of {AVERAGE}; {counts(average)}"
    blocks = ["\n".join([fill(head, WIDTH), "", *_average_lines(average)])]
    blocks.append("\n".join(fill(note, WIDTH) for note in _notes(average)))
    if lines := list(_benchmark_lines(frame)):
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _average_lines(frame: pd.DataFrame) -> Iterator[str]:
    yield _line("", ["up", "down", "mean"], "95 % interval", "p")
    for label, sides in rows(frame):
        numbers = [_points(sides.get(part)) if part in sides else "" for part in ("up", "down", "contribution")]
        whole = sides.get("contribution")
        yield from _labelled(label, numbers, _interval(whole), _p(whole))


def _benchmark_lines(frame: pd.DataFrame) -> Iterator[str]:
    names = [name for name in frame["benchmark"].unique() if name != AVERAGE]
    for start in range(0, len(names), MOST):
        chosen = names[start : start + MOST]
        parts = [dict(rows(frame[frame["benchmark"] == name])) for name in chosen]
        yield _line("By benchmark", chosen)
        for label in dict(rows(frame[frame["benchmark"] == AVERAGE])):
            numbered = [part.get(label, {}).get("contribution") for part in parts]
            numbers = [_points(row) + _star(row) if row is not None else "0  " for row in numbered]
            yield from _labelled(label, numbers)


def _labelled(label: str, numbers: list[str], interval: str = "", p_value: str = "") -> Iterator[str]:
    first, *others = wrap(label, LABEL)
    yield _line(first, numbers, interval, p_value)
    yield from (f"  {other}" for other in others)


def _line(label: str, numbers: list[str], interval: str = "", p_value: str = "") -> str:
    columns = "".join(number.rjust(NUMBER) for number in numbers)
    return f"{label:{LABEL}}{columns}{interval:>19}{p_value:>11}".rstrip()


def _points(row: Any) -> str:
    return "" if row is None else NONE if pd.isna(row.points) else f"{row.points:+.2f}"


def _star(row: Any) -> str:
    return " *" if row is not None and row.p_adjusted < ALPHA else "  "


def _interval(row: Any) -> str:
    """Of items and seeds; of one seed's items only, in brackets."""
    if row is None or pd.isna(row.points):
        return ""
    if pd.notna(row.low):
        return f"{row.low:+.2f} to {row.high:+.2f}"
    return f"[{row.item_low:+.2f} to {row.item_high:+.2f}]" if pd.notna(row.item_low) else NONE


def _p(row: Any) -> str:
    if row is None or pd.isna(row.p_adjusted):
        return ""
    return f"{'<0.0001' if row.p_adjusted < 1e-4 else f'{row.p_adjusted:.2g}'}{_star(row)}"


def _notes(frame: pd.DataFrame) -> Iterator[str]:
    """What the numbers are, what is not tested, and which cells are missing."""
    yield (
        "up: added to the paper's reading; down: taken from the copy's; empty: that direction has no meaning. "
        "Intervals: other items and other runs."
    )
    family = frame["n_family"].dropna()
    if len(family):
        yield f"p of a mean, corrected over the {int(family.iloc[0])} differences; * below {ALPHA}."
    points, seeds = seeds_to_find(frame, WANTED)
    if points >= 0:
        more = f"{seeds} seeds" if seeds else f"more than {MOST_SEEDS} seeds"
        yield f"A contribution of {points:.1f} points is marked four times in five, {WANTED:g} points with {more}."
    if frame["n_seeds"].max() < MIN_SEEDS:
        yield f"Fewer than {MIN_SEEDS} seeds: no test. An interval in brackets (one seed) is for items only."
    missing = sorted({cell for cells in frame["missing"] for cell in cells.split(", ") if cell})
    if missing:
        yield f"{len(missing)} cells are not finished: {', '.join(missing)}."
        yield "Numbers that need them have fewer seeds, or none."
