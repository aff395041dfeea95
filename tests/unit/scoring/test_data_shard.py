"""Which rows of the training set a shard has."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prunegrid.models import prepare_tokenizer
from prunegrid.scoring import data_shard
from prunegrid.scoring.data_shard import tokenise_shard
from prunegrid.scoring.render import Renderer


@pytest.mark.parametrize("rows", [1, 5, 21])
@pytest.mark.parametrize("shards", [1, 2, 7])
def test_shards_have_every_row_one_time_in_order(
    tiny_model: Path, tmp_path: Path, rows: int, shards: int, monkeypatch: Any
) -> None:
    """Chunks, row groups and shards end at different rows."""
    monkeypatch.setattr(data_shard, "CHUNK", 4)
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    table = pa.table({"sample_id": np.arange(rows), "messages": [messages] * rows})
    pq.write_table(table, tmp_path / "data.parquet", row_group_size=6)
    renderer = Renderer(prepare_tokenizer(tiny_model))
    for number in range(1, shards + 1):
        sequences, cut = tokenise_shard(tmp_path / "data.parquet", renderer, 100, (number, shards))
        expected = range((number - 1) * rows // shards, number * rows // shards)
        assert sequences.sample_id_N.tolist() == list(expected)
        assert cut == 0
