"""The difference of each variant's score from that of its baseline, with its intervals and p-values.

    deltas(results.read(path), root, [Contrast("llama2-7b", budget, "qtuning", budget, "random+random")])

gives a row per contrast and benchmark (`SCHEMA`): the paired difference over seeds and items, in points.
docs/results.md says what each interval covers. A contrast has no row if no seed is done on both sides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from prunegrid.core import randomness
from prunegrid.core.errors import PrunegridError
from prunegrid.core.frames import read_frame, typed, write_frame
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.names import AVERAGE
from prunegrid.experiment.sections import Budget
from prunegrid.statistics.bootstrap import RESAMPLES
from prunegrid.statistics.inference import ALPHA, Effect, average_effect, holm
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
        "seed_low": pa.float64(),
        "seed_high": pa.float64(),
        "low": pa.float64(),
        "high": pa.float64(),
        "p": pa.float64(),
        "p_holm": pa.float64(),
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


def deltas(
    frame: pd.DataFrame, root: Path, contrasts: Sequence[Contrast], *, resamples: int = RESAMPLES, seed: int = 0
) -> pd.DataFrame:
    """A row per contrast and benchmark, Avg included, from the results frame and the item files below `root`.

    Seeds that are done on both sides are paired; a side without seeds (zero-shot) is paired with each of the other's.
    Holm's correction covers all `contrasts` of one model, budget and benchmark.
    """
    _check_contrasts(contrasts)
    scores = _scores(frame)
    benchmarks = [name for name in frame["benchmark"].unique() if name != AVERAGE]
    places = [(contrast, name) for contrast in contrasts for name in (*benchmarks, AVERAGE)]
    pairs_by_place = {place: pairs for place in places if (pairs := _pairs(scores, *place))}
    effects: dict[tuple[str, Pairs], Effect] = {}
    for name in benchmarks:
        # an average needs each benchmark's effect over its own pairs, which may be fewer than the benchmark has
        sets = dict.fromkeys(pairs for (_, other), pairs in pairs_by_place.items() if other in (name, AVERAGE))
        bootstrap_seed = randomness.derive_seed(seed, f"bootstrap/{name}")
        effects |= {
            (name, pairs): effect for pairs, effect in paired_effects(root, name, sets, resamples, bootstrap_seed)
        }
    for (_, name), pairs in pairs_by_place.items():
        if name == AVERAGE:
            effects[AVERAGE, pairs] = average_effect([effects[name, pairs] for name in benchmarks])
    experiment = frame["experiment"].iloc[0] if len(frame) else None
    rows = []
    for (contrast, name), pairs in pairs_by_place.items():
        effect = effects[name, pairs]
        _check_scores(scores, contrast, name, pairs, effect)
        rows.append({"experiment": experiment} | _place_columns(contrast, name) | _effect_columns(effect))
    return _with_holm(typed(pd.DataFrame(rows, columns=SCHEMA.names), SCHEMA))


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write the frame as Parquet with exactly the columns and types of `SCHEMA`, whole or not at all."""
    write_frame(frame, path, SCHEMA)


def read(path: Path) -> pd.DataFrame:
    """The frame that `write` wrote; `PrunegridError` if the file is damaged or lacks a column."""
    return read_frame(path, SCHEMA)


def _check_contrasts(contrasts: Sequence[Contrast]) -> None:
    """Refuse a duplicate, or a cell compared with itself: either would make Holm's family too large."""
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


def _effect_columns(effect: Effect) -> dict[str, Any]:
    intervals = {"item_": effect.item_interval(), "seed_": effect.seed_interval(), "": effect.interval()}
    limits = {f"{name}{end}": pair[i] for name, pair in intervals.items() for i, end in enumerate(("low", "high"))}
    return limits | {
        "n_seeds": effect.n_seeds,
        "n_items": effect.n_items,
        "n_clusters": effect.n_clusters,
        "delta": effect.delta,
        "seed_sd": effect.seed_sd,
        "item_se": effect.item_se,
        "item_df": effect.item_df,
        "p": effect.p_value(),
    }


def _with_holm(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with Holm's correction within each family; null where there is no p."""
    for _, rows in frame[frame["p"].notna()].groupby(FAMILY, dropna=False):
        frame.loc[rows.index, "p_holm"] = holm(rows["p"].to_numpy(dtype=np.float64))
        frame.loc[rows.index, "n_family"] = len(rows)
    tested = frame["p_holm"].notna()
    return frame.assign(significant=(frame["p_holm"] < ALPHA).astype("boolean").where(tested))
