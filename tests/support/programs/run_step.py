"""`python run_step.py LOG ACTION [WORDS]`: a step with this log, in which one thing happens."""

import gc
import subprocess
import sys
import time

from prunegrid.core.step import step


def fail() -> None:
    raise OSError("disk full")


def lack_an_extra() -> None:
    raise ModuleNotFoundError("No module named 'lm_eval'", name="lm_eval")


def garbage() -> None:
    print(gc.isenabled(), gc.get_threshold()[0])


def wait(words: str = "begun") -> None:
    print(words, flush=True)
    time.sleep(600)


def wait_in_a_child() -> None:
    subprocess.run(["sh", "-c", "echo begun; exec sleep 600"], check=True)


ACTIONS = {
    "nothing": lambda: None,
    "say": print,
    "fail": fail,
    "lack an extra": lack_an_extra,
    "garbage": garbage,
    "wait": wait,
    "wait in a child": wait_in_a_child,
}

if __name__ == "__main__":
    log, action, *words = sys.argv[1:]
    with step(log):
        ACTIONS[action](*words)
