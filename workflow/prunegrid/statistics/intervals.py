"""Bootstrap intervals for a share minus what chance would give, and Holm's correction.

What is resampled are items (samples of the training set), the same ones for every base model. So an interval says
how far the mean over *these* models could lie from chance with other items of the same kinds. It does not cover
other base models, other pruning seeds, or pruners run again on the resampled data.
"""

from dataclasses import dataclass
from math import erfc, sqrt

import numpy as np
from numpy.typing import NDArray

from prunegrid.pruners.ragged import Floats, Ints

RESAMPLES = 4000
FEWEST = 10


@dataclass(frozen=True)
class Counts:
    """Per base model and sample [S, n]: share = sum(part) / sum(whole), chance = sum(by_chance) / sum(out_of)."""

    part: Floats
    whole: Floats
    by_chance: Floats
    out_of: Floats

    @property
    def columns(self) -> Floats:
        return np.stack([self.part, self.whole, self.by_chance, self.out_of])


@dataclass(frozen=True)
class Estimate:
    """Fractions. `share` and `chance` are per base model [S]; `low`, `high` the 95 % percentile interval of the mean
    difference, `p` its two-sided p-value (normal, with the bootstrap's standard error). NaN: too few samples."""

    share: Floats
    chance: Floats
    low: float = np.nan
    high: float = np.nan
    p: float = np.nan

    @property
    def difference(self) -> float:
        return float((self.share - self.chance).mean())

    @property
    def agree(self) -> bool:
        """Whether all base models lie on the same side of chance."""
        return bool(np.isin(np.sign(self.share - self.chance).sum(), (-len(self.share), len(self.share))))


class Bootstrap:
    """Weights of resampled clusters [B, C], drawn once. Exact copies of a sample are one cluster."""

    def __init__(self, cluster_n: Ints, resamples: int = RESAMPLES, seed: int = 0) -> None:
        self.cluster_n = cluster_n
        number = int(cluster_n.max()) + 1
        rng = np.random.default_rng(seed)
        self.weights_BC = rng.multinomial(number, np.full(number, 1 / number), resamples).astype(np.float64)

    def estimate(self, counts: Counts) -> Estimate:
        """The shares as they are, and the interval unless some model has samples of fewer than 10 clusters."""
        sums = np.stack([[self._by_cluster(values_n) for values_n in column] for column in counts.columns])
        share, chance = _shares(sums.sum(axis=2))
        if (np.count_nonzero(sums[1], axis=1) < FEWEST).any():
            return Estimate(share, chance)
        share_SB, chance_SB = _shares(sums @ self.weights_BC.T)
        means_B = (share_SB - chance_SB).mean(axis=0)
        low, high = np.nanquantile(means_B, [0.025, 0.975])
        return Estimate(share, chance, low, high, _p_value((share - chance).mean(), np.nanstd(means_B)))

    def _by_cluster(self, values_n: Floats) -> Floats:
        return np.bincount(self.cluster_n, values_n, self.weights_BC.shape[1]).astype(np.float64)


def _shares(sums: Floats) -> tuple[Floats, Floats]:
    """(share, chance) of sums [4, ...]; NaN where there is nothing to take a share of."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums[0] / sums[1], sums[2] / sums[3]


def _p_value(difference: float, error: float) -> float:
    if error < 1e-12:
        return float(abs(difference) < 1e-12)
    return erfc(abs(difference) / error / sqrt(2))


def holm(p_values: NDArray[np.floating]) -> Floats:
    """Holm's adjusted p-values (Holm 1979); NaN is left out and stays NaN."""
    adjusted = np.full(len(p_values), np.nan)
    there = np.flatnonzero(~np.isnan(p_values))
    order = there[np.argsort(p_values[there])]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(factors * p_values[order]))
    return adjusted
