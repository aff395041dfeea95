"""The data and the model that the pages for people with data of their own name: `my-data.json`, `my-model`."""

import json
from pathlib import Path

from support.tiny_llama import write_tiny_model

QUESTIONS = ["What do cats drink?", "Where do fish live?", "What is 2 + 3?"]
ANSWERS = ["Cats drink milk.", "Fish live in water.", "2 + 3 = 5."]


def write_inputs(folder: Path, fields: tuple[str, ...]) -> None:
    """A JSON array of 40 rows whose two fields have these names, and a tiny model."""
    texts = [(f"{QUESTIONS[i % 3]} ({i})", " ".join([ANSWERS[i % 3]] * (1 + i % 4))) for i in range(40)]
    (folder / "my-data.json").write_text(json.dumps([dict(zip(fields, row, strict=True)) for row in texts]))
    write_tiny_model(folder / "my-model")
