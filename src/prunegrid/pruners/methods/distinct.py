"""Distinct: one sample of each group of near duplicates first, then the second of each, and so on.

Near duplicates are those of `dataset.drop_duplicates: near` (MinHash; `prunegrid.data.minhash`), which leaves
the others out for good. Among samples of one rank the choice is random, so at a ratio that keeps no repetition
this is Random without repetitions (Lee et al., Deduplicating Training Data Makes Language Models Better, ACL 2022).
"""

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.registry import sample_pruner


@sample_pruner("distinct", label="Distinct", samples=("duplicate_rank",), reason="random")
def distinct(scores: Scores, draw: Draw) -> Floats:
    """Keys [n]: a draw in [0, 1), less the number of near duplicates that come before the sample in the data."""
    return draw.samples(scores) - scores.samples["duplicate_rank"]
