"""One model's answers to one benchmark, read from its cells' item files and packed for the page.

An answer is a number into its item's own list of different answers, a score one into the list of different scores:
in arrays [I, E] of the smallest integers, item by item, so that cells that agree compress well.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from prunegrid.core import files
from prunegrid.core.ragged import Ints
from prunegrid.evaluation.items import read_items
from prunegrid.experiment import layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.report.page import packed
from prunegrid.statistics.paired_items import ItemScores, disagreement, read_item_scores
from prunegrid.tasks.stock import StockTask

TEXTS = ("question", "gold", "response")
LONGEST = 20_000  # letters of a text
NUMBER = r"(-?\d+(\.\d+)?(e[-+]?\d+)?|-?Infinity|NaN)"
NUMBERS = rf"^\[{NUMBER}(, {NUMBER})+\]$"  # an answer to a question with options: nats of each
Blocks = dict[str, str]


class ItemTable(NamedTuple):
    """What the page has of it: the cells in the order of the columns, the cells that could not be paired with the
    first and why, facts of the items, and packed blocks by their kind: `scores`, `prompts`, `answers`."""

    cells: list[Cell]
    left_out: dict[Cell, str]
    facts: dict[str, Any]
    blocks: dict[str, Blocks]

    @property
    def size(self) -> int:
        return sum(len(block) for blocks in self.blocks.values() for block in blocks.values())


def read_item_table(
    root: Path, experiment: Experiment, cells: Sequence[Cell], benchmark: str, shown: bool = True
) -> ItemTable:
    """Read each cell's items once; those that were not asked the same ones as the first cell are left out.

    Texts that are not `shown` are left out: questions, right answers, and answers other than numbers of options.
    """
    first = read_item_scores(root, cells[0], benchmark, TEXTS)
    read, values, answers, left_out = [cells[0]], [first.values], [_responses(first, shown)], {}
    for cell in cells[1:]:
        other = read_item_scores(root, cell, benchmark, ["response"])
        if reason := disagreement(first, other):
            left_out[cell] = reason
            continue
        read.append(cell)
        values.append(other.values)
        answers.append(_responses(other, shown))
    texts, facts = _prompts(root, experiment, benchmark, first) if shown else _digests(first)
    scores, distinct = _scores(first, np.stack(values, axis=1))
    kinds = {"scores": scores, "prompts": texts, "answers": _answers(answers)}
    answered = any(pc.any(pc.not_equal(each, "")).as_py() for each in answers)  # imported scores have no answers
    facts |= {"metric": first.task["metric"], "binary": set(distinct) <= {0.0, 1.0}, "answered": answered}
    return ItemTable(read, left_out, {"n": len(first.rows), **facts}, kinds)


def _responses(scores: ItemScores, shown: bool) -> pa.Array:
    """The answers; of options their numbers to two decimals, with spaces between."""
    responses = scores.rows["response"].combine_chunks() if "response" in scores.rows.column_names else None
    if responses is None:
        return pa.array([""] * len(scores.rows))
    if not pc.all(pc.match_substring_regex(responses, NUMBERS)).as_py():
        return pc.fill_null(responses, "") if shown else pa.array([""] * len(responses))
    rows = json.loads(f"[{','.join(responses.to_pylist())}]")
    return pa.array([" ".join(f"{number:.2f}" for number in row) for row in rows])


def _scores(first: ItemScores, values_IE: Any) -> tuple[Blocks, list[float]]:
    """The blocks of the scores: numbers of the items, their clusters, the scores; and the scores that occur."""
    distinct, codes_IE = np.unique(values_IE, return_inverse=True)
    ids, clusters = np.asarray(first.rows["doc_id"]), pd.factorize(first.rows["cluster"].to_numpy())[0]
    kind, codes = narrow(codes_IE.reshape(values_IE.shape))
    single = len(np.unique(clusters)) == len(clusters)
    head = {
        "type": kind,
        "values": distinct.tolist(),
        "ids": None if np.array_equal(ids, np.arange(len(ids))) else ids.tolist(),
        "clusters": None if single else clusters.tolist(),
    }
    return {"head": packed(json.dumps(head)), "codes": packed(codes)}, distinct.tolist()


def _prompts(root: Path, experiment: Experiment, benchmark: str, scores: ItemScores) -> tuple[Blocks, dict[str, Any]]:
    """The block of the questions, right answers and options, each null where the folder does not have it.

    Where the item files hold no question, the fields of the benchmark's own items stand for it, and the fact
    `prompts_are` says so: `asked`, `fields`, or null if neither is known.
    """
    names = set(scores.rows.column_names)
    lists = [scores.rows[name].to_pylist() if name in names else None for name in ("question", "gold")]
    questions, golds = ([_cut(text or "") for text in texts] if texts is not None else None for texts in lists)
    docs, field = _docs(root, experiment, benchmark, scores)
    prompts = "asked" if questions is not None else "fields" if docs else None
    content = {
        "questions": questions if questions is not None else [_cut(_fields(doc)) for doc in docs] if docs else None,
        "golds": golds,
        "options": [[_cut(str(text)) for text in _value(doc, field)] for doc in docs] if docs and field else None,
        "names": None if prompts else scores.rows["doc_hash"].to_pylist(),
    }
    return {"text": packed(json.dumps(content))}, {"prompts_are": prompts}


def _digests(scores: ItemScores) -> tuple[Blocks, dict[str, Any]]:
    """The block of a page without texts: items by their digests."""
    content = {"questions": None, "golds": None, "options": None, "names": scores.rows["doc_hash"].to_pylist()}
    return {"text": packed(json.dumps(content))}, {"prompts_are": None}


def _docs(
    root: Path, experiment: Experiment, benchmark: str, scores: ItemScores
) -> tuple[list[dict[str, Any]] | None, str | None]:
    """The items as the task reads them, and the field of their options; None unless they are those that were asked."""
    path = root / layout.benchmark_items(benchmark)
    record = files.read_json(scores.record)
    if benchmark not in experiment.evaluation.asked or not path.is_file():
        return None, None
    task, config = experiment.evaluation.find_task(benchmark), experiment.evaluation.benchmarks[benchmark]
    if isinstance(task, StockTask) or files.sha256(path) != record.get("data_hash"):
        return None, None
    field = task.metadata.get("options", {}).get("texts")
    if field is None and "question" in scores.rows.column_names:
        return None, None
    docs = read_items(path, task, config.data, config.limit, has_examples=bool(config.examples)).docs
    return [docs[number] for number in scores.rows["doc_id"].to_pylist()], field


def _fields(doc: dict[str, Any]) -> str:
    """A line a field."""
    texts = {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for name, value in doc.items()
    }
    return "\n".join(f"{name}: {text}" for name, text in texts.items())


def _value(doc: Any, field: str) -> Any:
    for part in field.split("."):
        doc = doc[part]
    return doc


def _answers(answers: Sequence[pa.Array]) -> Blocks:
    """The blocks of the answers [E] of [I]: each item's different ones, and which of them a cell gave."""
    whole = pa.chunked_array(answers).combine_chunks().dictionary_encode()
    texts, items = whole.dictionary, len(answers[0])
    numbers_IE = np.asarray(whole.indices).reshape(len(answers), items).T.astype(np.int64)
    places_IE = np.arange(items)[:, None] * len(texts) + numbers_IE
    pairs, inverse, counts = np.unique(places_IE, return_inverse=True, return_counts=True)
    # an item's answers by how many cells gave them: the most frequent one is number 0
    order = np.lexsort((-counts, pairs // len(texts)))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    sizes = np.bincount(pairs // len(texts), minlength=items)
    starts = np.cumsum(sizes) - sizes
    kind, codes = narrow(rank[inverse].reshape(places_IE.shape) - starts[:, None])
    ordered = texts.take(pa.array(pairs[order] % len(texts))).to_pylist()
    content = {"type": kind, "sizes": sizes.tolist(), "texts": [_cut(text) for text in ordered]}
    return {"texts": packed(json.dumps(content)), "given": packed(codes)}


def narrow(numbers: Ints) -> tuple[str, bytes]:
    """Numbers from 0 as little-endian bytes of the smallest type that holds them, and its name."""
    kind = np.min_scalar_type(int(numbers.max(initial=0)))
    return kind.name, numbers.astype(kind.newbyteorder("<")).tobytes()


def _cut(text: str) -> str:
    """The text, or its beginning and how much was cut."""
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]} … ({len(text) - LONGEST:,} more characters, which this page leaves out)"
