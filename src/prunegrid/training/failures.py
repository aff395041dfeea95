"""Why a training job ended early: a rank leaves its error as JSON, which its launcher turns into the job's one error.

Imports no torch: `rank_failures` has the ranks' side.
"""

import signal
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from prunegrid.core.errors import PrunegridError
from prunegrid.training import checkpoints, out_of_memory
from prunegrid.training.job import Order
from prunegrid.training.processes import ExitStatus

Cause = Literal["memory", "disk", "deterministic", "lost", "stated", "unforeseen"]
RESUMES = "the same command resumes from there"


class Failure(BaseModel):
    """A rank's error, as it passes it to the launcher: why it ended, and the fields of a `PrunegridError`."""

    cause: Cause
    where: str
    what: str
    fix: str


def read_failure(path: Path) -> Failure | None:
    """None if no rank left an error: all were killed before they could, or one while it did."""
    with suppress(FileNotFoundError, ValidationError):
        return Failure.model_validate_json(path.read_text())
    return None


def job_error(order: Order, status: ExitStatus) -> PrunegridError:
    """The error of a job whose ranks ended with this status.

    Only after proof that memory ran out does the next attempt use less, because smaller passes change the order of
    sums: any other job that was killed must end with exactly the weights that it would have had.
    """
    failure, saved = read_failure(order.error), checkpoints.saved_progress(order.checkpoints, order.identity)
    died_silently = failure is None or failure.cause == "lost"
    if failure and failure.cause == "memory":
        return PrunegridError(failure.where, f"{failure.what}; {saved}", out_of_memory.use_less(order))
    if status.kernel_killed and died_silently:
        problem = f"the kernel killed a rank because memory ran out; {saved}"
        return PrunegridError("training", problem, out_of_memory.use_less(order))
    if status.stop_signal and died_silently:
        return PrunegridError("training", f"stopped by {signal.Signals(status.stop_signal).name}; {saved}", RESUMES)
    if failure:
        return PrunegridError(failure.where, failure.what, failure.fix)
    if status.code < 0:
        return PrunegridError("training", f"killed by {signal.Signals(-status.code).name}; {saved}", RESUMES)
    return PrunegridError("training", f"ended with exit code {status.code}; {saved}", "see the error above in this log")
