"""The frame around a script, in a process of its own: it takes over standard output."""

import subprocess
import sys
from pathlib import Path


def script(folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    code = f"import gc\nfrom prunegrid.step import step\nwith step('log'):\n    {body}"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


def test_garbage_is_looked_for_rarely_but_still(tmp_path: Path) -> None:
    done = script(tmp_path, "print(gc.isenabled(), gc.get_threshold()[0])")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    said, ended = (tmp_path / "log").read_text().splitlines()
    assert said == "True 10000"
    assert ended.startswith("done in ")


def test_a_failure_is_one_line_and_its_traceback_in_the_log(tmp_path: Path) -> None:
    done = script(tmp_path, "raise OSError('disk full')")
    assert (done.returncode, done.stderr) == (1, "prunegrid: OSError: disk full (log: log)\n")
    log = (tmp_path / "log").read_text()
    assert "Traceback" in log
    assert log.endswith("FAILED: OSError: disk full\n")
