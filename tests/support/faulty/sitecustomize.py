"""Python runs this at every start where PYTHONPATH names this folder: how tests reach into a workflow's own jobs.

The package knows nothing of it. `FAULTY_JOBS` (JSON, see `misfortunes`) says what befalls which script;
`FAULTY_WARM` names the socket of `warm_jobs`, `FAULTY_KEEP` a folder for copies of the jobs' scripts.
"""

import os
import re
import shutil
import sys
from pathlib import Path


def _script() -> str | None:
    """The step whose script Snakemake is starting in this process, or `worker` for a rank of a training job."""
    line = sys.orig_argv
    if actual := re.fullmatch(r"(?:.*/)?tmp[^/.]*\.(\w+)\.py", line[-1]):
        return actual[1]
    return "worker" if "prunegrid.training.worker" in line else None


if script := _script():
    if "FAULTY_KEEP" in os.environ and script != "worker":
        shutil.copy(sys.orig_argv[-1], Path(os.environ["FAULTY_KEEP"], Path(sys.orig_argv[-1]).name))
    if "FAULTY_WARM" in os.environ:
        import warm_jobs

        warm_jobs.hand_over(script)
    if "FAULTY_JOBS" in os.environ:
        import misfortunes

        misfortunes.arm(script)
