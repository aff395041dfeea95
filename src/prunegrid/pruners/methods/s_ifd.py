"""S-IFD: IFD over the informative tokens of a response alone, and these tokens themselves.

Fu et al., T-SHIRT: Token-Selective Hierarchical Data Selection (NeurIPS 2025, arXiv 2506.01317): a token is informative
if the prompt changes its NLL much, up or down. The samples' score is exp of the mean of nll - nll_alone over the half
of all samples' tokens that change most (optional score `s_ifd`). As theirs, samples whose IFD is 1 or more come last.
Departures: their second step, which averages over noisy embeddings and prefers samples that differ least, is not built;
the response stands after one prefix token, where theirs has none.
"""

import numpy as np

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.registry import sample_pruner, token_pruner


@sample_pruner("s-ifd", label="S-IFD", samples=("s_ifd", "ifd"))
def selective_ifd(scores: Scores, draw: Draw) -> Floats:
    """Keys [n]: S-IFD where IFD is below 1, else minus IFD."""
    ratio = scores.samples["ifd"]
    key: Floats = np.where(ratio < 1, scores.samples["s_ifd"], -ratio)
    return key


@token_pruner("s-ifd", label="S-IFD tokens", tokens=("nll", "nll_alone"))
def informative(scores: Scores, draw: Draw) -> Floats:
    """Keys [T]: how far the prompt changes the token's NLL, nats."""
    key: Floats = np.abs(scores.token("nll") - scores.token("nll_alone"))
    return key
