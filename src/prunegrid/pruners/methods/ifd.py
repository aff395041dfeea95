"""IFD: keep the samples whose prompt helps least with their response.

Instruction-following difficulty (Li et al., From Quantity to Quality, NAACL 2024), as PPL(y|x) / PPL(y) (Li et al.,
Superfiltering, ACL 2024). Samples above 1, whose prompt makes the response less likely, are taken for misaligned:
the originals leave them out, so they come last here, and are kept only where the others are too few. Reads the
extra score `ifd`; `prunegrid.scoring.extra` describes how PPL(y) is computed. Departure: the first paper scores with
a model pre-experienced on 1,000 samples.
"""

import numpy as np

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.registry import sample_pruner


@sample_pruner("ifd", label="IFD", samples=("ifd",))
def ifd(scores: Scores, draw: Draw) -> Floats:
    """Keys [n]: the IFD where it is at most 1, else minus it."""
    ratio = scores.samples["ifd"]
    key: Floats = np.where(ratio <= 1, ratio, -ratio)
    return key
