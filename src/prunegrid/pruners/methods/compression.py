"""Compression: rank samples by how far zlib shrinks their text. No model is read.

ZIP keeps data of a low compression ratio, which repeat little (Yin et al., Entropy Law, 2024, arXiv 2407.06645). Theirs
is the ratio of a set, to which samples are added greedily; this is the ratio of each sample alone, where they begin.
"""

from typing import Literal

from prunegrid.core.ragged import Floats
from prunegrid.pruners.arrays import Draw, Scores
from prunegrid.pruners.registry import sample_pruner


@sample_pruner(
    "compression",
    label=lambda options: f"Compression ({options['compression']})",
    samples=("compression_ratio",),
)
def compression(scores: Scores, draw: Draw, *, compression: Literal["lowest", "highest"] = "lowest") -> Floats:
    """Keys [n]: minus the compression ratio of prompt and response, or the ratio."""
    ratio = scores.samples["compression_ratio"]
    return ratio if compression == "highest" else -ratio
