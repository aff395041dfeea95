"""`python launcher.py OUT MODEL SCORES SELECTION SETTINGS`: a training job whose launcher a test can kill."""

import json
import sys
from pathlib import Path

from prunegrid.training import processes
from support.killed_jobs import Inputs, run

if __name__ == "__main__":
    processes.WORKER = "support.programs.killed_worker"
    run(Path(sys.argv[1]), Inputs(*map(Path, sys.argv[2:5])), **json.loads(sys.argv[5]))
