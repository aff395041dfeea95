"""`python rank_lock.py CHECKPOINTS`: hold a cell as a rank of its training does, until standard input closes."""

import sys
from pathlib import Path

from prunegrid.training import checkpoints

if __name__ == "__main__":
    checkpoints.share_lock(Path(sys.argv[1]))
    print("here", flush=True)
    sys.stdin.read()
