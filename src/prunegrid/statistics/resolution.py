"""With how many seeds a grid finds a difference of so many points in Avg: measured noise, else the sandbox's."""

from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import NamedTuple

from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import layout
from prunegrid.experiment.names import AVERAGE
from prunegrid.statistics import deltas
from prunegrid.statistics.expectation import DIFFERENT, RUN_SD, expected_difference
from prunegrid.statistics.power import detectable

LEAST, MOST = 3, 30  # seeds: fewer are not tested, more is another experiment


class Resolution(NamedTuple):
    """The true difference [points] that is marked four times in five with each number of seeds, and the noise's source.

    `needed` is the least number that finds what is asked for; None if `MOST` do not.
    """

    detectable: dict[int, float]
    needed: int | None
    source: str


def expected(points: float, items: Sequence[int], rows: int) -> Resolution:
    """Before any cell exists: benchmarks of so many items, `rows` compared with the baseline, the sandbox's noise."""
    sizes = {seeds: expected_difference(items, rows, seeds) for seeds in range(LEAST, MOST + 1)}
    noise = (
        f"runs differ by {RUN_SD} points in Avg, and another row answers {100 * DIFFERENT:.0f} % of items differently"
    )
    source = f"Assumed: the noise of the sandbox's three seeds ({noise}). Yours may be twice or half of that"
    return _resolution(points, sizes, f"{source}: --results reads it from a finished grid.")


def measured(points: float, root: Path) -> Resolution:
    """From the noise of a finished experiment's own cells, the worst of its models and budgets."""
    path = root / layout.DELTAS
    if not path.exists():
        raise PrunegridError(root, f"no {layout.DELTAS} there", f"write it with `prunegrid table {root}`")
    frame = deltas.read(path)
    rows = frame[frame["benchmark"] == AVERAGE]
    if rows.empty or rows["n_seeds"].min() < LEAST:
        problem = f"has differences over fewer than {LEAST} seeds, which do not show how much runs differ"
        raise PrunegridError(root, problem, f"give results with {LEAST} seeds, or --items instead")
    sizes = {seeds: float(detectable(rows, seeds=seeds)["mde"].max(skipna=False)) for seeds in range(LEAST, MOST + 1)}
    if any(map(isnan, sizes.values())):
        raise PrunegridError(root, "does not show the noise of all its differences", "give --items instead")
    return _resolution(points, sizes, f"Noise: measured in {root}, over {int(rows['n_seeds'].min())} seeds.")


def _resolution(points: float, sizes: dict[int, float], source: str) -> Resolution:
    return Resolution(sizes, next((seeds for seeds, size in sizes.items() if size <= points), None), source)


def shown(resolution: Resolution) -> list[int]:
    """The numbers of seeds worth showing: the least, the usual, and what is needed."""
    return sorted({LEAST, 5, 10, resolution.needed or MOST})
