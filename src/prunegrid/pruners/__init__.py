"""Pruners: pure functions of score arrays, one file a method, one registry.

Snakemake imports this package each time it parses, so nothing here imports torch, pandas or pyarrow.
"""

from prunegrid.pruners import (
    entropy,
    fastv,
    ifd,
    infobatch,
    longest,
    loss,
    ppl,
    qtuning,
    random,
    rho1,
    sparsevlm,
    token_cleaning,
)
from prunegrid.pruners.apply import choose, keep, require_tokens, select
from prunegrid.pruners.arrays import Choice, Draw, Kept, Scores, Selection
from prunegrid.pruners.match import Match
from prunegrid.pruners.method import Needs, check, filled, members, needs, parts
from prunegrid.pruners.registry import JOINT, SAMPLE, TOKEN, Pruner, joint_pruner, sample_pruner, token_pruner
from prunegrid.pruners.spec import MethodSpec, PruningSpec

__all__ = [
    "JOINT",
    "SAMPLE",
    "TOKEN",
    "Choice",
    "Draw",
    "Kept",
    "Match",
    "MethodSpec",
    "Needs",
    "Pruner",
    "PruningSpec",
    "Scores",
    "Selection",
    "check",
    "choose",
    "entropy",
    "fastv",
    "filled",
    "ifd",
    "infobatch",
    "joint_pruner",
    "keep",
    "longest",
    "loss",
    "members",
    "needs",
    "parts",
    "ppl",
    "qtuning",
    "random",
    "require_tokens",
    "rho1",
    "sample_pruner",
    "select",
    "sparsevlm",
    "token_cleaning",
    "token_pruner",
]
