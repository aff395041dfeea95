"""RHO-LOSS: keep the samples of highest excess loss over a reference model, the sample-level form of `rho1`.

Reducible holdout loss (Mindermann et al., Prioritized Training on Points that are Learnable, Worth Learning, and Not
Yet Learnt, ICML 2022): the loss minus that of a model trained on held-out data, which noise keeps high in both. There
under the weights of the moment, as here in dynamic mode; in static mode under the base model.
"""

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.registry import sample_pruner


@sample_pruner("rho-loss", label="RHO-LOSS", samples=("nll", "reference_loss"))
def rho_loss(scores: Scores, draw: Draw) -> Floats:
    """Keys [n]: mean NLL under the model minus that under the reference, nats."""
    return scores.samples["nll"] - scores.samples["reference_loss"]
