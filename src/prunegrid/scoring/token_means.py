"""Scores of samples that are means over the response of a function of its tokens' scores: no model runs again.

They are made of the stored scores, or of a mini-batch's under the weights of the moment.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunegrid.core.ragged import Floats, Ints

TokenColumns = Mapping[str, NDArray[np.floating[Any]]]


def mean_error(tokens: TokenColumns, vocabulary: int) -> Floats:
    """1 - p [T] of the token that was written: the error of its probability.

    EL2N (Paul et al., Deep Learning on a Data Diet, NeurIPS 2021) is the length of the vector p - y over the whole
    vocabulary, which is between this and sqrt(2) times this.
    """
    error: Floats = -np.expm1(-tokens["nll"].astype(np.float64))
    return error


def upd(tokens: TokenColumns, vocabulary: int) -> Floats:
    """Uncertainty-based prediction difficulty [T] (Zhang et al., D3, 2025, arXiv 2503.11441):
    sigmoid(NLL) max(0, 1 - H / log V), in nats, of a vocabulary of V entries."""
    nll, entropy = (tokens[name].astype(np.float64) for name in ("nll", "entropy"))
    difficulty: Floats = np.maximum(0, 1 - entropy / np.log(vocabulary)) / (1 + np.exp(-nll))
    return difficulty


MEANS: dict[str, Callable[[TokenColumns, int], Floats]] = {"mean_error": mean_error, "upd": upd}


def means(values: Floats, offsets: Ints) -> Floats:
    """The mean [n] of each sample's tokens [T]; no sample is without a token."""
    sums: Floats = np.add.reduceat(values, offsets[:-1], dtype=np.float64) if len(offsets) > 1 else np.empty(0)
    return sums / np.diff(offsets)
