"""In the ranks of training jobs: after a checkpoint, wait as long as a file `hold` stands beside the checkpoints."""

import os
import sys
import time

if "prunegrid.training.worker" in sys.orig_argv:
    from prunegrid.training import checkpoints

    commit = checkpoints.commit

    def commit_and_hold(folder, *arguments):
        commit(folder, *arguments)
        while (folder.parent / "hold").exists() and os.getppid() != 1:  # 1: Slurm has killed the launcher
            time.sleep(0.1)

    checkpoints.commit = commit_and_hold
