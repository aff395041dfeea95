"""`prunegrid keep` and `prunegrid show`."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from prunegrid.api import show as show_module
from prunegrid.cli import app
from prunegrid.core.errors import PrunegridError

ROWS = [{"question": f"Wie viel ist {i}?", "answer": f"Genau {i} (schön), 你好 😀!"} for i in range(12)]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """What `keep` leaves of 12 rows of a JSON array."""
    folder = tmp_path_factory.mktemp("keep")
    (folder / "mine.json").write_text(json.dumps(ROWS))
    app.main(command(folder, tiny_model))
    return folder


def command(folder: Path, model: Path, *more: str, samples: str = "50%") -> list[str]:
    places = [str(folder / "mine.json"), "--model", str(model), "--out", str(folder / "out"), "--threads", "1"]
    return ["keep", *places, "--pair", "random+ppl", "--samples", samples, "--tokens", "50%", "--to", "trl", *more]


def test_keep_leaves_scores_selection_and_export(kept: Path) -> None:
    assert sorted(path.name for path in (kept / "out").iterdir()) == ["pruned", "scores", "trl"]
    assert len(pq.read_table(kept / "out/trl/train.parquet")) == 6


def test_keep_again_with_another_ratio_uses_the_scores_and_says_so(kept: Path, tiny_model: Path, capsys: Any) -> None:
    before = (kept / "out/scores/meta.json").stat().st_mtime_ns
    app.main(command(kept, tiny_model, "--json", samples="3"))
    printed = capsys.readouterr()
    parts = json.loads(printed.out)
    assert (parts["scores"]["samples"], parts["selection"]["n_kept_samples"], parts["export"]["rows"]) == (12, 3, 3)
    assert (kept / "out/scores/meta.json").stat().st_mtime_ns == before
    assert "holds the scores of this model and these data already" in printed.err


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--to", "tlr"], "tlr"),
        (["--pair", "qtunning"], "qtunning"),
        (["--option", "lambda=1"], "lambda"),
        (["--samples", "12,5%"], "12.5%"),
        (["--tokens", "1.5"], "1.5"),
    ],
)
def test_keep_says_what_is_wrong_before_it_scores(
    tmp_path: Path, tiny_model: Path, capsys: Any, more: list[str], line: str
) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(ROWS))
    with pytest.raises(SystemExit) as caught:
        app.main(command(tmp_path, tiny_model, *more))
    assert isinstance(caught.value.code, str) and line in caught.value.code
    assert len(caught.value.code.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_show_prints_facts_and_marks_what_is_dropped(kept: Path, capsys: Any) -> None:
    selection = pq.read_table(kept / "out/pruned/selection.parquet").to_pylist()
    app.main(["show", str(kept / "out/pruned"), "--rows", "2"])
    texts = capsys.readouterr().out.strip().split("\n\n")
    assert len(texts) == 2
    for text, row in zip(texts, selection, strict=False):
        header, prompt, response = text.splitlines()
        place = f"sample_id {row['sample_id']} (row {row['sample_id']}, turn 0), random: {len(row['kept'])} of "
        assert header.startswith(place)
        assert prompt == f"Question: Wie viel ist {row['sample_id']}?"
        whole = response.replace("[-", "").replace("-]", "")
        assert whole == f"Answer: Genau {row['sample_id']} (schön), 你好 😀!<eos>"
        assert "[-" in response and response.endswith("<eos>"), "the end is always kept"


def test_show_of_chosen_samples(kept: Path, capsys: Any) -> None:
    ids = pq.read_table(kept / "out/pruned/selection.parquet")["sample_id"].to_pylist()
    app.main(["show", str(kept / "out/pruned"), "--sample", str(ids[2]), str(ids[0])])
    printed = capsys.readouterr().out
    assert printed.count("tokens kept") == 2 and f"sample_id {ids[2]} " in printed
    dropped = next(i for i in range(12) if i not in ids)
    with pytest.raises(PrunegridError, match=f"does not keep sample_id {dropped}"):
        list(show_module.show(kept / "out/pruned", samples=[dropped]))


def test_show_says_which_answer_follows_turns_that_it_does_not_print(
    tiny_model: Path, tmp_path: Path, capsys: Any
) -> None:
    messages = [{"role": role, "content": text} for role, text in [("user", "a"), ("assistant", "b")] * 2]
    (tmp_path / "mine.json").write_text(json.dumps([{"messages": messages}]))
    app.main(command(tmp_path, tiny_model, "--turns", "all", samples="100%"))
    capsys.readouterr()
    app.main(["show", str(tmp_path / "out/pruned")])
    printed = capsys.readouterr().out
    assert "(row 0, turn 0), " in printed and "(row 0, turn 1, after the turns before it), " in printed


def test_show_strikes_through_in_a_terminal_and_not_with_plain(kept: Path) -> None:
    line = [sys.executable, "-m", "prunegrid.cli", "show", str(kept / "out/pruned"), "--rows", "1"]
    struck, plain = (in_terminal([*line, *more]) for more in ([], ["--plain"]))
    assert "\x1b[2mQuestion: " in struck and "\x1b[9;31m" in struck and "[-" not in struck.replace("\x1b[", "")
    assert "\x1b" not in plain and "[-" in plain


def in_terminal(line: list[str]) -> str:
    """What the command writes to a terminal."""
    master, slave = pty.openpty()
    done = subprocess.Popen(line, stdout=slave, stderr=subprocess.DEVNULL)
    os.close(slave)
    written = b""
    while True:
        try:
            part = os.read(master, 1 << 16)
        except OSError:  # the terminal's other side is closed
            break
        if not part:
            break
        written += part
    os.close(master)
    assert done.wait() == 0
    return written.decode()
