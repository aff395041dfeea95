"""Pruners: pure functions of score arrays, one file a method, one registry.

Snakemake imports this package each time it parses, so nothing here imports torch, pandas or pyarrow.
"""

from prunegrid.pruners import entropy, fastv, infobatch, longest, ppl, qtuning, random, sparsevlm
from prunegrid.pruners.apply import check_ratio, select
from prunegrid.pruners.arrays import Draw, Scores, Selection
from prunegrid.pruners.method import Needs, check, filled, needs, parts
from prunegrid.pruners.registry import JOINT, SAMPLE, TOKEN, Pruner, joint_pruner, sample_pruner, token_pruner

__all__ = [
    "JOINT",
    "SAMPLE",
    "TOKEN",
    "Draw",
    "Needs",
    "Pruner",
    "Scores",
    "Selection",
    "check",
    "check_ratio",
    "entropy",
    "fastv",
    "filled",
    "infobatch",
    "joint_pruner",
    "longest",
    "needs",
    "parts",
    "ppl",
    "qtuning",
    "random",
    "sample_pruner",
    "select",
    "sparsevlm",
    "token_pruner",
]
