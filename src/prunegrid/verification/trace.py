"""One score of the table step by step, back to its items, its model and its baseline.

prunegrid trace results/sandbox sandbox-1M/s0.125-t0.5/qtuning/seed0 GSM8K
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from prunegrid.core import files
from prunegrid.core.errors import PrunegridError
from prunegrid.core.text import did_you_mean
from prunegrid.experiment import grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.names import AVERAGE
from prunegrid.results import collect
from prunegrid.statistics.paired_items import KEY, read_item_scores
from prunegrid.verification.numbers import baseline_cell, read_done_rows

MAX_LISTED = 20
MAX_SHOWN = 3  # of the better items, and of the worse ones
WIDTH = 60  # of a text


def trace_score(directory: Path, cell_name: str, benchmark: str) -> list[str]:
    """Lines that lead from one score to its items, its model and its baseline."""
    experiment = collect.read_folder(directory)
    rows = read_done_rows(directory, experiment)
    scores = {(cell.name, name): (cell, row) for (cell, name), row in rows.items() if name != AVERAGE}
    cell_name = cell_name.rstrip("/")
    if (cell_name, benchmark) not in scores:
        raise _unknown_score(directory, experiment, cell_name, benchmark)
    cell, row = scores[cell_name, benchmark]
    answers = read_item_scores(directory, cell, benchmark)
    items, path = answers.rows.to_pandas(), directory / layout.answers(cell.name, benchmark)
    lines = [
        f"{cell_name}, {benchmark}: {row.score:.2f} % in {directory / layout.RESULTS}",
        f"= 100 x {items['value'].sum():g} / {len(items)} items in {path}, filter {answers.task['filter']}",
        *_origin(directory, experiment, cell, benchmark),
    ]
    base = baseline_cell(experiment, cell)
    if base and (base.name, benchmark) in scores:
        base_items = read_item_scores(directory, base, benchmark).rows.to_pandas()
        texts = [_read_texts(directory / layout.answers(name, benchmark)) for name in (cell.name, base.name)]
        lines += _delta(items, base_items, base.name, texts)
    return lines


def _unknown_score(directory: Path, experiment: Experiment, cell: str, benchmark: str) -> PrunegridError:
    """The error for whichever of the two names is unknown, with suggestions."""
    cells, benchmarks = [cell.name for cell in grid.cells(experiment)], list(experiment.evaluation.benchmarks)
    if benchmark == AVERAGE:
        fix = f"trace these: {', '.join(benchmarks)}"
        return PrunegridError(directory, f"{benchmark} is the mean of the benchmarks", fix)
    for noun, name, names in (("cell", cell, cells), ("benchmark", benchmark, benchmarks)):
        if name not in names:
            fix = did_you_mean(name, names, count=3, cutoff=0.3) or f"give one of {', '.join(names[:3])}, ..."
            return PrunegridError(directory, f"there is no {noun} {name!r}", fix)
    return PrunegridError(directory, f"{cell} has no score on {benchmark}; see the table", "run the workflow")


def _origin(directory: Path, experiment: Experiment, cell: Cell, benchmark: str) -> Iterator[str]:
    """The files behind the score, on the way back to the data."""
    path = directory / layout.score(cell.name, benchmark)
    record = files.read_json(path)
    digests = record["digests"]
    if benchmark in experiment.evaluation.imported:
        yield f"  imported: {path}, from {record['scores']}, sha256 {record['data_hash'][:12]}"
    else:
        yield f"  evaluated: {path}, weights {digests['weights'][:12]}"
    variant = experiment.variant(cell.variant) if cell.pruned else None
    if cell.trained:
        weights = ", model/" if (directory / layout.weights(cell.name)).exists() else ""
        keys = _keys(variant.training) if variant else ""
        yield f"  trained: {directory / layout.training(cell.name)}{weights}{keys}"
    if variant:
        yield f"  selected: {directory / grid.selection_summary(experiment, cell)}{_keys(variant.options)}"
        yield f"  scored with: {directory / layout.scores_meta(cell.model)}"
        yield from _score_files(directory / grid.selection_summary(experiment, cell))
    yield f"  base model: {directory / layout.base_model(cell.model)}, digest {digests['model'][:12]}"


def _keys(settings: Mapping[str, Any]) -> str:
    """The keys that the variant gives itself, as `, with reading: authors-2025-09`."""
    return f", with {', '.join(f'{key}: {value}' for key, value in settings.items())}" if settings else ""


def _score_files(summary: Path) -> Iterator[str]:
    """The files that scores of the selection were imported from, and who made them."""
    for column, made_of in (files.read_json(summary).get("extras") or {}).items():
        if "file" in made_of:
            source = f", {made_of['source']}" if made_of.get("source") else ""
            yield f"  scores {column}: from {made_of['file']}, sha256 {made_of['sha256'][:12]}{source}"


def _delta(items: pd.DataFrame, base_items: pd.DataFrame, base: str, texts: list[pd.DataFrame]) -> Iterator[str]:
    """The delta, and the items that it comes from, the first with their `texts` (`_read_texts`: of both cells)."""
    pairs = items.merge(base_items, on=KEY, suffixes=("", "_base"), validate="one_to_one")
    gap = 100 * (pairs["value"] - pairs["value_base"])
    score = 100 * base_items["value"].mean()
    yield f"against {base}: {score:.2f} %, delta {gap.mean():+.2f} points over {len(pairs)} items"
    for word, rows in {"better": gap > 0, "worse": gap < 0}.items():
        numbers = pairs.loc[rows, "doc_id"].tolist()
        ids = ", ".join(map(str, numbers[:MAX_LISTED])) + (", ..." if numbers[MAX_LISTED:] else "")
        yield f"  {word} on {len(numbers)}{': doc_id ' + ids if numbers else ''}"
        for key in pairs.loc[rows, KEY].head(MAX_SHOWN).itertuples(index=False, name=None):
            yield from _item(key, *texts)
    yield f"  equal on {(gap == 0).sum()}"


def _read_texts(path: Path) -> pd.DataFrame:
    """Question, gold and response of the items that have them, by `KEY`; files of older versions have none."""
    columns = [*KEY, "question", "gold", "response"]
    if not set(columns) <= set(files.parquet_schema(path).names):
        return pd.DataFrame(columns=columns).set_index(KEY)
    rows = files.read_parquet(path, columns)
    texts: pd.DataFrame = rows.filter(pc.is_valid(rows["question"])).to_pandas().set_index(KEY)
    return texts


def _item(key: tuple[Any, ...], texts: pd.DataFrame, base_texts: pd.DataFrame) -> Iterator[str]:
    """One line of what was asked, what is right, and both answers; none without the texts."""
    if key in texts.index and key in base_texts.index:
        item, base = texts.loc[key], base_texts.loc[key, "response"]
        question, gold, answer, other = map(_shorten, (item["question"], item["gold"], item["response"], base))
        yield f"    {key[0]}: {question} | gold: {gold} | answer: {answer} | baseline's: {other}"


def _shorten(text: str | None) -> str:
    words = " ".join((text or "").split())
    return words if len(words) <= WIDTH else f"{words[:WIDTH]}..."
