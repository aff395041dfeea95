"""Pruners: pure functions of score arrays, one module each in `methods`, listed in one registry.

Snakemake imports this package each time it parses, so nothing here imports torch, pandas or pyarrow.
"""

from prunegrid.pruners import methods as methods  # registers the package's own
from prunegrid.pruners.apply import choose_samples, choose_tokens, require_tokens, select, token_ranks
from prunegrid.pruners.arrays import Choice, Draw, KeptSamples, Ranking, Scores, SelectionArrays
from prunegrid.pruners.match import Match
from prunegrid.pruners.method import (
    AUTHORS,
    PAPER,
    READING,
    Needs,
    all_pruners,
    check_method,
    complete_options,
    find_pruners,
    needs,
    pruner_names,
)
from prunegrid.pruners.pools import without_pools
from prunegrid.pruners.registry import (
    JOINT,
    SAMPLE,
    TOKEN,
    Pruner,
    joint_pruner,
    label,
    published_label,
    sample_pruner,
    token_pruner,
)
from prunegrid.pruners.spec import MethodSpec, PruningSpec
from prunegrid.pruners.token_selection import select_tokens

__all__ = [
    "AUTHORS",
    "JOINT",
    "PAPER",
    "READING",
    "SAMPLE",
    "TOKEN",
    "Choice",
    "Draw",
    "KeptSamples",
    "Match",
    "MethodSpec",
    "Needs",
    "Pruner",
    "PruningSpec",
    "Ranking",
    "Scores",
    "SelectionArrays",
    "all_pruners",
    "check_method",
    "choose_samples",
    "choose_tokens",
    "complete_options",
    "find_pruners",
    "joint_pruner",
    "label",
    "needs",
    "pruner_names",
    "published_label",
    "require_tokens",
    "sample_pruner",
    "select",
    "select_tokens",
    "token_pruner",
    "token_ranks",
    "without_pools",
]
