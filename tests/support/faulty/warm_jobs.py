"""Start the jobs of a workflow in half a second instead of five: forked from a process that has imported everything.

`python warm_jobs.py SOCKET` serves. A job's own process, which Snakemake started and waits for, hands over its
arguments, environment and output (`hand_over`), and ends as the fork ends: by the same signal or exit code.
"""

import contextlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

LONGEST = 600  # seconds that a job may take, on a busy machine, too: one that hangs fails its test, not the whole run
JOB_VARIABLES = {"DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
IMPORTED = """
deepspeed deepspeed.ops.adam lm_eval matplotlib.pyplot pandas peft scipy.stats snakemake.script transformers
prunegrid.audit.figure prunegrid.audit.report prunegrid.evaluation.harness prunegrid.evaluation.language_model
prunegrid.scoring.extra prunegrid.figures.draw prunegrid.models prunegrid.published.frame prunegrid.sandbox.pretraining
prunegrid.scoring.score prunegrid.table.build prunegrid.training.dynamic prunegrid.training.trainer
prunegrid.training.worker
"""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Path]:
    """A server while the block runs; its socket."""
    path = folder / "jobs"
    server = subprocess.Popen([sys.executable, __file__, str(path)], env={**os.environ, **JOB_VARIABLES})
    try:
        while not path.exists():
            assert server.poll() is None, "the server of warm jobs did not start"
            time.sleep(0.1)
        yield path
    finally:
        server.terminate()
        server.wait()


def hand_over(script: str) -> None:
    """Have the server's fork run this process's program, and end as it does."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(os.environ["FAULTY_WARM"])
        line = sys.orig_argv
        place = line.index("-m") if "-m" in line else len(line) - 1
        order = {"script": script, "line": line[place:], "cwd": str(Path.cwd()), "env": dict(os.environ)}
        socket.send_fds(server, [json.dumps(order).encode() + b"\n"], [1, 2])
        code = int(server.makefile().readline())
    if code < 0:
        os.kill(os.getpid(), -code)
    os._exit(code)


def serve(path: str) -> None:
    import importlib

    for name in IMPORTED.split():
        importlib.import_module(name)
    import transformers

    _ = transformers.AutoModelForCausalLM, transformers.AutoTokenizer, transformers.LlamaForCausalLM
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            client, _ = listener.accept()
            if not os.fork():
                listener.close()
                answer(client)
            client.close()


def answer(client: socket.socket) -> None:
    """Run one job in a child of one's own, and tell its exit code, negative where a signal ended it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    text, fds, _, _ = socket.recv_fds(client, 1 << 20, 2)
    child = os.fork()
    if not child:
        become(json.loads(text), fds)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(BrokenPipeError):
        client.sendall(f"{code}\n".encode())
    os._exit(0)


def become(order: dict, fds: list[int]) -> None:
    os.setsid()
    signal.alarm(LONGEST)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update({**order["env"], **JOB_VARIABLES})
    os.chdir(order["cwd"])
    for number, descriptor in enumerate(fds, 1):
        os.dup2(descriptor, number)
    code = 0
    try:
        if "FAULTY_JOBS" in os.environ:
            import misfortunes

            misfortunes.arm(order["script"])
        run(order["line"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def run(line: list[str]) -> None:
    if line[0] == "-m":
        sys.argv = line[1:]
        runpy.run_module(line[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = line
        runpy.run_path(line[0], run_name="__main__")


if __name__ == "__main__":
    serve(sys.argv[1])
