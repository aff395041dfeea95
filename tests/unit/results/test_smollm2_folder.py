"""docs/results/smollm2, the results that this repository publishes: they read, verify, and hold no data set's text."""

import json
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from prunegrid.experiment import layout
from prunegrid.table import build as tables
from prunegrid.verification.verify import verify
from support.folder_contents import contents
from support.snakemake_runs import ROOT

FOLDER = ROOT / "docs/results/smollm2"
MADE_BY = re.compile(r"(?m)^Config .*; table by .*$")


def test_the_folders_table_comes_from_its_files(tmp_path: Path) -> None:
    copy = shutil.copytree(FOLDER, tmp_path / "results/smollm2")
    tables.build(copy)
    made, committed = ((folder / "table/table.md").read_text() for folder in (copy, FOLDER))
    assert MADE_BY.sub("", made) == MADE_BY.sub("", committed)
    assert pq.read_table(copy / layout.RESULTS).equals(pq.read_table(FOLDER / layout.RESULTS))


def test_the_folder_is_whole_and_names_no_machine() -> None:
    assert [str(problem) for problem in verify(FOLDER).problems] == []
    assert not re.search(r'"/(?:home|root|tmp|work|mnt|data)/', contents(FOLDER))
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 8_000_000


@pytest.mark.data
def test_the_folder_holds_no_text_of_a_data_set(mirror: Path) -> None:
    """Long enough texts of every hundredth row of each data set."""
    held = contents(FOLDER)
    for path in mirror.rglob("*.jsonl"):
        for line in path.read_text().splitlines()[::100]:
            row = json.loads(line)
            texts = [text for text in row.values() if isinstance(text, str) and len(text) > 24]
            assert not [text for text in texts if text in held or json.dumps(text)[1:-1] in held], path
