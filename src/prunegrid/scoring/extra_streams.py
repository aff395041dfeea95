"""Optional scores that are made of the scores' own tables, block by block: no model runs, no table is in memory."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_batches
from prunegrid.core.ragged import Floats
from prunegrid.models.context import context
from prunegrid.pruners import Needs
from prunegrid.pruners.columns import MEAN_EXTRAS
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.token_means import MEANS, means

ROWS = 4096  # of the token table that are in memory at a time


def mean_tables(scores: ScoresFolder, model_dir: Path, name: str) -> Iterator[pa.Table]:
    """`sample_id` and the mean `name` of its response's tokens."""
    vocabulary = vocabulary_size(model_dir)
    for block in scores.token_blocks(scores.read_samples(), Needs({}, dict.fromkeys(MEAN_EXTRAS[name], name))):
        values = means(MEANS[name](block.tokens, vocabulary), block.offsets)
        yield pa.table({"sample_id": block.sample_id, name: pa.array(values, pa.float32())})


def column_means(scores: ScoresFolder, column: str) -> Floats:
    """The mean [n] of a token column over each sample's response."""
    blocks = scores.token_blocks(scores.read_samples(), Needs({}, {column: column}))
    return np.concatenate([means(block.token(column), block.offsets) for block in blocks])


def vocabulary_size(model_dir: Path) -> int:
    """The entries of the vocabulary that the model predicts."""
    vocabulary, _ = context(model_dir)
    if not vocabulary:
        raise PrunegridError(model_dir, "its configuration has no vocab_size", "choose another pruner")
    return vocabulary


def frequency_tables(scores: ScoresFolder, model_dir: Path) -> Iterator[pa.Table]:
    """`sample_id` and, of each response token, how often its id occurs in the responses of all samples."""
    path, counts = scores.tables["token"], np.zeros(0, np.int64)
    for batch in read_batches(path, ROWS, ["response_ids"]):
        total = np.bincount(batch["response_ids"].flatten(), minlength=len(counts))
        total[: len(counts)] += counts
        counts = total
    for batch in read_batches(path, ROWS, ["sample_id", "response_ids"]):
        lists = batch["response_ids"]
        values = pa.array(counts[lists.flatten()], pa.float32())
        column = pa.ListArray.from_arrays(pa.array(np.append(0, np.cumsum(lists.value_lengths())), pa.int32()), values)
        yield pa.table({"sample_id": batch["sample_id"], "token_frequency": column})


STREAMS: dict[str, Callable[[ScoresFolder, Path], Iterator[pa.Table]]] = {
    "token_frequency": frequency_tables,
    **{name: partial(mean_tables, name=name) for name in MEAN_EXTRAS},
}
