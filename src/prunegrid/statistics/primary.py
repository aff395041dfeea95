"""The contrasts of a config: the mean of a row's deltas over benchmarks, models and budgets, as one question.

Every delta of the mean is over the same seeds of its model. Noise:

- *Items* of a benchmark are the same for all models: their clusters' residuals are averaged over models before they are
  squared, so what an item does to all models stays. Benchmarks are independent.
- *Runs* of different models are independent. Within a model the variance of a seed's mean difference is that of the
  rows' means over the contrast's benchmarks and budgets, by `statistics.run_noise` over all rows of the experiment that
  have these cells: that is as large a pool as the table's own.

Holm's correction (1979) covers the contrasts of the config, which is their stated family.
"""

from collections.abc import Mapping, Sequence
from math import nan, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from prunegrid.core.errors import PrunegridError
from prunegrid.core.frames import read_frame, typed, write_frame
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.contrasts import PrimaryContrast
from prunegrid.experiment.names import AVERAGE
from prunegrid.statistics.deltas import TOLERANCE
from prunegrid.statistics.families import Comparison, run_noises
from prunegrid.statistics.inference import (
    ALPHA,
    MIN_SEEDS,
    Effect,
    Noise,
    average_effect,
    holm,
    item_effect,
    item_noise,
    recipe_noise,
)
from prunegrid.statistics.paired_items import pair_items
from prunegrid.statistics.question import Question, Scores, done_scores, item_values, question_of, seed_scores

SCHEMA = pa.schema(
    {
        "contrast": pa.string(),
        "variants": pa.string(),
        "against": pa.string(),
        "models": pa.string(),
        "budgets": pa.string(),
        "benchmarks": pa.string(),
        "n_seeds": pa.int64(),
        "n_items": pa.int64(),
        "n_clusters": pa.int64(),
        "delta": pa.float64(),
        "item_se": pa.float64(),
        "item_df": pa.float64(),
        "item_low": pa.float64(),
        "item_high": pa.float64(),
        "item_p": pa.float64(),
        "run_se": pa.float64(),
        "run_df": pa.float64(),
        "both_se": pa.float64(),
        "se": pa.float64(),
        "df": pa.float64(),
        "low": pa.float64(),
        "high": pa.float64(),
        "p": pa.float64(),
        "p_adjusted": pa.float64(),
        "n_family": pa.int64(),
        "significant": pa.bool_(),
    }
)


def primary(experiment: Experiment, frame: pd.DataFrame, root: Path) -> pd.DataFrame:
    """A row per contrast (`SCHEMA`), from the results frame and the item files below `root`.

    Its noise and delta are null until every model has a seed with all of the contrast's cells.
    """
    scores = done_scores(experiment, frame)
    rows = [_row(experiment, name, contrast, scores, root) for name, contrast in experiment.contrasts.items()]
    return _corrected(typed(pd.DataFrame(rows, columns=SCHEMA.names), SCHEMA))


def nothing() -> pd.DataFrame:
    """The frame of a config without contrasts."""
    return typed(pd.DataFrame(columns=SCHEMA.names), SCHEMA)


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write the frame as Parquet with exactly the columns and types of `SCHEMA`, whole or not at all."""
    write_frame(frame, path, SCHEMA)


def read(path: Path) -> pd.DataFrame:
    """The frame that `write` wrote; `PrunegridError` if the file is damaged or lacks a column."""
    return read_frame(path, SCHEMA)


def _row(experiment: Experiment, name: str, contrast: PrimaryContrast, scores: Scores, root: Path) -> dict[str, Any]:
    models = contrast.members("models", list(experiment.models))
    questions = [question_of(experiment, contrast, model, scores) for model in models]
    n_seeds = min(len(question.seeds) for question in questions)
    named: dict[str, Any] = {
        "contrast": name,
        "variants": ", ".join(contrast.variants),
        "against": contrast.against,
        "models": ", ".join(models),
        "budgets": ", ".join(budget.name for budget in questions[0].budgets),
        "benchmarks": ", ".join(questions[0].benchmarks),
        "n_seeds": n_seeds,
    }
    if not n_seeds:
        return named
    effect, noise = _combined([_answer(question, scores, root) for question in questions])
    return named | _columns(effect, noise, tested=n_seeds >= MIN_SEEDS)


def _answer(question: Question, scores: Scores, root: Path) -> tuple[dict[str, Effect], float, float]:
    """The model's effect by benchmark, the variance of a seed's mean difference, and its degrees of freedom."""
    contrast, effects = question.contrast, dict[str, Effect]()
    columns: dict[str, list[Comparison]] = {}
    for name in question.benchmarks:
        cells = [
            cell
            for row in (*question.rows, contrast.against)
            for s in question.seeds
            for cell in question.cells(row, s)
        ]
        cells = list(dict.fromkeys(cells))
        items = pair_items(root, cells, name)
        indices = {cell: index for index, cell in enumerate(cells)}
        values = {row: item_values(question, row, items, indices) for row in (*question.rows, contrast.against)}
        columns[name] = [
            Comparison(row, contrast.against, item_effect(values[row] - values[contrast.against], items.cluster_I))
            for row in question.rows
        ]
        mean_SI = np.mean([values[row] for row in contrast.variants], axis=0)
        effects[name] = item_effect(mean_SI - values[contrast.against], items.cluster_I)
    _check_scores(question, scores, effects)
    return effects, *_run_variance(question, columns, scores)


def _run_variance(question: Question, columns: dict[str, list[Comparison]], scores: Scores) -> tuple[float, float]:
    """Of the mean of the contrast's variants minus the baseline, for one seed: variance and degrees of freedom.

    Rows' runs are independent. All variances lean on the same pool, so their errors are taken for fully dependent.
    """
    columns = columns | {AVERAGE: [_mean([columns[name][i] for name in columns]) for i in range(len(question.rows))]}
    runs = {name: seed_scores(question, [name], scores) for name in question.benchmarks}
    runs[AVERAGE] = seed_scores(question, question.benchmarks, scores)
    noises = run_noises(columns, runs, [AVERAGE])[AVERAGE]
    variants = question.contrast.variants
    shares = dict.fromkeys(variants, 1 / len(variants) ** 2) | {question.contrast.against: 1.0}
    parts = [(shares[row] * noises[row][0], noises[row][1]) for row in shares if row in noises]
    total = sum(variance for variance, _ in parts)
    if not total > 0 or any(not df > 0 for _, df in parts):
        return total, min((df for _, df in parts), default=1.0) or 1.0
    return total, (total / sum(variance / sqrt(df) for variance, df in parts)) ** 2


def _mean(comparisons: Sequence[Comparison]) -> Comparison:
    first = comparisons[0]
    return Comparison(first.variant, first.baseline, average_effect([comparison.effect for comparison in comparisons]))


def _check_scores(question: Question, scores: Scores, effects: Mapping[str, Effect]) -> None:
    """The items must give the difference of the table's scores."""
    contrast = question.contrast
    for name, effect in effects.items():
        runs = seed_scores(question, [name], scores)
        sides = [
            np.mean([np.mean(list(runs[row].values())) for row in rows])
            for rows in (contrast.variants, [contrast.against])
        ]
        if not abs(sides[0] - sides[1] - effect.delta) <= TOLERANCE:
            problem = (
                f"the table's scores differ by {sides[0] - sides[1]:.8g} points, their items by {effect.delta:.8g}"
            )
            raise PrunegridError(f"{question.model}, {name}", problem, "collect the table again")


def _combined(answers: Sequence[tuple[dict[str, Effect], float, float]]) -> tuple[Effect, Noise]:
    """The mean over models: items are common to them, runs are not."""
    number = len(answers)
    effect = average_effect([_over_models([effects[name] for effects, _, _ in answers]) for name in answers[0][0]])
    runs = [
        recipe_noise(average_effect(list(effects.values())), variance, df) if _repeated(effects) else None
        for effects, variance, df in answers
    ]
    known = [noise for noise in runs if noise is not None]
    if len(known) < number:
        return effect, Noise(nan, nan, nan, nan, nan)
    squares = np.array([noise.run_se**2 + noise.both_se**2 for noise in known])
    uncertain = sum(square**2 / noise.run_df for square, noise in zip(squares, known, strict=True))
    run_df = float(squares.sum() ** 2 / uncertain) if uncertain > 0 else known[0].run_df
    run_se = sqrt(sum(noise.run_se**2 for noise in known)) / number
    return effect, Noise(effect.item_se, effect.item_df, run_se, run_df, effect.both_se)


def _repeated(effects: Mapping[str, Effect]) -> bool:
    return next(iter(effects.values())).n_seeds > 1


def _over_models(effects: Sequence[Effect]) -> Effect:
    """One benchmark's effect, the mean over models that were asked the same items."""
    number, first = len(effects), effects[0]
    if len({(effect.n_items, effect.n_clusters) for effect in effects}) > 1:
        raise PrunegridError(
            "contrasts", "models were evaluated on different items of a benchmark", "evaluate them on the same"
        )
    return Effect(
        np.array([np.mean([effect.delta for effect in effects])]),
        np.mean([effect.residual_U for effect in effects], axis=0),
        sqrt(sum(effect.both_se**2 for effect in effects)) / number,
        sum(effect.added_se for effect in effects) / number,
        first.item_df,
        first.n_items,
        first.n_clusters,
        max(effect.n_differing for effect in effects),
    )


def _columns(effect: Effect, noise: Noise, *, tested: bool) -> dict[str, Any]:
    items, delta = item_noise(effect), effect.delta
    (item_low, item_high), (low, high) = items.interval(delta), noise.interval(delta)
    return {
        "n_items": effect.n_items,
        "n_clusters": effect.n_clusters,
        "delta": delta,
        "item_se": items.se,
        "item_df": items.df,
        "item_low": item_low,
        "item_high": item_high,
        "item_p": items.p_value(delta, effect.n_differing),
        "run_se": noise.run_se,
        "run_df": noise.run_df,
        "both_se": noise.both_se,
        "se": noise.se,
        "df": noise.df,
        "low": low,
        "high": high,
        "p": noise.p_value(delta, effect.n_differing) if tested else nan,
    }


def _corrected(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with Holm's correction over the contrasts; null where there is no p."""
    tested = frame["p"].notna()
    p_adjusted = holm(frame["p"].to_numpy(dtype=np.float64))
    family = pd.array([int(tested.sum()) if known else None for known in tested], dtype="Int64")
    marked = (pd.Series(p_adjusted, index=frame.index) < ALPHA).astype("boolean").where(tested)
    return frame.assign(p_adjusted=p_adjusted, n_family=family, significant=marked)
