"""Which sample the figure `tokens` shows: one that makes sense to a reader, and that several pruners keep."""

from pathlib import Path
from typing import Any

import numpy as np

from prunegrid.core import files
from prunegrid.core.parts import find_table, read_parts
from prunegrid.core.ragged import Ints
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.pruners import Choice, Scores

SHORTEST, LONGEST = 12, 60
NOISE = ("wrong", "scrambled")  # kinds of the sandbox that make no sense to a reader


def pick_sample(scores: Scores, choice: Choice, votes_N: Any = None, noise_N: Any = None) -> tuple[int, int]:
    """(sample_id, Q-Tuning's token rule) of the sample to show, `scores` in order of `sample_id`.

    One that Q-Tuning keeps as Q2, of 12 to 60 response tokens, and that is no planted noise (`noise_N`); where there is
    none, one of 12 or more; then, kept by Q-Tuning or not, one of 12 to 60, of 12 or more, or of any length; then any.
    Of these, those with the most `votes_N` (cells that keep it); of these the half of lower perplexity; of these the
    one of median length, and the least `sample_id`.
    """
    treated_as_N = np.zeros(len(scores), np.int8)
    treated_as_N[choice.rows] = choice.samples.treated_as
    lengths_N = scores.response_tokens
    plain_N = np.ones(len(scores), bool) if noise_N is None else ~noise_N
    long_N, q2_N = (lengths_N >= SHORTEST) & plain_N, treated_as_N == 2
    short_N = lengths_N <= LONGEST
    masks = (long_N & q2_N & short_N, long_N & q2_N, long_N & short_N, long_N, plain_N)
    rows = next((np.flatnonzero(mask) for mask in masks if mask.any()), np.arange(len(scores)))
    if votes_N is not None:
        rows = rows[votes_N[rows] == votes_N[rows].max()]
    if "ppl" in scores.samples:
        by_ppl = rows[np.argsort(scores.samples["ppl"][rows], kind="stable")]
        rows = np.sort(by_ppl[: (len(rows) + 1) // 2])
    in_order = rows[np.argsort(lengths_N[rows], kind="stable")]
    length = lengths_N[in_order[(len(rows) - 1) // 2]]
    row = next(int(row) for row in rows if lengths_N[row] == length)
    return int(scores.sample_id[row]), int(treated_as_N[row])


def votes(root: Path, experiment: Experiment, model: str, ids: Ints) -> Ints:
    """How many static cells of the first budget and seed keep each of the samples `ids`, which ascend."""
    counts_N = np.zeros(len(ids), np.int64)
    for variant in experiment.variants:
        cell = Cell(model, variant.name, experiment.grid_budgets[0], experiment.seeds[0])
        table = find_table(root / grid.selection_folder(experiment, cell) / layout.SELECTION)
        if not grid.dynamic(experiment, cell) and table.exists():
            kept = read_parts(table, ["sample_id"])["sample_id"].to_numpy()
            counts_N += np.isin(ids, kept)
    return counts_N


def planted_noise(root: Path, experiment: Experiment, ids: Ints) -> Any:
    """Which of the samples `ids` the sandbox planted as noise (bool), or None where nothing tells kinds."""
    file = root / layout.dataset(experiment.dataset.name)
    if not file.exists() or not {"kind", "sample_id"} <= set(files.parquet_schema(file).names):
        return None
    has_words = "wrong_words" in files.parquet_schema(file).names
    table = files.read_parquet(file, ["sample_id", "kind", *(["wrong_words"] if has_words else [])])
    noise = np.isin(table["kind"].to_pylist(), NOISE)
    if has_words:
        noise |= np.array([bool(words) for words in table["wrong_words"].to_pylist()])
    return np.isin(ids, table["sample_id"].to_numpy()[noise])
