"""Version of each step, increased by hand when its result changes: a parameter of the step's rule.

The source itself triggers no rerun: a comment or a refactoring must not cost GPU-weeks.
"""

STEP = {
    "world": 1,
    "data": 1,
    "contamination": 1,
    "model": 1,
    "score": 2,
    "extra": 1,
    "import": 1,
    "prune": 2,
    "train": 2,
    "evaluate": 2,
    "collect": 4,
    "table": 4,
    "audit": 1,
    "figures": 1,
    "report": 1,
}

SCORES_SCHEMA = 1
