"""`pytest tests/gpu`, in three processes side by side, each with locks of its own, for they share the GPU."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from gpu.measure import Section
from gpu.processes import PROJECT

PARTS = {"kernels": "not job", "jobs": "job and not dynamic", "dynamic": "dynamic"}
TOLD = ("FAILED", "ERROR", "SKIPPED")


def run(section: Section) -> None:
    if not section.cuda:
        section.put("tests_gpu", "they need a GPU")
        return
    running = {}
    for name, chosen in PARTS.items():
        folder = Path(tempfile.mkdtemp())
        command = [sys.executable, "-m", "pytest", "tests/gpu", "-k", chosen, "-q", "--tb=short", "-rfEs"]
        out = (folder / "out").open("w")
        environment = {**os.environ, "TMPDIR": str(folder)}
        process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=out, stderr=subprocess.STDOUT)
        running[name] = process, folder / "out"
    for name, (process, out_file) in running.items():
        try:
            code: int | str = process.wait(max(1.0, section.seconds_left()))
        except subprocess.TimeoutExpired:
            process.kill()
            code = "no time left"
        text = out_file.read_text()
        print(text)
        told = [line for line in text.splitlines() if line.startswith(TOLD)]
        section.put(name, {"exit": code, "last_line": text.strip().splitlines()[-1:], "told": told[:40]})
