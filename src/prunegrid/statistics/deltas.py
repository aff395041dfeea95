"""The difference of each variant's score from that of its baseline, with its intervals and p-values.

    deltas(results.read(path), root, [Contrast("llama2-7b", budget, "qtuning", budget, "random+random")])

gives a row per contrast and benchmark (`SCHEMA`): the paired difference over seeds and items, in points.
docs/reference/statistics.md says what each interval covers. A contrast has no row if no seed is done on both sides.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from prunegrid.core.errors import PrunegridError
from prunegrid.core.frames import read_frame, typed, write_frame
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.names import AVERAGE
from prunegrid.experiment.variant import Budget
from prunegrid.statistics.families import Assessment, Comparison, assess
from prunegrid.statistics.inference import ALPHA, Effect, average_effect
from prunegrid.statistics.paired_effects import Pairs, paired_effects

SCHEMA = pa.schema(
    {
        "experiment": pa.string(),
        "model": pa.string(),
        "sample_ratio": pa.float64(),
        "token_ratio": pa.float64(),
        "variant": pa.string(),
        "benchmark": pa.string(),
        "against": pa.string(),
        "n_seeds": pa.int64(),
        "n_items": pa.int64(),
        "n_clusters": pa.int64(),
        "delta": pa.float64(),
        "seed_sd": pa.float64(),
        "item_se": pa.float64(),
        "item_df": pa.float64(),
        "item_low": pa.float64(),
        "item_high": pa.float64(),
        "item_p": pa.float64(),
        "run_se": pa.float64(),
        "run_df": pa.float64(),
        "both_se": pa.float64(),
        "draw_se": pa.float64(),
        "se": pa.float64(),
        "df": pa.float64(),
        "low": pa.float64(),
        "high": pa.float64(),
        "p": pa.float64(),
        "p_adjusted": pa.float64(),
        "level": pa.float64(),
        "n_family": pa.int64(),
        "significant": pa.bool_(),
    }
)
FAMILY = ["model", "sample_ratio", "token_ratio", "benchmark"]
TOLERANCE = 1e-6  # points between a difference of scores and that of their items
Scores = dict[tuple[str, Budget | None, str, str], dict[Cell, float]]


@dataclass(frozen=True)
class Contrast:
    """`variant` at `budget` minus `baseline` at `baseline_budget`; reference cells have no budget."""

    model: str
    budget: Budget | None
    variant: str
    baseline_budget: Budget | None
    baseline: str


Place = tuple[Contrast, str]
"""A contrast and a benchmark, or Avg."""


def deltas(frame: pd.DataFrame, root: Path, contrasts: Sequence[Contrast]) -> pd.DataFrame:
    """A row per contrast and benchmark, Avg included, from the results frame and the item files below `root`.

    Seeds that are done on both sides are paired; a side without seeds (zero-shot) is paired with each of the other's.
    All `contrasts` of one model, budget and benchmark are corrected together.
    """
    _check_contrasts(contrasts)
    scores = _scores(frame)
    benchmarks = [name for name in frame["benchmark"].unique() if name != AVERAGE]
    places = [(contrast, name) for contrast in contrasts for name in (*benchmarks, AVERAGE)]
    pairs_by_place = {place: pairs for place in places if (pairs := _pairs(scores, *place))}
    effects = _effects(root, benchmarks, pairs_by_place)
    for (contrast, name), pairs in pairs_by_place.items():
        _check_scores(scores, contrast, name, pairs, effects[name, pairs])
    assessed: dict[Place, Assessment] = {}
    for family in dict.fromkeys((contrast.model, contrast.budget) for contrast in contrasts):
        places = [place for place in pairs_by_place if (place[0].model, place[0].budget) == family]
        assessed |= _assess({place: effects[place[1], pairs_by_place[place]] for place in places}, scores)
    experiment = frame["experiment"].iloc[0] if len(frame) else None
    rows = [
        {"experiment": experiment} | _place_columns(*place) | _effect_columns(assessed[place])
        for place in pairs_by_place
    ]
    return _with_marks(typed(pd.DataFrame(rows, columns=SCHEMA.names), SCHEMA))


def _effects(
    root: Path, benchmarks: Sequence[str], pairs_by_place: Mapping[Place, Pairs]
) -> dict[tuple[str, Pairs], Effect]:
    """The effect of each benchmark and set of pairs, and of the average where a place asks for it."""
    effects: dict[tuple[str, Pairs], Effect] = {}
    for name in benchmarks:
        # an average needs each benchmark's effect over its own pairs, which may be fewer than the benchmark has
        sets = dict.fromkeys(pairs for (_, other), pairs in pairs_by_place.items() if other in (name, AVERAGE))
        effects |= {(name, pairs): effect for pairs, effect in paired_effects(root, name, sets)}
    for (_, name), pairs in pairs_by_place.items():
        if name == AVERAGE:
            effects[AVERAGE, pairs] = average_effect([effects[name, pairs] for name in benchmarks])
    return effects


def _assess(effects: Mapping[Place, Effect], scores: Scores) -> dict[Place, Assessment]:
    """Each place of one model and budget with its noise and p-values."""
    columns: dict[str, list[Comparison]] = {}
    runs: dict[str, dict[Hashable, dict[int | None, float]]] = {}
    for (contrast, name), effect in effects.items():
        sides = ((contrast.budget, contrast.variant), (contrast.baseline_budget, contrast.baseline))
        columns.setdefault(name, []).append(Comparison(*sides, effect))
        for side, found in zip(sides, _side_scores(scores, contrast, name), strict=True):
            runs.setdefault(name, {})[side] = {cell.seed: score for cell, score in found.items()}
    rows = assess(columns, runs, averages=[AVERAGE])
    return {
        (contrast, name): row
        for name in columns
        for contrast, row in zip((contrast for contrast, other in effects if other == name), rows[name], strict=True)
    }


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write the frame as Parquet with exactly the columns and types of `SCHEMA`, whole or not at all."""
    write_frame(frame, path, SCHEMA)


def read(path: Path) -> pd.DataFrame:
    """The frame that `write` wrote; `PrunegridError` if the file is damaged or lacks a column."""
    return read_frame(path, SCHEMA)


def _check_contrasts(contrasts: Sequence[Contrast]) -> None:
    """Refuse a duplicate, or a cell compared with itself: either would make the family too large."""
    for contrast in contrasts:
        place = f"contrast of {contrast.model}: {contrast.variant} against {contrast.baseline}"
        if (contrast.budget, contrast.variant) == (contrast.baseline_budget, contrast.baseline):
            raise PrunegridError(place, f"{contrast.variant} is compared with itself", "leave it out")
        if contrasts.count(contrast) > 1:
            raise PrunegridError(place, f"is given {contrasts.count(contrast)} times", "give it once")


def _scores(frame: pd.DataFrame) -> Scores:
    """Scores in percent of cells that are done, by (model, budget, variant, benchmark) and cell."""
    scores: Scores = {}
    done: Any = frame[frame["status"] == "done"].itertuples()
    for row in done:
        cell = _cell(row)
        scores.setdefault((cell.model, cell.budget, cell.variant, row.benchmark), {})[cell] = float(row.score)
    return scores


def _cell(row: Any) -> Cell:
    no_budget = pd.isna(row.sample_ratio)
    budget = None if no_budget else Budget(sample_ratio=row.sample_ratio, token_ratio=row.token_ratio)
    return Cell(row.model, row.variant, budget, None if pd.isna(row.seed) else int(row.seed))


def _side_scores(scores: Scores, contrast: Contrast, benchmark: str) -> tuple[dict[Cell, float], dict[Cell, float]]:
    """The scores of the variant's cells, and those of the baseline's."""
    return (
        scores.get((contrast.model, contrast.budget, contrast.variant, benchmark), {}),
        scores.get((contrast.model, contrast.baseline_budget, contrast.baseline, benchmark), {}),
    )


def _pairs(scores: Scores, contrast: Contrast, benchmark: str) -> Pairs:
    """The cells that are done on both sides, in order of their seeds. A cell without a seed pairs with every seed."""
    variant, baseline = ({cell.seed: cell for cell in side} for side in _side_scores(scores, contrast, benchmark))
    numbers = sorted(seed for seed in {*variant, *baseline} if seed is not None)
    seeds: list[int | None] = [*numbers] or [None]
    pairs = [tuple(side.get(seed, side.get(None)) for side in (variant, baseline)) for seed in seeds]
    return tuple((cell, base) for cell, base in pairs if cell and base)


def _check_scores(scores: Scores, contrast: Contrast, benchmark: str, pairs: Pairs, effect: Effect) -> None:
    """The items must give the difference of the table's scores, seed by seed."""
    variant, baseline = _side_scores(scores, contrast, benchmark)
    for (cell, base), delta in zip(pairs, effect.deltas_S, strict=True):
        difference = variant[cell] - baseline[base]
        if not abs(difference - delta) <= TOLERANCE:
            problem = f"the table's scores differ by {difference:.8g} points, their items by {delta:.8g}"
            fix = "collect the table again; if that does not help, evaluate both cells again"
            raise PrunegridError(f"{cell.model}/{cell.path} against {base.path}, {benchmark}", problem, fix)


def _place_columns(contrast: Contrast, benchmark: str) -> dict[str, Any]:
    return {
        "model": contrast.model,
        "sample_ratio": contrast.budget and contrast.budget.sample_ratio,
        "token_ratio": contrast.budget and contrast.budget.token_ratio,
        "variant": contrast.variant,
        "benchmark": benchmark,
        "against": contrast.baseline,
    }


def _effect_columns(row: Assessment) -> dict[str, Any]:
    effect, items, noise = row.comparison.effect, row.items, row.noise
    intervals = {
        "item_": items.interval(effect.delta),
        "": noise.interval(effect.delta),
    }
    limits = {f"{name}{end}": pair[i] for name, pair in intervals.items() for i, end in enumerate(("low", "high"))}
    return limits | {
        "n_seeds": effect.n_seeds,
        "n_items": effect.n_items,
        "n_clusters": effect.n_clusters,
        "delta": effect.delta,
        "seed_sd": effect.seed_sd,
        "item_se": items.se,
        "item_df": items.df,
        "item_p": row.item_p,
        "run_se": noise.run_se,
        "run_df": noise.run_df,
        "both_se": noise.both_se,
        "draw_se": effect.draw_se,
        "se": noise.se,
        "df": noise.df,
        "p": row.p,
        "p_adjusted": row.p_adjusted,
        "level": row.level,
        "n_family": row.n_family or None,
    }


def _with_marks(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with `significant`; null where there is no p."""
    tested = frame["p_adjusted"].notna()
    return frame.assign(significant=(frame["p_adjusted"] < ALPHA).astype("boolean").where(tested))
