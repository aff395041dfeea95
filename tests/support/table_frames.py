"""Results and deltas frames made by hand, and the tables they are laid out as."""

from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd

from prunegrid.core.files import Record
from prunegrid.core.frames import typed
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.names import REFERENCES
from prunegrid.experiment.variant import Budget
from prunegrid.results import collect
from prunegrid.statistics.deltas import SCHEMA
from prunegrid.status import FailedStep
from prunegrid.table.document import Entry, Table
from prunegrid.table.layout import lay_out

NOTE = "A sandbox: nothing here is about real models."
BUDGET = Budget(sample_ratio=0.125, token_ratio=0.5)


def cell(
    variant: str, *scores: float | str, method: str | None = None, seed: int | None = 0, **other: Any
) -> list[Record]:
    """A cell's rows for benchmarks A, B, ... and Avg; a word in place of a score is a status."""
    sample, _, token = (method or variant).partition("+")
    reference = variant in REFERENCES
    shared = {
        "model": "m",
        "sample_ratio": None if reference else 0.125,
        "token_ratio": None if reference else 0.5,
        "sample_pruner": sample,
        "token_pruner": token or None,
        "variant": variant,
        "seed": None if variant == "zero-shot" else seed,
    }
    rows = [
        shared
        | {"benchmark": name, "score": score, "status": "done"}
        | ({"score": None, "status": score} if isinstance(score, str) else {})
        | other
        for name, score in zip("ABCDE", scores, strict=False)
    ]
    return [*rows, collect.average(rows)]


def delta(variant: str, benchmark: str, points: float, *, against: str = "random+random", **other: Any) -> Record:
    """A row of the deltas frame: one seed and item noise of 2 points each way, unless `other` says more."""
    return {
        "model": "m",
        "sample_ratio": 0.125,
        "token_ratio": 0.5,
        "variant": variant,
        "benchmark": benchmark,
        "against": against,
        "n_seeds": 1,
        "delta": points,
        "item_low": points - 2,
        "item_high": points + 2,
    } | other


def three_seed_interval(low: float, high: float, p_adjusted: float) -> Record:
    """What `delta` has besides where three seeds are compared."""
    return two_seed_interval(low, high) | {"n_seeds": 3, "p_adjusted": p_adjusted, "significant": p_adjusted < 0.05}


def noise(seeds: int, sd: float) -> Record:
    """Of a family of 17 rows over so many seeds whose differences spread by `sd` points; hardly any of the items."""
    runs = {"run_se": sd / seeds**0.5, "run_df": 5.0 * (seeds - 1), "both_se": 0.0}
    return {"n_seeds": seeds, "item_se": 0.1, "item_df": 1e4, "level": 0.004, "n_family": 17, **runs}


def two_seed_interval(low: float, high: float) -> Record:
    """What `delta` has besides where two seeds are compared: an interval, and no test."""
    return {"n_seeds": 2, "low": low, "high": high}


def deltas(*rows: Record) -> pd.DataFrame:
    """The deltas frame, with the columns and types that `prunegrid.statistics.deltas` gives it."""
    return typed(pd.DataFrame(rows, columns=SCHEMA.names), SCHEMA)


def laid_out(*cells: Sequence[Record], **options: Any) -> Table:
    frame = collect.tidy([row for rows in cells for row in rows])
    frame = collect.with_deltas(frame, dict.fromkeys(frame["variant"], "random+random"))
    return lay_out(frame, **{"title": "T", "note": NOTE} | options)


def entry(table: Table, label: str, benchmark: str, model: str = "m") -> Entry:
    row = next(row for row in table.rows if label in (row.sample, f"{row.sample}+{row.token}"))
    return row.entries[model, benchmark]


SMALL = (
    cell("zero-shot", 10, 20),
    cell("random+random", 30, 8),
    cell("random+ppl", 30, 7.5),
    cell("entropy+ppl", "failed", "failed"),
    cell("qtuning", 33.333, 8),
    cell("q0", "missing", 6, method="qtuning"),
    cell("full", 40, 50),
)
FAILED = {Cell("m", "entropy+ppl", BUDGET, 0): FailedStep("train", Path("a/b.log"))}
SPENT = {
    "realised_sample_ratio": 0.125,
    "realised_token_ratio": 0.5134,
    "trained_tokens": 12345,
    "train_seconds": 100.0,
    "scoring_seconds": 20.0,
}
SEEDS = (0, 1, 2)
ENTROPY = ((20, 3), ("failed", "failed"), ("missing", "missing"))
LONGEST = ((21, 4), ("stale", "running"), ("stale", "stale"))
SEEDED = (
    cell("zero-shot", 10, 20),
    *(cell("random+random", 30 + 2 * seed, 8, seed=seed, **SPENT) for seed in SEEDS),
    *(cell("random+ppl", 31 + 4 * seed, 9, seed=seed, **SPENT) for seed in SEEDS),
    *(cell("entropy+ppl", *ENTROPY[seed], seed=seed, **SPENT) for seed in SEEDS),
    *(cell("longest+ppl", *LONGEST[seed], seed=seed, **SPENT) for seed in SEEDS),
    *(cell("qtuning", "stale", "running", seed=seed, **SPENT) for seed in SEEDS),
    *(cell("full", 40, "missing", seed=seed, **SPENT) for seed in SEEDS),
)
SEEDED_DELTAS = deltas(
    delta("random+ppl", "A", 3, **three_seed_interval(1.5, 4.5, 0.0123)),
    delta("random+ppl", "B", 1, **three_seed_interval(-1.25, 3.25, 0.4)),
    delta("random+ppl", "Avg", 2, **three_seed_interval(-0.25, 4.25, 0.081)),
    delta("entropy+ppl", "A", -10),
    delta("entropy+ppl", "B", -5),
    delta("entropy+ppl", "Avg", -7.5),
)
SEEDED_FAILED = {Cell("m", "entropy+ppl", BUDGET, 1): FailedStep("train", Path("a/b.log"))}


def seeded(**options: Any) -> Table:
    """A table with everything in it: three seeds, marks, all statuses, costs and a footer."""
    given = {"deltas": SEEDED_DELTAS, "failures": SEEDED_FAILED, "footer": ("Protocol: p.", "MDE: 3 points.")}
    return laid_out(*SEEDED, **given | options)


class Page(HTMLParser):
    """All start tags with attributes, and the text of each row with the row's classes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[tuple[str, list[str]]] = []
        self.bold: list[str] = []
        self._bold = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append((dict(attrs).get("class") or "", []))
        self._bold = tag == "b"

    def handle_data(self, data: str) -> None:
        if data.strip() and self.rows:
            self.rows[-1][1].append(data.strip())
        if self._bold:
            self.bold.append(data)
            self._bold = False
