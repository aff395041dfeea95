"""The noise of runs in a ladder's decomposition: of each cell's scores, as far as a number reads them.

A number reads some columns of a cell with some weights: its *pattern*. Two decodings of one model are read together:
what training did to both is the same. Each pattern's variance is estimated over all of the ladder's rows, as an average
beside the benchmarks is.
"""

from collections.abc import Hashable, Mapping, Sequence
from math import nan, sqrt

import numpy as np

from prunegrid.core.ragged import Floats
from prunegrid.statistics.families import Comparison, run_noises
from prunegrid.statistics.ladder_answers import Answers, effect
from prunegrid.statistics.ladder_terms import Source, Term, Weights

Pattern = tuple[tuple[str, float], ...]
"""Columns with weights, the largest of which is 1."""
Loads = Mapping[tuple[str, Pattern], tuple[float, float]]
"""By variant and pattern: the standard deviation that it brings to one seed's number, with a sign; and its df."""
Noises = Mapping[Pattern, Mapping[Hashable, tuple[float, float]]]
"""By pattern and variant: the variance of one run, in points squared, and its degrees of freedom."""


def pattern_noises(terms: Sequence[Term], answers_of: Mapping[str, Answers], seeds: Sequence[int]) -> Noises:
    """The noise of every pattern that the terms have, in a benchmark or in the mean over all."""
    home = {column: name for name, answers in answers_of.items() for column in answers.columns}
    scopes = [[name] for name in answers_of] + [list(answers_of)]
    used = [_patterns({b: term.weights[b] for b in scope}) for term in terms for scope in scopes]
    patterns: set[Pattern] = {((column, 1.0),) for column in home}
    patterns |= {pattern for each in used for _, pattern in each.values()}
    keys = {str(pattern): pattern for pattern in sorted(patterns)}
    scores = {key: _scores(pattern, home, answers_of, seeds) for key, pattern in keys.items()}
    columns = {key: _comparisons(pattern, home, scores[key], answers_of) for key, pattern in keys.items()}
    averages = [key for key, pattern in keys.items() if len(pattern) > 1]
    return {keys[key]: noises for key, noises in run_noises(columns, scores, averages).items()}


def _scores(
    pattern: Pattern, home: Mapping[str, str], answers_of: Mapping[str, Answers], seeds: Sequence[int]
) -> dict[str, dict[int | None, float]]:
    """What the pattern is of each run whose cells are there, in points."""
    variants = sorted({variant for answers in answers_of.values() for variant, _, _ in answers.values})
    scores: dict[str, dict[int | None, float]] = {}
    for variant in variants:
        for seed in seeds:
            parts = [
                weight * answers_of[home[column]].values[variant, column, seed].mean()
                for column, weight in pattern
                if (variant, column, seed) in answers_of[home[column]].values
            ]
            if len(parts) == len(pattern):
                scores.setdefault(variant, {})[seed] = 100 * float(sum(parts))
    return scores


def _comparisons(
    pattern: Pattern,
    home: Mapping[str, str],
    scores: Mapping[str, Mapping[int | None, float]],
    answers_of: Mapping[str, Answers],
) -> list[Comparison]:
    """Each variant against the one with the most seeds: they tell the noise that belongs to an item and a seed."""
    result: list[Comparison] = []
    baseline = max(scores, key=lambda variant: len(scores[variant]), default="")
    for variant in scores:
        seeds = [seed for seed in scores[variant] if seed is not None and seed in scores[baseline]]
        if variant == baseline or not seeds:
            continue
        weights: dict[str, dict[Source, float]] = {}
        size = len({home[column] for column, _ in pattern})
        for column, weight in pattern:
            sources = weights.setdefault(home[column], {})
            sources |= {(variant, column): size * weight, (baseline, column): -size * weight}
        result.append(Comparison(variant, baseline, effect(answers_of, weights, seeds)))
    return result


def _patterns(weights: Weights) -> dict[str, tuple[float, Pattern]]:
    """Of each variant in the mean over benchmarks: the largest weight, and its columns with weights relative to it."""
    by_variant: dict[str, dict[str, float]] = {}
    for sources in weights.values():
        for (variant, column), weight in sources.items():
            by_variant.setdefault(variant, {})[column] = weight / len(weights)
    result = {}
    for variant, columns in by_variant.items():
        scale = max(columns.values(), key=abs)
        result[variant] = (scale, tuple(sorted((name, round(weight / scale, 9)) for name, weight in columns.items())))
    return result


def loads(weights: Weights, noises: Noises) -> Loads | None:
    """What each cell's runs bring to one seed's number; None where the noise of one is unknown."""
    result = {}
    for variant, (scale, pattern) in _patterns(weights).items():
        if variant not in noises[pattern]:
            return None
        variance, df = noises[pattern][variant]
        result[variant, pattern] = (scale * sqrt(variance), df)
    return result


def variance(parts: Loads) -> tuple[float, float]:
    """Of one seed's number, and its degrees of freedom. All lean on the same pool: errors are fully dependent."""
    total = sum(load**2 for load, _ in parts.values())
    if not total > 0 or any(not df > 0 for _, df in parts.values()):
        return (0.0 if total == 0 else nan), min((df for _, df in parts.values()), default=1.0) or 1.0
    return total, (total / sum(load**2 / sqrt(df) for load, df in parts.values())) ** 2


def correlation(every: Sequence[Loads]) -> Floats:
    """Of the runs' parts of numbers [W, W]: through the cells that two of them read in the same columns."""
    keys = {key: index for index, key in enumerate(dict.fromkeys(key for parts in every for key in parts))}
    load_WE = np.zeros((len(every), len(keys)))
    for row, parts in enumerate(every):
        for key, (load, _) in parts.items():
            load_WE[row, keys[key]] = load
    size_W = np.sqrt((load_WE**2).sum(axis=1))
    load_WE /= np.where(size_W > 0, size_W, 1)[:, None]
    matrix: Floats = load_WE @ load_WE.T
    return matrix
