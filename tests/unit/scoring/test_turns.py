"""The same conversations with `turns: all` and `turns: each`, from a file of messages to scores and optional scores."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from prunegrid.data.datasets import write_dataset
from prunegrid.experiment.dataset import Dataset
from prunegrid.experiment.training import Scoring
from prunegrid.pruners.columns import (
    ATTENTION_SCORES,
    DERIVED_EXTRAS,
    EXTRAS,
    HEAD_SCORES,
    QUERY_EXTRAS,
    REFERENCE_EXTRAS,
    VECTOR_EXTRAS,
)
from prunegrid.scoring.extra import write_extra
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.score import score
from prunegrid.scoring.writer import gather
from support.tiny_llama import write_tiny_model

SETTINGS = Scoring(max_length=150, batch_tokens=300)
CHATML = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def messages(number: int, turns: int) -> list[dict[str, Any]]:
    """A conversation of short answers. One in the middle is context only, one is longer than the cut-off."""
    made: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}] if number % 3 == 0 else []
    for turn in range(turns):
        made.append({"role": "user", "content": f"What do cats drink? ({number}, {turn})"})
        context = {"train": False} if (number, turn) == (8, 1) else {}
        made.append(
            {
                "role": "assistant",
                "content": "Cats drink milk. " * (40 if (number, turn) == (11, 2) else 1 + (number + turn) % 3),
                **context,
            }
        )
    return made


Folders = dict[str, Path]


@pytest.fixture(scope="module", params=[None, CHATML], ids=["plain", "chatml"])
def folders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """The model, and the scores by `turns`."""
    root = tmp_path_factory.mktemp("turns")
    model = write_tiny_model(root / "model", request.param) if request.param else write_tiny_model(root / "model")
    source = root / "conversations.json"
    source.write_text(json.dumps([{"messages": messages(number, 1 + number % 6)} for number in range(12)]))
    for turns in ("each", "all"):
        data = root / turns / "data.parquet"
        dataset = Dataset(name="toy", path=str(source), turns=turns)
        write_dataset(dataset, str(source), data, data.with_suffix(".json"))
        score(model, data, root / turns / "scores", SETTINGS)
    return {"model": model, **{turns: root / turns / "scores" for turns in ("each", "all")}}


def test_the_samples_and_their_ids_are_those_of_a_row_each(folders: Folders) -> None:
    once, each = (ScoresFolder(folders[turns]).sequences() for turns in ("all", "each"))
    whole = once.expanded()
    assert once.continues_N is not None
    assert once.conversations.turns_C.max() > 2
    assert each.truncated_N.any()
    for name in ("sample_id_N", "prompt_N", "response_N", "truncated_N", "ids_T", "row_N", "turn_N"):
        assert getattr(whole, name).tolist() == getattr(each, name).tolist(), name


def test_every_score_is_that_of_a_row_each_for_fewer_positions(folders: Folders) -> None:
    tables = {
        name: [pq.read_table(folders[turns] / f"{name}.parquet") for turns in ("all", "each")]
        for name in ("samples", "tokens")
    }
    for name in HEAD_SCORES + ATTENTION_SCORES:
        once, each = (table[name].combine_chunks().flatten().to_numpy() for table in tables["tokens"])
        np.testing.assert_allclose(once, each, rtol=2e-4, atol=2e-6, err_msg=name)
    for name in ("nll", "ppl", "entropy"):
        once, each = (table[name].to_numpy() for table in tables["samples"])
        np.testing.assert_allclose(once, each, rtol=1e-4, err_msg=name)
    metas = [json.loads((folders[turns] / "meta.json").read_text()) for turns in ("all", "each")]
    assert metas[0]["positions"] < 0.75 * metas[1]["positions"]
    for name in ("samples", "fully_cut", "truncated"):
        assert metas[0][name] == metas[1][name], name


@pytest.mark.parametrize("name", sorted(EXTRAS.keys() - VECTOR_EXTRAS - DERIVED_EXTRAS.keys()))
def test_optional_scores_are_those_of_a_row_each(name: str, folders: Folders, tmp_path: Path) -> None:
    columns = []
    for turns in ("all", "each"):
        out, reference = tmp_path / turns / f"{name}.parquet", folders["model"] if name in REFERENCE_EXTRAS else None
        data = folders[turns].parent / "data.parquet"
        query = data if name in QUERY_EXTRAS else None
        write_extra(
            name, folders[turns], folders["model"], out, SETTINGS, reference_dir=reference, data=data, query=query
        )
        column = pq.read_table(out)[name].combine_chunks()
        columns.append((column if EXTRAS[name] == "sample" else column.flatten()).to_numpy())
    np.testing.assert_allclose(*columns, rtol=2e-4, atol=2e-6)


def test_shards_hold_whole_conversations(folders: Folders, tmp_path: Path) -> None:
    data = folders["all"].parent / "data.parquet"
    parts = [tmp_path / str(number) for number in (1, 2, 3)]
    for number, part in enumerate(parts, 1):
        score(folders["model"], data, part, SETTINGS, shard=(number, 3))
    gather(parts, tmp_path / "scores")
    gathered, whole = (ScoresFolder(folder).sequences() for folder in (tmp_path / "scores", folders["all"]))
    for name in ("sample_id_N", "ids_T", "continues_N"):
        assert getattr(gathered, name).tolist() == getattr(whole, name).tolist(), name
