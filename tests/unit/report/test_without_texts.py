"""A page made without texts holds no prompt, answer or sample of the data; one with texts holds them."""

import json
from pathlib import Path

import pytest

from prunegrid.cli import main
from prunegrid.core import files
from prunegrid.experiment import layout
from support.finished_folder import write_finished
from support.folder_contents import unpacked_html


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    write_finished(home)
    return home / "results/whole"


def unpacked(page: Path) -> str:
    """All that a page and the pages beside it hold, as one text."""
    return unpacked_html("".join(path.read_text() for path in [page, *page.parent.glob(f"{page.stem}-items/*.html")]))


def texts_of(root: Path) -> set[str]:
    """Texts of the training set and of the benchmarks' items, as JSON writes them."""
    samples = files.read_parquet(next((root / "data").glob("*.parquet")))["messages"].to_pylist()
    texts = {message["content"] for sample in samples for message in sample}
    for path in (root / "data/benchmarks").glob("*.jsonl"):
        texts |= {json.loads(line)["question"] for line in path.read_text().splitlines()}
    return {json.dumps(text)[1:-1] for text in texts if len(text) > 8}


def test_page_without_texts_holds_none_of_the_datas(root: Path, tmp_path: Path) -> None:
    whole, bare = tmp_path / "whole.html", tmp_path / "bare.html"
    main(["report", str(root), "--out", str(whole)])
    main(["report", str(root), "--out", str(bare), "--without-texts"])
    texts = texts_of(root)
    assert len(texts) > 5
    assert {text for text in texts if text in unpacked(whole)}
    assert not {text for text in texts if text in unpacked(bare)}
    assert "This page was made without texts." in unpacked(bare)


def test_page_of_a_selection_without_texts_holds_none(root: Path, tmp_path: Path) -> None:
    selection = next((root / "pruned").rglob(layout.SUMMARY)).parent
    page = tmp_path / "page.html"
    main(["report", str(selection), "--scores", str(next((root / "scores").iterdir())), "--out", str(page)])
    texts = {text for text in texts_of(root) if text in unpacked(page)}
    assert texts
    arguments = ["--scores", str(next((root / "scores").iterdir())), "--without-texts"]
    main(["report", str(selection), *arguments, "--out", str(page)])
    assert not {text for text in texts if text in unpacked(page)}
