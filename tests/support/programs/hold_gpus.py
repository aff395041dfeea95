"""`python hold_gpus.py ORDER`: a job that takes GPUs, prints their ids and acts as its order (JSON) says.

`count`, `slots`, `wait`: what it takes, and for how long it waits for them. `then`: what it does with them (`ACTIONS`).
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from prunegrid.core.gpus import reserve, use_device


def hold() -> None:
    """Until standard input closes."""
    sys.stdin.read()


def create_owner_files(ids: list[str]) -> None:
    """A file for each GPU, which must not exist yet."""
    owned = [Path(f"{number}.owner") for number in ids]
    for path in owned:
        path.touch(exist_ok=False)
    time.sleep(0.15)
    for path in owned:
        path.unlink()


def look_around(ids: list[str], slots: int) -> None:
    """Note of each GPU that this job has it, as one of so many, and see who else has."""
    files = [Path(f"{number}.{os.getpid()}.{slots}") for number in ids]
    for path in files:
        path.touch()
    time.sleep(0.1)
    kinds_of_gpus = [[path.name.split(".")[2] for path in Path().glob(f"{number}.*")] for number in ids]
    for path in files:
        path.unlink()
    assert all(set(kinds) == {str(slots)} and len(kinds) <= slots for kinds in kinds_of_gpus), kinds_of_gpus


def start_child(locks: Sequence[int]) -> None:
    print(subprocess.Popen(["sleep", "60"], pass_fds=locks).pid, flush=True)
    hold()


def ask_again(environment: dict[str, str], slots: int) -> None:
    """Two ranks of this job, each of which asks twice."""
    line = [sys.executable, __file__, json.dumps({"rank": True, "slots": slots})]
    ranks = [subprocess.Popen(line, env=os.environ | environment) for _ in range(2)]
    sys.exit(max(rank.wait() for rank in ranks))


ACTIONS: dict[str, Callable[[Any, int], None]] = {
    "hold": lambda reservation, slots: hold(),
    "end": lambda reservation, slots: None,
    "own files": lambda reservation, slots: create_owner_files(reservation.ids),
    "look around": lambda reservation, slots: look_around(reservation.ids, slots),
    "child with the locks": lambda reservation, slots: start_child(reservation.fds),
    "child without": lambda reservation, slots: start_child(()),
    "ask again": lambda reservation, slots: ask_again(reservation.environment, slots),
}

if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    if "rank" in order:
        with use_device("cuda", order["slots"]), reserve(1) as reservation:
            print(*reservation.ids)
    else:
        with reserve(order["count"], order["wait"], order["slots"]) as reservation:
            print(*reservation.ids, flush=True)
            ACTIONS[order["then"]](reservation, order["slots"])
