"""Start ranks in a second instead of ten: they are forked from a process that has imported everything.

For tests of what ranks compute; those of how they are started and stopped use the package's own command.
`python warm_ranks.py SOCKET` serves; `python warm_ranks.py SOCKET RANKS MODULE ARGUMENT` is what stands for
torchrun, and ends as it does. Nothing is computed before the fork, so no thread is lost by it.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

LONGEST = 240  # seconds that a rank may take: one that hangs fails its test, not the whole run


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Path]:
    """A server while the block runs; its socket."""
    path = folder / "ranks"
    environment = {**os.environ, "DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    here = str(Path(__file__).parents[2])
    environment["PYTHONPATH"] = os.pathsep.join([here, *filter(None, sys.path)])
    server = subprocess.Popen([sys.executable, __file__, str(path)], env=environment)
    try:
        while not path.exists():
            assert server.poll() is None, "the server of warm ranks did not start"
            time.sleep(0.1)
        yield path
    finally:
        server.terminate()
        server.wait()


def command(path: Path, ranks: int, arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-S", __file__, str(path), str(ranks), *arguments]


def ask(path: str, ranks: str, module: str, argument: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        order = json.dumps({"ranks": int(ranks), "module": module, "argument": argument, "env": dict(os.environ)})
        socket.send_fds(server, [order.encode() + b"\n"], [1, 2])
        codes = json.loads(server.makefile().readline())
    if len(codes) == 1 and codes[0] < 0:
        os.kill(os.getpid(), -codes[0])
    sys.exit(int(any(codes)))


def serve(path: str) -> None:
    import deepspeed  # noqa: F401
    import peft  # noqa: F401
    import transformers
    from deepspeed.ops.adam import FusedAdam  # noqa: F401

    _ = transformers.AutoModelForCausalLM, transformers.AutoTokenizer, transformers.LlamaForCausalLM
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            client, _ = listener.accept()
            with client:
                text, fds, _, _ = socket.recv_fds(client, 1 << 20, 2)
                codes = launch(json.loads(text), fds)
                with contextlib.suppress(BrokenPipeError):
                    client.sendall(json.dumps(codes).encode() + b"\n")


def launch(order: dict, fds: list[int]) -> list[int]:
    """Exit codes of all ranks, negative where a signal ended them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks, children = order["ranks"], []
    for rank in range(ranks):
        child = os.fork()
        if not child:
            several = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)} if ranks > 1 else {}
            variables = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks), **several}
            become(order, fds, variables)
        children.append(child)
    for descriptor in fds:
        os.close(descriptor)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def become(order: dict, fds: list[int], variables: dict[str, str]) -> None:
    import runpy
    import traceback

    os.setsid()
    signal.alarm(LONGEST)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update({**order["env"], **variables})
    os.dup2(fds[0], 1)
    os.dup2(fds[1], 2)
    sys.argv = [order["module"], order["argument"]]
    code = 0
    try:
        runpy.run_module(order["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = int(bool(end.code))
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve(sys.argv[1])
    else:
        ask(*sys.argv[1:])
