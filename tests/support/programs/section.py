"""`python section.py ENDING RESULTS`: a section of benchmarks/gpu that stores something and ends in this way."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def hang() -> None:
    subprocess.Popen(["sleep", "999"])
    time.sleep(999)


ENDINGS = {
    "ends": lambda: None,
    "fails": lambda: sys.exit(3),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hangs": hang,
}

if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps({"a": 1}))
    ENDINGS[sys.argv[1]]()
