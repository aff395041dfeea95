"""UPD: keep the samples that are hard although the model is sure of itself.

Uncertainty-based prediction difficulty (Zhang et al., D3, 2025, arXiv 2503.11441): the mean over the response of
sigmoid(NLL) max(0, 1 - H / log V). A token is hard if its loss is high; the second factor takes it back where the
entropy H says that many tokens would have done. Computed as OpenDataArena's UPDScorer does. Departures from D3:
it scores with a model that was warmed up on a little of the data, and joins UPD with diversity and a teacher's grades.
"""

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.registry import sample_pruner


@sample_pruner("upd", label="UPD", samples=("upd",))
def upd(scores: Scores, draw: Draw) -> Floats:
    """Keys [n]: the mean difficulty, from 0 to 1."""
    return scores.samples["upd"]
