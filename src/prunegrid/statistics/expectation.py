"""What a table would find before any of its cells exists: with the noise of the sandbox's three seeds.

That noise is an assumption for any other grid, and `prunegrid plan` says so.
"""

from collections.abc import Sequence
from math import sqrt

from prunegrid.experiment.config import Experiment
from prunegrid.experiment.names import AVERAGE
from prunegrid.experiment.seed_rule import SeedRule, parse
from prunegrid.statistics.inference import ALPHA, Noise
from prunegrid.statistics.power import mde

RUN_SD = 1.1  # points: of an average over benchmarks, from run to run
DIFFERENT = 0.2  # of the items, answered otherwise by another row's run
OWN_RUN = 5 / 6  # of that, the part that another run of the same row would answer otherwise
KNOWN = 0.5  # degrees of freedom of a row's run variance, of those in its column


def expected_difference(items: Sequence[int], rows: int, seeds: int) -> float:
    """The true difference in Avg [points] that is marked four times in five, for benchmarks of so many items."""
    answers = DIFFERENT * 100**2 * sum(1 / count for count in items) / len(items) ** 2
    both = answers * OWN_RUN / seeds
    item_se = sqrt(answers * (1 - OWN_RUN) + both)
    noise = Noise(item_se, sum(items), RUN_SD * sqrt(2 / seeds), max(1, KNOWN * rows) * (seeds - 1), sqrt(both))
    return mde(noise.se, noise.df, 1 - (1 - ALPHA) ** (1 / rows))


def sentence(experiment: Experiment, items: Sequence[int]) -> str:
    """What the numbers of seeds that the rule allows would find."""
    assert experiment.seed_rule is not None
    rule, rows = parse(experiment.seed_rule), max(1, len(experiment.variants) - 1)
    detectable = {seeds: expected_difference(items, rows, seeds) for seeds in range(rule.least, rule.most + 1)}
    enough = next((seeds for seeds, points in detectable.items() if points <= rule.detect), None)
    shown = sorted({rule.least, *([enough] if enough else []), rule.most})
    sizes = ", ".join(f"{seeds} {detectable[seeds]:.1f}" for seeds in shown)
    return (
        f"With noise like the sandbox's (assumed: runs {RUN_SD} points, {100 * DIFFERENT:.0f} % of the answers), seeds "
        f"would find these differences in {AVERAGE}, points: {sizes}; {_enough(rule, enough)}."
    )


def _enough(rule: SeedRule, enough: int | None) -> str:
    return f"{rule.detect:g} would take {enough}" if enough else f"{rule.detect:g} would take more than {rule.most}"
