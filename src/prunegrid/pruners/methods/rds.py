"""RDS+: keep the samples that are most like those of a query set (Ivison et al., 2025, arXiv 2503.01807).

The queries take turns: each takes the sample nearest to it, then the second nearest, ...; a turn is lost where another
query has taken that sample already. Reads the optional score `query_rank`; `prunegrid.scoring.query_rank` has the
vectors. A method that has seen task data, where the query set is a benchmark's training or development split.
"""

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.registry import sample_pruner


@sample_pruner("rds", label="RDS+", samples=("query_rank",))
def rds(scores: Scores, draw: Draw) -> Floats:
    """Keys [n]: minus the place at which the queries take the sample."""
    return -scores.samples["query_rank"]
