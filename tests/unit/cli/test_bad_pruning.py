"""Bad pruning, keeping and showing: one line that names place, value and fix, and nothing written."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest

from prunegrid.cli import app

GOOD = {"--pair": "random+ppl", "--samples": "50%", "--tokens": "50%"}


class Bad(NamedTuple):
    """Options of `prunegrid prune` in place of `GOOD`; the line begins with `place`, and names `values` and `fix`."""

    options: dict[str, str]
    place: str
    values: tuple[str, ...]
    fix: str = ""


BAD = {
    "share of 0": Bad({"--samples": "0"}, "--samples", ("is 0", "keeps nothing"), "12.5%"),
    "percentage of 0": Bad({"--tokens": "0%"}, "--tokens", ("is 0%",), "12.5%"),
    "over 100 %": Bad({"--samples": "120%"}, "--samples", ("120%", "more than there is"), "at most 100%"),
    "more samples than there are": Bad({"--samples": "21"}, "--samples", ("is 21", "20 samples"), "at most 20"),
    "more tokens than there are": Bad({"--tokens": "20M"}, "--tokens", ("is 20M", "tokens"), "at most"),
    "fewer tokens than one a sample": Bad({"--tokens": "3"}, "--tokens", ("is 3", "at least 10"), "keep fewer"),
    "decimal comma": Bad({"--samples": "12,5%"}, "--samples", ("'12,5%'",), "12.5%, with a point"),
    "comma of thousands": Bad({"--samples": "5,000"}, "--samples", ("'5,000'",), "write 5000"),
    "ambiguous number": Bad({"--samples": "1.5"}, "--samples", ("is 1.5", "neither a share"), "1.5% as a percentage"),
    "old name, ambiguous": Bad({"--token-ratio": "1.4"}, "--tokens", ("is 1.4",), "2 as a count"),
    "negative share": Bad({"--samples=-0.5": ""}, "--samples", ("'-0.5'",), "positive"),
    "words": Bad({"--samples": "half"}, "--samples", ("'half'",), "a share (0.125)"),
    "nothing": Bad({"--samples": ""}, "--samples", ("''",), "a share"),
    "no number": Bad({"--tokens": "nan"}, "--tokens", ("'nan'",), "a share"),
    "unknown sample pruner": Bad({"--pair": "randm+ppl"}, "randm", ("is not a sample pruner",), "did you mean random?"),
    "unknown token pruner": Bad({"--pair": "random+pppl"}, "pppl", ("is not a token pruner",), "ppl"),
    "one half of a pair": Bad({"--pair": "random"}, "random", ("neither a joint pruner nor a pair",), "random+ppl"),
    "pair with a joint pruner": Bad({"--pair": "qtuning+ppl"}, "qtuning+ppl", ("joint pruner",), "alone"),
    "module that is not there": Bad({"--pair": "nowhere:mine+ppl"}, "nowhere:mine", ("nowhere",)),
    "unknown option": Bad({"--option": "lamda=1"}, "random+ppl", ("no option 'lamda'",), "known"),
    "option without a value": Bad({"--option": "lamda"}, "--option lamda", ("NAME=VALUE",), "neighbor_lambda=0"),
    "score that is not there": Bad({"--pair": "ifd+ppl"}, "{scores}", ("no sample column ifd",), "prunegrid extra ifd"),
    "scores that are not there": Bad({"--scores": "nowhere"}, "nowhere", ("no such file",), "correct the path"),
    "selection to match that is not there": Bad({"--match": "nowhere"}, "nowhere", ("no such file",), "correct"),
    "model that is not there": Bad({"--model": "nowhere"}, "nowhere", ("nowhere",)),
    "output below a file": Bad({"--out": "{file}/x"}, "{file}/x/selection.parquet", ("cannot be written",), "writable"),
    "output that is a file": Bad({"--out": "{file}"}, "{file}", ("is a file",), "another one"),
}


def line_of(*arguments: str) -> str:
    """The one line of a command that must end with exit code 1."""
    with pytest.raises(SystemExit) as caught:
        app.main(arguments)
    assert isinstance(caught.value.code, str), caught.value.code
    assert len(caught.value.code.splitlines()) == 1, caught.value.code
    return caught.value.code


@pytest.mark.parametrize("name", BAD)
def test_bad_pruning_is_one_line_and_writes_nothing(tmp_path: Path, scores: Path, name: str) -> None:
    bad = BAD[name]
    file = tmp_path / "file"
    file.write_text("mine")
    places = {"scores": str(scores), "file": str(file)}
    given = GOOD | {"--scores": str(scores), "--out": str(tmp_path / "out")} | bad.options
    if "--token-ratio" in given:
        del given["--tokens"]
    words = [
        word for key, value in given.items() for word in ([key, value.format(**places)] if "=" not in key else [key])
    ]
    line = line_of("prune", *words)
    assert line.startswith(f"prunegrid prune: {bad.place.format(**places)}"), line
    assert all(value in line for value in (*bad.values, bad.fix)), line
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and file.read_text() == "mine"


@pytest.fixture
def selection(tmp_path: Path, scores: Path) -> Path:
    """A selection of scores without a tokenizer."""
    out = tmp_path / "pruned"
    app.main(["prune", "--scores", str(scores), "--pair", "random+ppl", "--samples", "50%", "--out", str(out)])
    return out


def test_show_of_no_selection(tmp_path: Path) -> None:
    line = line_of("show", str(tmp_path))
    assert line.startswith(f"prunegrid show: {tmp_path}: holds no selection.json; ") and "prunegrid prune" in line


def test_show_of_scores_without_a_tokenizer(selection: Path, scores: Path) -> None:
    line = line_of("show", str(selection))
    assert line.startswith("prunegrid show: ") and "the tokenizer that was scored is missing" in line


def test_show_of_a_sample_that_is_not_kept(selection: Path) -> None:
    line = line_of("show", str(selection), "--sample", "999")
    assert line.startswith(f"prunegrid show: {selection / 'selection.parquet'}: does not keep sample_id 999; ")


def test_show_of_a_selection_whose_scores_were_moved(selection: Path, scores: Path, tmp_path: Path) -> None:
    summary = json.loads((selection / "selection.json").read_text())
    (selection / "selection.json").write_text(json.dumps(summary | {"scores": "../moved"}))
    assert "--scores" in line_of("show", str(selection))
    assert "--scores" in line_of("show", str(selection), "--scores", str(tmp_path))


def test_show_of_a_selection_of_other_scores(selection: Path, scores: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(scores, tmp_path / "other"))
    meta = json.loads((other / "meta.json").read_text())
    meta["digests"]["data"] = "0" * 64
    (other / "meta.json").write_text(json.dumps(meta))
    line = line_of("show", str(selection), "--scores", str(other))
    assert "another data" in line


def test_show_of_a_damaged_selection(selection: Path) -> None:
    file = selection / "selection.parquet"
    pq.write_table(pq.read_table(file).slice(1), file)
    assert f"{file}: is not the file that" in line_of("show", str(selection))
