"""The smallest true difference that a table finds: the power of the corrected test that makes its marks.

A row is marked if its p-value lies below the family's `level` (`statistics.families`): the p-value that the smallest
of a family of true nulls goes below in 5 % of tables. So a single true difference among its rows is found by a t test
at that level, with the standard error and Satterthwaite's degrees of freedom that the row has: the noncentral t of
statsmodels' `TTestPower`, with which the tests compare it.
"""

from collections.abc import Sequence
from math import nan, sqrt
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, special

from prunegrid.statistics.inference import ALPHA, Noise, critical_value

POWER = 0.8
NORMAL_DF = 1e5  # beyond this, t is normal to all digits that are shown
NODES = 1000
GROUP = ("model", "sample_ratio", "token_ratio")
NOISE = ("item_se", "item_df", "run_se", "run_df", "both_se")


def detectable(frame: pd.DataFrame, keys: Sequence[str] = GROUP, seeds: int | None = None) -> pd.DataFrame:
    """The minimum detectable effect `mde` [points]: a row per group (of equal `keys`), benchmark and number of seeds.

    Its noise is that of the group's median row, its `level` that of the correction, `n_family` the rows corrected
    together. Fewer than three seeds are not tested: `level` is then 5 %, and `n_family` null; one seed has item noise
    only. `seeds`: what that many would find. Null where the noise is unknown or zero.
    """
    columns = [*keys, "benchmark", "n_seeds"]
    rows = [
        dict(zip(columns, group, strict=True)) | {"n_contrasts": len(part)} | _median_row(part, seeds)
        for group, part in frame.groupby(columns, sort=False, dropna=False)
    ]
    return pd.DataFrame(rows, columns=[*columns, "n_contrasts", "se", "df", "level", "n_family", "mde"])


def _median_row(part: pd.DataFrame, seeds: int | None) -> dict[str, Any]:
    now = int(part["n_seeds"].iloc[0])
    noise = Noise(*(float(part[name].median()) for name in NOISE))
    if now == 1:
        noise = Noise(noise.item_se, noise.item_df)
    elif seeds:
        noise = with_seeds(noise, now, seeds)
    level = float(part["level"].median())
    level = ALPHA if np.isnan(level) else level
    found = {"se": noise.se, "df": noise.df} if not np.isnan(noise.se) else {"se": nan, "df": nan}
    return found | {"level": level, "n_family": part["n_family"].median(), "mde": mde(noise.se, found["df"], level)}


def with_seeds(noise: Noise, now: int, seeds: int) -> Noise:
    """The noise over `seeds` seeds, given that over `now`: all but the items' own falls with their number.

    Degrees of freedom of the runs' variance grow with the seeds that it is taken from.
    """
    part = now / seeds
    both = noise.both_se**2
    items = max(0.0, noise.item_se**2 - both)
    run_df = noise.run_df * (seeds - 1) / (now - 1)
    return Noise(sqrt(items + part * both), noise.item_df, sqrt(part) * noise.run_se, run_df, sqrt(part * both))


def with_repeats(noise: Noise, draw_se: float, factor: float) -> Noise:
    """The noise with `factor` times the answers to each item: of the items' own noise, only that of the draws falls."""
    items = max(0.0, noise.item_se**2 - draw_se**2 * (1 - 1 / factor))
    return Noise(sqrt(items), noise.item_df, noise.run_se, noise.run_df, noise.both_se)


def mde(se: float, df: float, level: float = ALPHA) -> float:
    """The effect [points] with a power of 80 %; NaN if the noise is unknown or zero."""
    if np.isnan(se) or se == 0:
        return nan
    certain = 10 * critical_value(df, level)  # an effect that is always found, in multiples of the noise
    return se * float(optimize.brentq(lambda effect: power(effect, 1, df, level) - POWER, 0, certain))


def power(effect: float, se: float, df: float, level: float = ALPHA) -> float:
    """The probability that a t test at `level` finds a true difference of `effect` points.

    The normal's power averaged over the chi-squared distribution of the variance (midpoints of 1000 quantiles): the
    noncentral t, whose distribution function in scipy ends in NaN for large effects.
    """
    spread = 2 * special.gammaincinv(df / 2, (np.arange(NODES) + 0.5) / NODES) / df if df < NORMAL_DF else np.ones(1)
    limit, shift = critical_value(df, level) * np.sqrt(spread), abs(effect) / se
    return float((special.ndtr(shift - limit) + special.ndtr(-shift - limit)).mean())
