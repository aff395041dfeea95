"""The batch scheduler's job that this process runs in, if any."""

import os

JOB_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "FLUX_JOB_ID")


def job() -> tuple[str, str] | None:
    """The environment variable that names the job, and its value; None outside a scheduler."""
    return next(((name, os.environ[name]) for name in JOB_VARIABLES if os.environ.get(name)), None)
