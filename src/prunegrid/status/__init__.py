"""The status of cells, by the files, logs and locks that their steps have left (docs/reference/status.md).

Nothing here imports pandas or torch, so that `prunegrid status` answers at once.
"""

from prunegrid.status.cells import SEVERITY, Status, all_statuses, cell_status, failures
from prunegrid.status.folder import Files
from prunegrid.status.reasons import Reason, cell_reasons, score_reasons
from prunegrid.status.steps import FailedStep, Running, failure, running, running_shared

__all__ = [
    "SEVERITY",
    "FailedStep",
    "Files",
    "Reason",
    "Running",
    "Status",
    "all_statuses",
    "cell_reasons",
    "cell_status",
    "failure",
    "failures",
    "running",
    "running_shared",
    "score_reasons",
]
