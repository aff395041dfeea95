"""The decomposition of a gap between two rows into what each difference of a ladder contributes.

    decompose(experiment, results.read(path), root)

gives a row per number of `ladder_terms.terms`, benchmark and Avg, for each model and budget (`COLUMNS`). Each number is
a weighted sum of cells' scores, and so a difference paired by item and by seed:

- *Items*: the weighted sum of the cells' answers, item by item, is one value per item; its noise is `item_effect`'s.
- *Runs*: the variance of one seed's sum is that of its cells', each times its weight squared. They are estimated over
  all of the ladder's rows by `statistics.run_noise`: an up or down step alone has one run a seed on each side. A cell
  that is read in several columns (two decodings of one model) counts with their weighted sum.
- *Correction*: step-down max-t over the contributions of a model, budget and column, which share cells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.names import AVERAGE
from prunegrid.experiment.variant import Budget
from prunegrid.statistics import ladder_runs
from prunegrid.statistics.inference import (
    MIN_SEEDS,
    Effect,
    Noise,
    adjusted,
    correlation_of_runs,
    item_noise,
    recipe_noise,
)
from prunegrid.statistics.ladder_answers import Answers, effect, read_answers
from prunegrid.statistics.ladder_runs import Loads, Noises
from prunegrid.statistics.ladder_terms import Term, Weights, terms
from prunegrid.statistics.power import detectable
from prunegrid.statistics.question import done_scores

UNKNOWN = Noise(nan, nan, nan, nan, nan)
MOST_SEEDS = 50
PLACE = ("model", "sample_ratio", "token_ratio", "first", "second", "benchmark")
NUMBERS = (
    "points",
    "item_se",
    "item_df",
    "item_low",
    "item_high",
    "run_se",
    "run_df",
    "both_se",
    "se",
    "df",
    "low",
    "high",
)
TESTS = ("p", "p_adjusted", "level", "n_family")
COLUMNS = [*PLACE, "part", "difference", "label", "n_seeds", "n_items", *NUMBERS, *TESTS, "missing"]


@dataclass(frozen=True)
class Part:
    """A term with its effect and noise in one column of the decomposition; without an effect no seed has its cells."""

    term: Term
    benchmark: str
    effect: Effect | None
    noise: Noise
    loads: Loads
    missing: str
    p: float = nan
    p_adjusted: float = nan
    level: float = nan
    n_family: int = 0


def decompose(
    experiment: Experiment,
    frame: pd.DataFrame,
    root: Path,
    rows: Sequence[str] | None = None,
    places: Sequence[tuple[str, Budget]] | None = None,
) -> pd.DataFrame:
    """The decomposition (`COLUMNS`) of the gap between two of the ladder's rows: those of its `gap` unless given.

    `places`: models and budgets, by default all. A number whose cells are missing is null and names them.
    """
    ladder = experiment.ladder
    assert ladder is not None
    rows = rows or ladder.gap
    every = terms(ladder, rows, list(experiment.evaluation.benchmarks))
    scores, lines = done_scores(experiment, frame), list[dict[str, Any]]()
    for model, budget in places or product(experiment.models, experiment.grid_budgets):
        cells = [Cell(model, name, budget, seed) for name in ladder.variants for seed in experiment.seeds]
        answers = read_answers(root, every, {cell: scores[cell] for cell in cells if cell in scores})
        place = dict(zip(PLACE, (model, budget.sample_ratio, budget.token_ratio, *rows), strict=False))
        lines += [place | line(part) for part in Decomposition(every, experiment.seeds, answers).parts()]
    return pd.DataFrame(lines, columns=COLUMNS)


@dataclass(frozen=True)
class Decomposition:
    """Terms over the answers of one model and budget."""

    terms: Sequence[Term]
    seeds: Sequence[int]
    answers: Mapping[str, Answers]

    def parts(self) -> list[Part]:
        """Every term in every benchmark, then in Avg, contributions with their corrected p-values."""
        names = list(self.answers)
        scopes = {name: [name] for name in names} | {AVERAGE: names}
        return [
            part
            for name, scope in scopes.items()
            for part in _tested(
                [self._part(term, name, scope) for term in self.terms if any(term.weights[b] for b in scope)]
            )
        ]

    def _part(self, term: Term, name: str, scope: Sequence[str]) -> Part:
        weights = {benchmark: term.weights[benchmark] for benchmark in scope}
        seeds, missing = self._seeds(weights)
        if not seeds:
            return Part(term, name, None, UNKNOWN, {}, missing)
        result, noise = effect(self.answers, weights, seeds), UNKNOWN
        loads = ladder_runs.loads(weights, self._noises)
        if len(seeds) > 1 and loads is not None:
            known = recipe_noise(result, *ladder_runs.variance(loads))
            noise = noise if np.isnan(known.se) else known
        return Part(term, name, result, noise, loads or {}, missing)

    @cached_property
    def _noises(self) -> Noises:
        return ladder_runs.pattern_noises(self.terms, self.answers, self.seeds)

    def _seeds(self, weights: Weights) -> tuple[list[int], str]:
        """The seeds of which all cells are there, and what others lack."""
        absent = {
            (variant, seed)
            for benchmark, sources in weights.items()
            for variant, column in sources
            for seed in self.seeds
            if (variant, column, seed) not in self.answers[benchmark].values
        }
        seeds = [seed for seed in self.seeds if seed not in {other for _, other in absent}]
        return seeds, ", ".join(f"{variant}/seed{seed}" for variant, seed in sorted(absent))


def _tested(parts: Sequence[Part]) -> list[Part]:
    """The parts of one column with p-values: those of contributions corrected together."""
    result = [
        replace(part, p=part.noise.p_value(part.effect.delta, part.effect.n_differing))
        if part.effect and part.effect.n_seeds >= MIN_SEEDS
        else part
        for part in parts
    ]
    family = [i for i, part in enumerate(result) if part.term.part == "contribution" and not np.isnan(part.p)]
    if family:
        effects = [effect for i in family if (effect := result[i].effect)]
        noises = [result[i].noise for i in family]
        matrix = correlation_of_runs(effects, noises, ladder_runs.correlation([result[i].loads for i in family]))
        p_W, level = adjusted(np.array([result[i].p for i in family]), matrix)
        for i, p_adjusted in zip(family, p_W, strict=True):
            result[i] = replace(result[i], p_adjusted=float(p_adjusted), level=level, n_family=len(family))
    return result


def line(part: Part) -> dict[str, Any]:
    """The part's columns of the frame, without its place."""
    term, effect, noise = part.term, part.effect, part.noise
    columns: dict[str, Any] = {"benchmark": part.benchmark, "part": term.part, "difference": term.difference}
    columns |= {"label": term.label, "missing": part.missing, "n_seeds": 0, "n_family": part.n_family or None}
    if effect is None:
        return columns
    items, delta = item_noise(effect), effect.delta
    (item_low, item_high), (low, high) = items.interval(delta), noise.interval(delta)
    return columns | {
        "n_seeds": effect.n_seeds,
        "n_items": effect.n_items,
        "points": delta,
        "item_se": items.se,
        "item_df": items.df,
        "item_low": item_low,
        "item_high": item_high,
        "run_se": noise.run_se,
        "run_df": noise.run_df,
        "both_se": noise.both_se,
        "se": noise.se,
        "df": noise.df,
        "low": low,
        "high": high,
        "p": part.p,
        "p_adjusted": part.p_adjusted,
        "level": part.level,
    }


def seeds_to_find(frame: pd.DataFrame, points: float) -> tuple[float, int | None]:
    """The contribution to Avg that is marked four times in five with these seeds, and the seeds that `points` take.

    `frame`: of one model and budget, from `decompose`. Noise is that of the median difference, by `statistics.power`;
    None where more than `MOST_SEEDS` are needed. NaN with fewer than two seeds.
    """
    rows = frame[(frame["part"] == "contribution") & (frame["benchmark"] == AVERAGE) & (frame["n_seeds"] > 1)]
    rows = rows[rows["n_seeds"] == rows["n_seeds"].max()]
    if rows.empty:
        return nan, None
    current = int(rows["n_seeds"].max())
    detected = {seeds: float(detectable(rows, PLACE[:3], seeds)["mde"].iloc[0]) for seeds in range(2, MOST_SEEDS + 1)}
    return detected[current], next(
        (seeds for seeds in range(MIN_SEEDS, MOST_SEEDS + 1) if detected[seeds] <= points), None
    )
