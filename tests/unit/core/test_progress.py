"""Progress of a pass: lines in a log now and then, a bar on a terminal."""

import io
import re
import sys
from typing import Any

from prunegrid.core import progress
from prunegrid.core.progress import Progress


def test_progress_in_a_log_is_a_line_every_half_minute(monkeypatch: Any, capsys: Any) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    shown = Progress(1000, "scoring")
    for _ in range(10):
        now[0] += 10
        shown.add(100)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "scoring: 300 of 1,000 tokens (30%), 10 tokens/s, 01:10 left",
        "scoring: 600 of 1,000 tokens (60%), 10 tokens/s, 00:40 left",
        "scoring: 900 of 1,000 tokens (90%), 10 tokens/s, 00:10 left",
        "scoring: 1,000 of 1,000 tokens (100%), 10 tokens/s, 00:00 left",
    ]


def test_progress_on_a_terminal_is_a_bar(monkeypatch: Any) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    shown = Progress(2000, "scoring")
    shown.add(2000)
    assert re.search(r"scoring: 100%\|.*2\.00k/2\.00k", sys.stderr.getvalue())  # type: ignore[attr-defined]
