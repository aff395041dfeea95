"""Pruners: pure functions of score arrays, a module each in `methods`, in one registry.

Snakemake imports this package each time it parses, so nothing here imports torch, pandas or pyarrow.
"""

from prunegrid.pruners import methods as methods  # registers the package's own
from prunegrid.pruners.apply import choose, keep, require_tokens, select
from prunegrid.pruners.arrays import Choice, Draw, Kept, Scores, Selection
from prunegrid.pruners.match import Match
from prunegrid.pruners.method import Needs, check, filled, members, needs, parts
from prunegrid.pruners.registry import JOINT, SAMPLE, TOKEN, Pruner, joint_pruner, label, sample_pruner, token_pruner
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
    "filled",
    "joint_pruner",
    "keep",
    "label",
    "members",
    "needs",
    "parts",
    "require_tokens",
    "sample_pruner",
    "select",
    "token_pruner",
]
