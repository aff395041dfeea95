"""Fixtures that several tests share: a tiny model, a data set, its scores."""

import json
import os
from pathlib import Path

import pytest

from prunegrid.config import Dataset, Scoring
from prunegrid.data import write_dataset
from tiny import write_tiny_model

QUESTIONS = [
    "What do cats drink?",
    "Where do fish live?",
    "What is 2 + 3?",
    "What is 4 + 1?",
    "Who drinks milk?",
]
ANSWERS = [
    "Cats drink milk.",
    "In water",
    "2 + 3 = 5. #### 5",
    "5",
    "The cats do, and nobody else that I know of.",
]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The contract's Parquet of 20 samples of different lengths."""
    folder = tmp_path_factory.mktemp("data")
    rows = [
        {"prompt": f"{QUESTIONS[i % 5]} ({i})", "response": " ".join([ANSWERS[i % 5]] * (1 + i % 3))} for i in range(20)
    ]
    source = folder / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = folder / "data.parquet"
    write_dataset(Dataset(name="toy", path=str(source)), str(source), out, folder / "data.json")
    return out


@pytest.fixture(scope="session")
def scores(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, dataset: Path) -> Path:
    from prunegrid.score import score

    out = tmp_path_factory.mktemp("scores") / "tiny"
    score(tiny_model, dataset, out, Scoring(max_length=200, batch_tokens=300))
    return out


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Real data sets laid out org/name/config/split.jsonl; tests that need them skip where they are absent."""
    folder = os.environ.get("PRUNEGRID_DATA")
    if not folder:
        pytest.skip("PRUNEGRID_DATA names no data mirror")
    return Path(folder)
