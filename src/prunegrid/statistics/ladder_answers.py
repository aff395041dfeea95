"""The answers that a ladder's decomposition reads: of each benchmark, the items of all its columns, one to one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Floats, Ints
from prunegrid.experiment.grid import Cell
from prunegrid.statistics.inference import Effect, average_effect, item_effect
from prunegrid.statistics.ladder_terms import Term, Weights
from prunegrid.statistics.paired_items import pair_items, read_item_scores

ITEM = ["doc_id", "doc_hash"]


@dataclass(frozen=True)
class Answers:
    """Of one benchmark: values 0..1 [I] by variant, column and seed, the items' clusters [I], and its columns."""

    values: Mapping[tuple[str, str, int], Floats]
    cluster_I: Ints
    columns: Sequence[str]


def read_answers(root: Path, terms: Sequence[Term], done: Mapping[Cell, Mapping[str, float]]) -> dict[str, Answers]:
    """The answers of each benchmark of the terms; `done` has the scores of the cells that are finished.

    Raises `PrunegridError` if two columns of a benchmark have other items.
    """
    used = {name: sorted({column for term in terms for _, column in term.weights[name]}) for name in terms[0].weights}
    return {name: _answers(root, columns, done) for name, columns in used.items()}


def _answers(root: Path, columns: Sequence[str], done: Mapping[Cell, Mapping[str, float]]) -> Answers:
    values: dict[tuple[str, str, int], Floats] = {}
    cluster_I, first = np.zeros(0, np.int64), None
    for column in columns:
        cells = [cell for cell, scores in done.items() if column in scores]
        if not cells:
            continue
        items = pair_items(root, cells, column)
        other = read_item_scores(root, cells[0], column)
        first = first or other
        if not other.rows.select(ITEM).equals(first.rows.select(ITEM)):
            problem = f"has other items than {first.record.name}"
            raise PrunegridError(other.record, problem, "give both columns of the ladder the same data and limit")
        cluster_I = items.cluster_I
        for cell, values_I in zip(cells, items.values_EI, strict=True):
            assert cell.seed is not None
            values[cell.variant, column, cell.seed] = values_I
    return Answers(values, cluster_I, columns)


def effect(answers_of: Mapping[str, Answers], weights: Weights, seeds: Sequence[int]) -> Effect:
    """The mean over the benchmarks of the weighted sums, paired by item and seed."""
    effects = []
    for benchmark, sources in weights.items():
        answers = answers_of[benchmark]
        sums = [sum(weight * answers.values[*source, seed] for source, weight in sources.items()) for seed in seeds]
        part = item_effect(np.stack(sums), answers.cluster_I) if sources else _nothing(answers, len(seeds))
        effects.append(part)
    return average_effect(effects)


def _nothing(answers: Answers, seeds: int) -> Effect:
    """The effect in a benchmark that a difference does not touch."""
    clusters = int(answers.cluster_I.max(initial=-1)) + 1
    return Effect(np.zeros(seeds), np.zeros(clusters), 0.0, 0.0, clusters - 1, len(answers.cluster_I), clusters, 0)
