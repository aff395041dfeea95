"""The devices that score the shards of a pass: this process for one of them, a process for each of several."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from prunegrid.core.errors import PrunegridError
from prunegrid.core.gpus import VISIBLE, allocator_environment, use_device, visible_ids
from prunegrid.core.progress import Progress
from prunegrid.models import check_device
from prunegrid.scoring.pass_folder import PassFolder
from prunegrid.scoring.worker import score_shards

CPU, CUDA = "cpu", "cuda"  # cuda: any GPU that is free; the other names are ids of GPUs
PAUSE = 0.2  # seconds between two looks at the workers


@dataclass
class Worker:
    """The process that scores on `device`; what it prints goes to `log`."""

    device: str
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def failed(self) -> bool:
        return self.process.poll() not in (None, 0)

    @property
    def reason(self) -> str:
        """Its last line, or the signal that ended it."""
        if (code := self.process.returncode) < 0:
            return f"its process was ended by signal {-code}"
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"its process ended with exit code {code}"


def device_kind(devices: Sequence[str]) -> str:
    """`cpu` or `cuda`; refuses devices that this process does not see, and both kinds together."""
    kinds = {CPU if device == CPU else CUDA for device in devices}
    if len(kinds) != 1:
        problem = "CPU and GPUs together would give scores of two precisions" if kinds else "no device"
        raise PrunegridError(f"devices {','.join(devices)}", problem, "give cpu, or ids of GPUs: 0,1")
    if kinds == {CUDA}:
        _check_gpus(devices)
    return kinds.pop()


def _check_gpus(devices: Sequence[str]) -> None:
    where, visible = f"devices {','.join(devices)}", visible_ids()
    for device in devices:
        if device != CUDA and device not in visible:
            problem = f"there is no GPU {device} here (GPUs: {', '.join(visible) or 'none'})"
            raise PrunegridError(where, problem, "give ids among these, or cpu")
        if device != CUDA and devices.count(device) > 1:
            raise PrunegridError(where, f"names GPU {device} twice", "give each GPU one time")
    if len(devices) > len(visible):
        problem = f"{len(devices)} GPU(s) are needed, but there are {len(visible)} here"
        raise PrunegridError(where, problem, "give fewer, or cpu")


def score_on(folder: PassFolder, devices: Sequence[str], threads: int) -> None:
    """Score all shards that are missing, those of responses alone last, and report on the standard error.

    One device of this process loads the model once; each of several processes loads it for either pass.
    """
    passes = [part for part in (folder, folder.alone) if part and part.missing]
    single = len(devices) == 1 and devices[0] in (CPU, CUDA)
    with use_device(devices[0]) if single and passes else nullcontext():
        model = None
        for part in passes:
            total = part.tokens(range(1, len(part.shards) + 1))
            progress = Progress(total, "scoring", total - part.tokens(part.missing))
            if single:
                check_device(devices[0])
                model = score_shards(part, devices[0], progress, model)
            else:
                _score_in_workers(part, devices, threads, progress)


def _score_in_workers(folder: PassFolder, devices: Sequence[str], threads: int, progress: Progress) -> None:
    workers = [_start(folder, number, device, threads) for number, device in enumerate(devices)]
    missing, reported = folder.missing, set[int]()
    try:
        while missing and any(worker.process.poll() is None for worker in workers):
            time.sleep(PAUSE)
            missing, earlier = folder.missing, missing
            for number in sorted(set(earlier) - set(missing)):
                progress.rename(f"scoring, {len(folder.shards) - len(missing)} of {len(folder.shards)} shards")
                progress.add(folder.tokens([number]))
            for number, worker in enumerate(workers):
                if worker.failed and number not in reported:
                    reported.add(number)
                    print(f"prunegrid: device {worker.device}: {worker.reason} (log: {worker.log})", file=sys.stderr)
        if missing := folder.missing:
            raise _failure(workers, len(missing), len(folder.shards))
    finally:
        for worker in workers:
            if missing:
                worker.process.terminate()
            worker.process.wait()


def _start(folder: PassFolder, number: int, device: str, threads: int) -> Worker:
    kind = CPU if device == CPU else CUDA
    environment = {**os.environ, **({} if device in (CPU, CUDA) else {VISIBLE: device}), **allocator_environment()}
    command = [sys.executable, "-m", "prunegrid.scoring.worker", str(folder.path), kind, str(threads)]
    log = folder.path / f"worker-{number}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment)
    return Worker(device, log, process)


def _failure(workers: Sequence[Worker], missing: int, shards: int) -> PrunegridError:
    worker = next((worker for worker in workers if worker.failed), workers[0])
    problem = f"{worker.reason} (log: {worker.log}), and {missing} of {shards} shards are not scored"
    return PrunegridError(f"device {worker.device}", problem, "fix it, and repeat the command to resume")
