"""Run a section as a process of its own: one that fails, hangs or is killed costs its own seconds only."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]


def run_section(command: list[str], results: Path, log: Path, seconds: float, device: str) -> dict[str, Any]:
    """What the section stored in `results` before its end, and how it ended; its processes are gone afterwards."""
    results.unlink(missing_ok=True)
    started = time.monotonic()
    with log.open("a") as output:
        output.write(f"\n===== {' '.join(command)}\n")
        output.flush()
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment(device), start_new_session=True
        )
        try:
            ended = f"exit {process.wait(seconds)}"
        except subprocess.TimeoutExpired:
            ended = f"killed after {seconds:.0f} s"
        finally:
            _end(process)
    stored: dict[str, Any] = json.loads(results.read_text()) if results.exists() else {}
    results.unlink(missing_ok=True)
    return stored | {"ended": ended, "wall_s": round(time.monotonic() - started, 1)}


def _end(process: "subprocess.Popen[bytes]") -> None:
    """The section's whole session: what it started may outlive it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def environment(device: str) -> dict[str, str]:
    """Offline, and with the package of this checkout before any other."""
    paths = [str(PROJECT / "src"), str(PROJECT / "tests"), os.environ.get("PYTHONPATH", "")]
    arguments = {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTORCH_ALLOC_CONF": "expandable_segments:True",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "NCCL_SOCKET_IFNAME": "lo",
        "PYTHONUNBUFFERED": "1",
    }
    if device == "cpu":
        arguments |= {"CUDA_VISIBLE_DEVICES": "", "DS_ACCELERATOR": "cpu"}
    return {**os.environ, **arguments}


def section_command(module: str, model: str, device: str, results: Path, seconds: float, card: Any) -> list[str]:
    """The command line of `__main__`'s hidden side."""
    arguments = ["--device", device, "--models", model, "--out", str(results), "--seconds", str(seconds)]
    return [sys.executable, str(HERE), "--section", module, *arguments, "--card", str(card.peak), str(card.bandwidth)]


def write_json(path: Path, value: Any) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=1, default=str) + "\n")
    temporary.replace(path)
