"""ZeRO-3 over two ranks: a module's call is a collective, so a rank with few tokens must make as many as the other."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prunegrid.core.files import read_json
from prunegrid.experiment.training import Training
from prunegrid.selection.prune import prune
from prunegrid.training.schedule import schedule
from support import selections
from support.handmade_scores import spec
from support.killed_jobs import SETTINGS, Inputs, assert_same_weights, inject_failure, run
from support.tiny_llama import write_tiny_model

SINGLE_RANK = {"num_train_epochs": 1, "batch_tokens": 64, "zero_stage": 0, "ranks": 1, "gradient_accumulation_steps": 2}
TWO_RANKS = SINGLE_RANK | {"zero_stage": 3, "ranks": 2, "gradient_accumulation_steps": 1}
CHUNK = 8


@pytest.fixture(scope="module")
def lopsided(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, scores: Path) -> Inputs:
    """All samples are kept: those of rank 0 whole, of rank 1 the first token of the response."""
    out = tmp_path_factory.mktemp("lopsided")
    prune(scores, out, spec("random+random", 1, 1), 0)
    table = pq.read_table(out / "selection.parquet")
    ids, kept = table["sample_id"].to_numpy(), table["kept"].to_pylist()
    training = Training(**SETTINGS | TWO_RANKS)
    many, few = (schedule(ids, len(ids), training, 0, rank) for rank in range(2))
    for row in (row for step in few for batch in step for row in batch):
        kept[row] = kept[row][:1]
    most = max(sum(len(kept[row]) for batch in step for row in batch) for step in many)
    assert most > 4 * CHUNK > 4 * len(few[0][0]), "several chunks beside one"
    column = pa.array(kept, table.schema.field("kept").type)
    path, place = out / "selection.parquet", table.schema.get_field_index("kept")
    selections.rewrite(path, table.set_column(place, "kept", column))
    return Inputs(tiny_model, scores, out / "selection.parquet")


def compare(out: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch, tied: bool = False, **settings: Any) -> None:
    """Two ranks in small chunks under ZeRO-3 end, and with the weights of one rank in whole passes without ZeRO."""
    inject_failure(monkeypatch)
    run(out / "one", inputs, **SINGLE_RANK | settings)
    inject_failure(monkeypatch, "small chunks", seconds=60)
    run(out / "two", inputs, **TWO_RANKS | settings)
    first, second = (read_json(out / name / "training.json") for name in ("one", "two"))
    assert second["trained_tokens"] == first["trained_tokens"]
    assert second["passes"] > 2 * second["steps"], "steps of several passes on each rank"
    np.testing.assert_allclose(*([p["loss"] for p in report["loss_curve"]] for report in (first, second)), rtol=1e-4)
    assert_same_weights(out / "two", out / "one", exact=False, tied=tied)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        pytest.param({"method": "lora", "learning_rate": 0.1}, marks=pytest.mark.slow),
        pytest.param({"gradient_checkpointing": True}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_rank_with_few_tokens_beside_one_with_many(
    settings: dict[str, Any], tmp_path: Path, lopsided: Inputs, monkeypatch: pytest.MonkeyPatch, warm: None
) -> None:
    compare(tmp_path, lopsided, monkeypatch, **settings)


@pytest.mark.slow
def test_a_head_that_is_the_embedding_too(
    tmp_path: Path, lopsided: Inputs, monkeypatch: pytest.MonkeyPatch, warm: None
) -> None:
    tied = write_tiny_model(tmp_path / "tied", tied=True)
    compare(tmp_path, lopsided._replace(model=tied), monkeypatch, tied=True)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"method": "lora", "learning_rate": 0.1}], ids=str)
def test_dynamic_ranks_with_different_numbers_of_tokens(
    settings: dict[str, Any], tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch, warm: None
) -> None:
    compare(tmp_path, inputs, monkeypatch, dynamic=True, **settings)
