"""The minimum detectable effect of a comparison of this size: power of the interval for both noises.

`detectable(deltas frame)` gives the true difference, in points, that a two-sided test at 5 % detects with 80 % power:
in a single comparison, before Holm's correction.
"""

from collections.abc import Sequence
from math import nan, sqrt
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, special

from prunegrid.statistics.inference import ALPHA, critical_value

POWER = 0.8
NODES = 1000


NOISE = ("item_se", "item_df", "seed_se")


def detectable(
    frame: pd.DataFrame, keys: Sequence[str] = ("model", "sample_ratio", "token_ratio"), seeds: int | None = None
) -> pd.DataFrame:
    """The minimum detectable effect `mde` [points]: a row per group (of equal `keys`), benchmark and number of seeds.

    Its noise is that of the group's median row: `item_se` and `item_df` as they are, `seed_se` corrected for the
    median of a sample variance, which lies below its mean (0.69 of it for three seeds). One seed: item noise only,
    `seed_se` is null. `keys=()` groups all contrasts of a benchmark. Without item noise: null. `seeds`: what that many
    would detect, with the same spread.
    """
    columns = [*keys, "benchmark", "n_seeds"]
    rows = [
        dict(zip(columns, group, strict=True)) | {"n_contrasts": len(part)} | _median_noise(part, seeds)
        for group, part in frame.groupby(columns, sort=False, dropna=False)
    ]
    return pd.DataFrame(rows, columns=[*columns, "n_contrasts", *NOISE, "mde"])


def _median_noise(part: pd.DataFrame, seeds: int | None) -> dict[str, Any]:
    n = int(part["n_seeds"].iloc[0])
    item_se, item_df = float(part["item_se"].median()), float(part["item_df"].median())
    seed_se = nan
    if n > 1:
        # the median of a sample variance as a fraction of its mean
        ratio = 2 * special.gammaincinv((n - 1) / 2, 0.5) / (n - 1)
        seed_se = float(part["seed_sd"].median()) / sqrt((seeds or n) * ratio)
        n = seeds or n
    return {"item_se": item_se, "item_df": item_df, "seed_se": seed_se, "mde": mde(item_se, item_df, seed_se, n)}


def mde(item_se: float, item_df: float, seed_se: float, n: int) -> float:
    """The effect [points] with a power of 80 %; NaN if the noise is unknown or zero. One seed: item noise only."""
    noise = np.hypot(item_se, seed_se) if n > 1 else item_se
    if np.isnan(noise) or noise == 0:
        return nan

    def excess(effect: float) -> float:
        return power(effect, item_se, item_df, seed_se, n) - POWER

    # an effect that is always detected, in multiples of the noise
    certain = 10 * (critical_value(item_df, ALPHA) + (critical_value(n - 1, ALPHA) if n > 1 else 0))
    return float(optimize.brentq(excess, 0, certain * noise))


def power(effect: float, item_se: float, item_df: float, seed_se: float, n: int) -> float:
    """The probability that the interval for both noises excludes zero, for a true difference of `effect` points.

    The seeds' sample variance is averaged over its chi-squared distribution (midpoints of 1000 quantiles); that of
    the items, with many more degrees of freedom, is taken as known. Without item noise this is the power of the paired
    t test, which statsmodels solves by the noncentral t (`TTestPower`); without seed noise, of the z test
    (`NormalIndPower`): the tests compare them. Neither has the mixture.
    """
    if n == 1:
        half, noise = np.array([critical_value(item_df, ALPHA) * item_se]), item_se
    else:
        variances = 2 * special.gammaincinv((n - 1) / 2, (np.arange(NODES) + 0.5) / NODES) / (n - 1)
        seeds = critical_value(n - 1, ALPHA) * seed_se * np.sqrt(variances)
        half, noise = np.hypot(critical_value(item_df, ALPHA) * item_se, seeds), np.hypot(item_se, seed_se)
    return float((special.ndtr((effect - half) / noise) + special.ndtr((-effect - half) / noise)).mean())
