"""Bootstrap intervals for a share minus what chance would give (`prunegrid.audit.measure` calls it).

Samples of the training set are resampled, the same ones for every base model. So an interval says how far the mean over
*these* models could lie from chance with other samples of the same kinds. It does not cover other base models, other
pruning seeds, or pruners run again on the resampled data.
"""

from dataclasses import dataclass
from math import erfc, sqrt

import numpy as np

from prunegrid.core.ragged import Floats, Ints
from prunegrid.statistics.bootstrap import MIN_CLUSTERS, RESAMPLES, cluster_sums, cluster_weights


@dataclass(frozen=True)
class Counts:
    """Per base model and sample [M, N]: share = sum(part) / sum(whole), chance = sum(by_chance) / sum(out_of)."""

    part: Floats
    whole: Floats
    by_chance: Floats
    out_of: Floats

    @property
    def columns(self) -> Floats:
        return np.stack([self.part, self.whole, self.by_chance, self.out_of])


@dataclass(frozen=True)
class Estimate:
    """Fractions. `share` and `chance` are per base model [M]; `low`, `high` the 95 % percentile interval of the mean
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
    def models_agree(self) -> bool:
        """Whether all base models lie on the same side of chance."""
        return bool(np.isin(np.sign(self.share - self.chance).sum(), (-len(self.share), len(self.share))))


class Bootstrap:
    """The weights of resampled clusters [J, U], drawn once. Exact copies of a sample are one cluster."""

    def __init__(self, cluster_N: Ints, resamples: int = RESAMPLES, seed: int = 0) -> None:
        self.cluster_N = cluster_N
        self.weights_JU = np.concatenate(list(cluster_weights(int(cluster_N.max()) + 1, resamples, seed)))

    def estimate(self, counts: Counts) -> Estimate:
        """The shares, and the interval unless the samples of some model are of fewer than 10 clusters."""
        sums = np.stack([cluster_sums(column_MN, self.cluster_N) for column_MN in counts.columns])
        share, chance = _shares(sums.sum(axis=2))
        if (np.count_nonzero(sums[1], axis=1) < MIN_CLUSTERS).any():
            return Estimate(share, chance)
        share_MJ, chance_MJ = _shares(sums @ self.weights_JU.T)
        means_J = (share_MJ - chance_MJ).mean(axis=0)
        low, high = np.nanquantile(means_J, [0.025, 0.975])
        return Estimate(share, chance, low, high, _p_value((share - chance).mean(), np.nanstd(means_J)))


def _shares(sums: Floats) -> tuple[Floats, Floats]:
    """(share, chance) of sums [4, ...]; NaN if the whole is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums[0] / sums[1], sums[2] / sums[3]


def _p_value(difference: float, error: float) -> float:
    if error < 1e-12:
        return float(abs(difference) < 1e-12)
    return erfc(abs(difference) / error / sqrt(2))
