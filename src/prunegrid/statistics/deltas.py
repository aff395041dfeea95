"""How far each variant's score lies from that of what it is compared with, and how far that may be trusted.

    deltas(results.read(path), root, [Contrast("llama2-7b", budget, "qtuning", budget, "random+random")])

gives a row per contrast and benchmark (`SCHEMA`): the paired difference over seeds and items, in points.
docs/results.md says what each interval covers. A contrast without a seed that is done on both sides has no row.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from prunegrid.core import randomness
from prunegrid.core.errors import PrunegridError
from prunegrid.core.frames import read_frame, typed, write_frame
from prunegrid.core.ragged import Floats
from prunegrid.experiment.grid import Cell
from prunegrid.experiment.sections import AVERAGE, Budget
from prunegrid.statistics.bootstrap import RESAMPLES, cluster_sums, resampled_means
from prunegrid.statistics.inference import ALPHA, Effect, average_effect, estimate_effect, holm
from prunegrid.statistics.paired_items import PairedItems, pair_items

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
AGREE = 1e-6
Pairs = tuple[tuple[Cell, Cell], ...]
Scores = dict[tuple[str, Budget | None, str, str], dict[Cell, float]]


@dataclass(frozen=True)
class Contrast:
    """`variant` at `budget` minus `against` at `against_budget`; reference cells have no budget."""

    model: str
    budget: Budget | None
    variant: str
    baseline_budget: Budget | None
    baseline: str


def deltas(
    frame: pd.DataFrame, root: Path, contrasts: Sequence[Contrast], *, resamples: int = RESAMPLES, seed: int = 0
) -> pd.DataFrame:
    """A row per contrast and benchmark, Avg included, from the results frame and the item files below `root`.

    Seeds that are done on both sides are paired; a side without a seed (zero-shot) is paired with each of the other's.
    Holm's correction is over all `contrasts` given for one model, budget and benchmark.
    """
    _refuse_idle(contrasts)
    scores = _scores(frame)
    benchmarks = [name for name in frame["benchmark"].unique() if name != AVERAGE]
    wanted = {(one, name): _pairs(scores, one, name) for one in contrasts for name in (*benchmarks, AVERAGE)}
    wanted = {place: pairs for place, pairs in wanted.items() if pairs}
    effects: dict[tuple[str, Pairs], Effect] = {}
    for name in benchmarks:
        every = {pairs for (_, at), pairs in wanted.items() if at in (name, AVERAGE)}
        found = _measured(root, name, every, resamples, randomness.derive_seed(seed, f"bootstrap/{name}"))
        effects |= {(name, pairs): one for pairs, one in found.items()}
    for pairs in {pairs for (_, at), pairs in wanted.items() if at == AVERAGE}:
        effects[AVERAGE, pairs] = average_effect([effects[name, pairs] for name in benchmarks])
    experiment = frame["experiment"].iloc[0] if len(frame) else None
    rows = []
    for (one, name), pairs in wanted.items():
        _check(scores, one, pairs, name, effects[name, pairs])
        rows.append({"experiment": experiment} | _place(one, name) | _row(effects[name, pairs]))
    return _corrected(typed(pd.DataFrame(rows, columns=SCHEMA.names), SCHEMA))


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write the frame as Parquet with exactly the columns and types of `SCHEMA`, whole or not at all."""
    write_frame(frame, path, SCHEMA)


def read(path: Path) -> pd.DataFrame:
    """The frame that `write` wrote; `PrunegridError` where the file is damaged or lacks a column."""
    return read_frame(path, SCHEMA)


def _refuse_idle(contrasts: Sequence[Contrast]) -> None:
    """A contrast given twice, or of a cell with itself, would make Holm's family larger than it is."""
    for one in contrasts:
        if (one.budget, one.variant) == (one.baseline_budget, one.baseline):
            raise PrunegridError(f"{one.model}: {one.variant} is compared with itself; leave that contrast out")
        if contrasts.count(one) > 1:
            raise PrunegridError(f"{one.model}: {one.variant} against {one.baseline} is given twice; give it once")


def _scores(frame: pd.DataFrame) -> Scores:
    """Percent of what is done, by place (model, budget, variant, benchmark) and cell."""
    scores: Scores = {}
    done: Any = frame[frame["status"] == "done"].itertuples()
    for row in done:
        cell = _cell(row)
        scores.setdefault((cell.model, cell.budget, cell.variant, row.benchmark), {})[cell] = float(row.score)
    return scores


def _cell(row: Any) -> Cell:
    bare = pd.isna(row.sample_ratio)
    budget = None if bare else Budget(sample_ratio=row.sample_ratio, token_ratio=row.token_ratio)
    return Cell(row.model, row.variant, budget, None if pd.isna(row.seed) else int(row.seed))


def _pairs(scores: Scores, one: Contrast, benchmark: str) -> Pairs:
    """The cells that are done on both sides, in order of their seeds."""
    ours = {cell.seed: cell for cell in scores.get((one.model, one.budget, one.variant, benchmark), {})}
    theirs = {cell.seed: cell for cell in scores.get((one.model, one.baseline_budget, one.baseline, benchmark), {})}
    numbers = sorted(seed for seed in {*ours, *theirs} if seed is not None)
    seeds: list[int | None] = [*numbers] or [None]
    both = [(_at(ours, seed), _at(theirs, seed)) for seed in seeds]
    return tuple((own, base) for own, base in both if own and base)


def _at(cells: dict[int | None, Cell], seed: int | None) -> Cell | None:
    """The cell of that seed, or the one that has none."""
    return cells.get(seed, cells.get(None))


def _measured(root: Path, benchmark: str, every: set[Pairs], resamples: int, seed: int) -> dict[Pairs, Effect]:
    """The effect of each set of pairs: files read once a model, one bootstrap for all that have as many clusters."""
    sides: list[_Sides] = []
    for model in sorted({pairs[0][0].model for pairs in every}):
        own = [pairs for pairs in every if pairs[0][0].model == model]
        cells = sorted({cell for pairs in own for both in pairs for cell in both}, key=lambda cell: cell.path)
        sides += _sides(pair_items(root, cells, benchmark), cells, own)
    found = {}
    for clusters in {one.sums_C.size for one in sides}:
        alike = [one for one in sides if one.sums_C.size == clusters]
        sums_RC, sizes_RC = (np.stack([getattr(one, name) for one in alike]) for name in ("sums_C", "sizes_C"))
        drawn_RB = 100 * resampled_means(sums_RC, sizes_RC, resamples, seed)
        for one, draws_B in zip(alike, drawn_RB, strict=True):
            items, differing = int(one.sizes_C.sum()), int(np.count_nonzero(one.sums_C))
            found[one.pairs] = estimate_effect(100 * one.means_S, draws_B, items, clusters, differing)
    return found


@dataclass(frozen=True)
class _Sides:
    """The difference of two sides: its mean by seed, and by cluster the sum of its mean over seeds, and items."""

    pairs: Pairs
    means_S: Floats
    sums_C: Floats
    sizes_C: Floats


def _sides(paired: PairedItems, cells: Sequence[Cell], every: Iterable[Pairs]) -> Iterator[_Sides]:
    at = {cell: row for row, cell in enumerate(cells)}
    (sizes_C,) = cluster_sums(np.ones((1, len(paired.cluster_I))), paired.cluster_I)
    for pairs in every:
        own, base = ([at[cell] for cell in side] for side in zip(*pairs, strict=True))
        diffs_SI = paired.values_CI[own] - paired.values_CI[base]
        (sums_C,) = cluster_sums(diffs_SI.mean(axis=0, keepdims=True), paired.cluster_I)
        yield _Sides(pairs, diffs_SI.mean(axis=1), sums_C, sizes_C)


def _check(scores: Scores, one: Contrast, pairs: Pairs, benchmark: str, found: Effect) -> None:
    """The items have to give the difference of the table's scores, seed by seed."""
    ours = scores[one.model, one.budget, one.variant, benchmark]
    theirs = scores[one.model, one.baseline_budget, one.baseline, benchmark]
    for (own, base), delta in zip(pairs, found.deltas_S, strict=True):
        printed = ours[own] - theirs[base]
        if not abs(printed - delta) <= AGREE:
            raise PrunegridError(
                f"{own.model}/{own.path} against {base.path}, {benchmark}: the table's scores differ by {printed:.8g} "
                f"points, their items by {delta:.8g}; collect the table again, and if that does not help evaluate both "
                "cells again"
            )


def _place(one: Contrast, benchmark: str) -> dict[str, Any]:
    return {
        "model": one.model,
        "sample_ratio": one.budget and one.budget.sample_ratio,
        "token_ratio": one.budget and one.budget.token_ratio,
        "variant": one.variant,
        "benchmark": benchmark,
        "against": one.baseline,
    }


def _row(found: Effect) -> dict[str, Any]:
    ends = {"item_": found.item_interval(), "seed_": found.seed_interval(), "": found.interval()}
    intervals = {f"{name}{end}": limits[i] for name, limits in ends.items() for i, end in enumerate(("low", "high"))}
    return intervals | {
        "n_seeds": found.n_seeds,
        "n_items": found.n_items,
        "n_clusters": found.n_clusters,
        "delta": found.delta,
        "seed_sd": found.seed_sd,
        "item_se": found.item_se,
        "item_df": found.item_df,
        "p": found.p_value(),
    }


def _corrected(frame: pd.DataFrame) -> pd.DataFrame:
    """With Holm's correction within each family; null where there is no p."""
    for _, rows in frame[frame["p"].notna()].groupby(FAMILY, dropna=False):
        frame.loc[rows.index, "p_holm"] = holm(rows["p"].to_numpy(dtype=np.float64))
        frame.loc[rows.index, "n_family"] = len(rows)
    known = frame["p_holm"].notna()
    return frame.assign(significant=(frame["p_holm"] < ALPHA).astype("boolean").where(known))
