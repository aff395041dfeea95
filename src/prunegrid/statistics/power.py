"""The smallest true difference that a comparison of this size would find: power of the interval for both noises.

`detectable(deltas frame)` gives the effect, in points, that a two-sided test at 5 % finds with 80 % power: a single
comparison, before Holm's correction.
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


def detectable(frame: pd.DataFrame, by: Sequence[str] = ("model", "sample_ratio", "token_ratio")) -> pd.DataFrame:
    """The minimum detectable effect `mde` [points], a row per group, benchmark and number of paired seeds.

    Its noise is that of the group's median row: `item_se` and `item_df` as they are, `seed_se` corrected for the
    median of a sample variance, which lies below its mean (0.69 of it for three seeds). One seed: item noise only,
    `seed_se` is null. `by=()` takes all contrasts of a benchmark together. Without item noise: null.
    """
    rows = [
        dict(zip((*by, "benchmark", "n_seeds"), place, strict=True)) | {"n_contrasts": len(part)} | _median_noise(part)
        for place, part in frame.groupby([*by, "benchmark", "n_seeds"], sort=False, dropna=False)
    ]
    return pd.DataFrame(rows, columns=[*by, "benchmark", "n_seeds", "n_contrasts", *NOISE, "mde"])


NOISE = ("item_se", "item_df", "seed_se")


def _median_noise(part: pd.DataFrame) -> dict[str, Any]:
    n = int(part["n_seeds"].iloc[0])
    item_se, item_df = float(part["item_se"].median()), float(part["item_df"].median())
    seed_se = nan
    if n > 1:
        typical = 2 * special.gammaincinv((n - 1) / 2, 0.5) / (n - 1)
        seed_se = float(part["seed_sd"].median()) / sqrt(n * typical)
    return {"item_se": item_se, "item_df": item_df, "seed_se": seed_se, "mde": mde(item_se, item_df, seed_se, n)}


def mde(item_se: float, item_df: float, seed_se: float, n: int) -> float:
    """The effect [points] with a power of 80 %; NaN where the noise is unknown or nothing varies. One seed: items."""
    noise = np.hypot(item_se, seed_se) if n > 1 else item_se
    if np.isnan(noise) or noise == 0:
        return nan
    return float(
        optimize.brentq(lambda x: power(x, item_se, item_df, seed_se, n) - POWER, 0, _most(item_df, n) * noise)
    )


def power(effect: float, item_se: float, item_df: float, seed_se: float, n: int) -> float:
    """The chance that the interval for both noises leaves out zero, for a true difference of `effect` points.

    The seeds' sample variance is averaged over its chi-squared distribution (midpoints of 1000 quantiles); that of
    the items, with many more degrees of freedom, is taken as known. Without item noise this is the power of the paired
    t test, which statsmodels solves by the noncentral t (`TTestPower`); without seed noise, of the z test
    (`NormalIndPower`): the tests compare them. Neither has the mixture.
    """
    if n == 1:
        half, noise = np.array([critical_value(item_df, ALPHA) * item_se]), item_se
    else:
        variance_K = 2 * special.gammaincinv((n - 1) / 2, (np.arange(NODES) + 0.5) / NODES) / (n - 1)
        seeds = critical_value(n - 1, ALPHA) * seed_se * np.sqrt(variance_K)
        half, noise = np.hypot(critical_value(item_df, ALPHA) * item_se, seeds), np.hypot(item_se, seed_se)
    return float((special.ndtr((effect - half) / noise) + special.ndtr((-effect - half) / noise)).mean())


def _most(item_df: float, n: int) -> float:
    """An effect that is always found, in multiples of the noise."""
    return 10 * (critical_value(item_df, ALPHA) + (critical_value(n - 1, ALPHA) if n > 1 else 0))
