"""The part of item noise that other draws of the same items would change, where answers are sampled several times.

An item's value is the mean over its K answers, so the variance of a difference over items contains that of the draws:
the intervals cover both. Here it is split. With d the difference of two models' j-th answers to item i, averaged over
their seeds, the draws' variance of the mean over I items is the sum over i of var_j(d) / K, by I^2. Answers are paired
by their number j: models answer with the same random numbers, so that their luck is alike, and the pairs' variance
counts only what differs. Independent answers may be paired, too: the estimate stays unbiased.
"""

from math import nan, sqrt

import numpy as np

from prunegrid.core.ragged import Floats


def deviations(answers_KI: Floats) -> Floats:
    """Of each answer's value from its item's mean [K, I]."""
    result: Floats = answers_KI - answers_KI.mean(axis=0)
    return result


def fixed(items: int) -> Floats:
    """The deviations of answers that are not drawn [1, I]."""
    return np.zeros((1, items))


def draw_se(variant: list[Floats | None], baseline: list[Floats | None]) -> float:
    """Standard error in points of other draws, from each seed's deviations [K, I] on both sides.

    NaN if a side's are unknown (None), or if answers are of different numbers.
    """
    sides = variant, baseline
    known = [array for array in (*variant, *baseline) if array is not None]
    numbers = {len(array) for array in known} - {1}
    if len(known) < len(variant) + len(baseline) or len(numbers) > 1:
        return nan
    if not numbers:
        return 0.0
    answers = numbers.pop()
    sums = [
        sum(np.broadcast_to(array, (answers, array.shape[1])) for array in side if array is not None) for side in sides
    ]
    mean_KI = np.asarray(sums[0]) / len(variant) - np.asarray(sums[1]) / len(baseline)
    variance = float((mean_KI**2).sum()) / (answers - 1) / answers
    return float(100 * sqrt(variance) / mean_KI.shape[1])
