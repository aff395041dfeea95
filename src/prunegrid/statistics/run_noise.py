"""How much a score changes from one training run to the next: estimated over all rows of a table, moderated.

Three seeds give a row's variance two degrees of freedom: hopeless alone. But the rows of a table were trained in the
same way, and each was asked several benchmarks. So:

1. Seeds and rows are a randomized block design: residuals of score = row + seed give each benchmark a pooled variance
   with (W - 1)(S - 1) degrees of freedom.
2. Each row has one factor by which its runs are noisier: the weighted mean over benchmarks of its own variance by the
   pooled one. A benchmark weighs as much as its noise is the runs' own and not that of answers, which binomial
   luck makes alike in all rows.
3. Factors are moderated by empirical Bayes: each is drawn to their centre, the more the less they differ beyond chance
   (Smyth 2004, Statistical Applications in Genetics and Molecular Biology 3:3, section 6.2: limma's `fitFDist`).
4. A row whose factor lies above that by more than chance (F test at 15 %) keeps its own, with its own degrees of
   freedom: one noisy row among quiet ones must not be found for its noise.

Degrees of freedom never exceed the pool's. One row and its baseline: all this is the variance of their differences,
with S - 1. docs/explanation/trust.md has the simulations by which this was chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from scipy import special

from prunegrid.core.ragged import Floats

GUARD = 0.15
LARGE = 1e6  # degrees of freedom that stand for infinitely many
TINY = 1e-12


@dataclass(frozen=True)
class Column:
    """Scores in points of one benchmark or average [E, S], NaN where a seed is missing.

    `answer_variance`: the part of a score's variance that belongs to an item and a seed.
    """

    scores_ES: Floats
    answer_variance: float
    is_average: bool = False


@dataclass(frozen=True)
class RunNoise:
    """Variance of a score from run to run [E], in points squared, and its degrees of freedom [E]."""

    variance_E: Floats
    df_E: Floats


@dataclass(frozen=True)
class _Residuals:
    """Of rows and seeds [E, S], 0 where a seed is missing; degrees of freedom of each row [E] and of the pool."""

    residual_ES: Floats
    df_E: Floats
    pooled_df: float

    @property
    def own_E(self) -> Floats:
        """Each row's own variance; 0 where it has no degrees of freedom."""
        squares_E: Floats = (self.residual_ES**2).sum(axis=1)
        return squares_E / np.where(self.df_E > 0, self.df_E, inf)

    @property
    def pooled(self) -> float:
        return float((self.residual_ES**2).sum() / self.pooled_df) if self.pooled_df > 0 else 0.0


def run_noise(columns: Sequence[Column], *, blocks: bool = True) -> list[RunNoise]:
    """Each column's noise, in the order given: rows in the same order everywhere, averages beside the benchmarks.

    `blocks`: seeds are common to the rows, and what a seed does to all of them cancels from every difference.
    """
    parts = [_residuals(column.scores_ES, blocks) for column in columns]
    shares = np.array([_run_share(part, column) for part, column in zip(parts, columns, strict=True)])
    single = [index for index, column in enumerate(columns) if not column.is_average] or list(range(len(columns)))
    used = [index for index in single if parts[index].pooled > TINY]
    if not used:
        return [
            RunNoise(np.full(len(part.df_E), part.pooled), np.full(len(part.df_E), part.pooled_df)) for part in parts
        ]
    weights = shares[used] ** 2 + 1e-3
    weights = weights / weights.sum()
    factor_E, df_E = moderated(*_factors([parts[index] for index in used], weights), parts[used[0]].pooled_df)
    centre = float(weights @ shares[used])
    return [_scaled(part, share, centre, factor_E, df_E) for part, share in zip(parts, shares, strict=True)]


def moderated(factor_E: Floats, df_E: Floats, pooled_df: float) -> tuple[Floats, Floats]:
    """Factors drawn to their centre, except such as lie above it by more than chance; and degrees of freedom.

    A factor without degrees of freedom is the centre.
    """
    known_E = df_E > 0
    prior_df, centre = prior(factor_E[known_E], df_E[known_E])
    mean_E = (prior_df * centre + df_E * factor_E) / (prior_df + df_E)
    noisy_E = (special.fdtrc(np.where(known_E, df_E, 1), min(prior_df, pooled_df), factor_E / centre) < GUARD) & known_E
    noisy_E &= factor_E > mean_E
    total_E = np.where(noisy_E, df_E, prior_df + df_E)
    return np.where(noisy_E, factor_E, mean_E), np.minimum(total_E, pooled_df)


def prior(variance_E: Floats, df_E: Floats) -> tuple[float, float]:
    """Degrees of freedom and scale of the scaled inverse chi-squared that variances were drawn from (Smyth 2004).

    Moments of log variances: their variance beyond the chi-squared's gives the degrees of freedom.
    """
    if len(variance_E) < 2:
        return LARGE, float(variance_E.mean())
    half_E = df_E / 2
    logs_E = np.log(np.maximum(variance_E, TINY)) - special.digamma(half_E) + np.log(half_E)
    excess = logs_E.var(ddof=1) - special.polygamma(1, half_E).mean()
    if excess < 1e-5:
        return LARGE, float((df_E * variance_E).sum() / df_E.sum())
    half = _inverse_trigamma(excess)
    return 2 * half, float(np.exp(logs_E.mean() + special.digamma(half) - np.log(half)))


def _residuals(scores_ES: Floats, blocks: bool) -> _Residuals:
    """Least squares over the cells that are there."""
    present_ES = ~np.isnan(scores_ES)
    row_P, seed_P = np.nonzero(present_ES)
    design = np.eye(len(scores_ES))[row_P]
    if blocks:
        design = np.hstack([design, np.eye(scores_ES.shape[1])[seed_P]])
    hat = design @ np.linalg.pinv(design)
    residual_ES, free_ES = np.zeros(scores_ES.shape), np.zeros(scores_ES.shape)
    values_P = scores_ES[present_ES]
    residual_ES[present_ES] = values_P - hat @ values_P
    free_ES[present_ES] = np.maximum(0, 1 - np.diagonal(hat))
    df_E = np.where(free_ES.sum(axis=1) > 1e-6, free_ES.sum(axis=1), 0)
    return _Residuals(residual_ES, df_E, float(round(df_E.sum(), 9)))


def _run_share(part: _Residuals, column: Column) -> float:
    """Which part of the pooled variance is the runs' own, 0 to 1."""
    return max(0.0, 1 - column.answer_variance / part.pooled) if part.pooled > TINY else 0.0


def _factors(parts: Sequence[_Residuals], weights: Floats) -> tuple[Floats, Floats]:
    """Each row's factor [E] and its degrees of freedom: fewer where a run's luck is common to the benchmarks."""
    own_BE = np.stack([part.own_E / part.pooled for part in parts])
    df_BE = np.stack([part.df_E for part in parts])
    weight_BE = np.where(df_BE > 0, weights[:, None], 0)
    total_E = weight_BE.sum(axis=0)
    weight_BE = weight_BE / np.where(total_E > 0, total_E, 1)
    flat_BP = np.stack([part.residual_ES.ravel() for part in parts])
    size_B = np.sqrt((flat_BP**2).sum(axis=1))
    common_BB = (flat_BP @ flat_BP.T / np.outer(size_B, size_B)) ** 2
    # the variance of a weighted mean of chi-squared variances by their degrees of freedom, with these correlations
    spread_BE = weight_BE / np.sqrt(np.where(df_BE > 0, df_BE, 1))
    inverse_E = np.einsum("be,ce,bc->e", spread_BE, spread_BE, common_BB)
    return (weight_BE * own_BE).sum(axis=0), np.where(total_E > 0, 1 / np.where(inverse_E > 0, inverse_E, 1), 0)


def _scaled(part: _Residuals, share: float, centre: float, factor_E: Floats, df_E: Floats) -> RunNoise:
    """A column's variances: a row's factor acts on the runs' own share of the noise."""
    slope = min(share / centre, 1 / share) if share > 0 and centre > 0 else 0.0
    multiple_E = np.maximum(1 + (factor_E - 1) * slope, 0.05)
    return RunNoise(part.pooled * multiple_E, np.minimum(df_E, part.pooled_df))


def _inverse_trigamma(value: float) -> float:
    """Newton's method on 1/trigamma, which is nearly a line (Smyth 2004, appendix)."""
    x = 0.5 + 1 / value
    for _ in range(50):
        ratio = special.polygamma(1, x)
        step = ratio * (1 - ratio / value) / special.polygamma(2, x)
        x += step
        if -step / x < 1e-8:
            break
    return float(x)
