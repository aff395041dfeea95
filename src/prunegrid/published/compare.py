"""Compare results with the published tables, or with another run: which differences exceed item and seed noise?

prunegrid compare results/<experiment> [--with OTHER] [--model OURS=THEIRS] [--out FILE.csv]

The 95 % interval of a difference (ours minus theirs, points) has two parts.
Items: each score is a mean over n items, with variance p(1 - p) / n (right or wrong; F1 has less), after one right and
one wrong answer are added (Agresti & Caffo, Am. Stat. 2000), so that 0 of 50 does not count as certain. The two sides
are treated as unpaired, since the published answers per item are unknown; if both answered the same items, that is
conservative. An average has the sum of its benchmarks' variances over their number squared.
Seeds: the standard deviation over seeds is assumed equal on both sides and pooled: sd^2 (1/n + 1/m), with a t quantile
of n + m - 2 degrees of freedom; a published score is a single run (m = 1).
The half width is the root of the sum of both parts' squared half widths (MOVER: Zou, Huang & Zhang, CSDA 2009; Donner &
Zou, SMMR 2012). The spread over seeds contains some of the items' noise, which so counts twice: conservative.
"""

from math import hypot, inf, isnan, nan, sqrt
from typing import Any

import pandas as pd

from prunegrid.core.errors import PrunegridError
from prunegrid.experiment.names import AVERAGE, ZERO_SHOT
from prunegrid.statistics.inference import ALPHA, critical_value
from prunegrid.table.document import PRUNERS, ROW

KEY = ["model", *ROW, "benchmark", "over"]
CELL = ["dataset", "model", *ROW]
SIDE = ["dataset", "protocol", "mode", "metric", "score", "n_seeds", "seed_sd", "n_items", "variance"]
COLUMNS = {
    "model": "string",
    "their_model": "string",
    "dataset": "string",
    "their_dataset": "string",
    "sample_ratio": "float64",
    "token_ratio": "float64",
    "sample_pruner": "string",
    "token_pruner": "string",
    "variant": "string",
    "benchmark": "string",
    "score": "float64",
    "n_seeds": "Int64",
    "seed_sd": "float64",
    "n_items": "Int64",
    "their_score": "float64",
    "their_n_seeds": "Int64",
    "their_seed_sd": "float64",
    "their_n_items": "Int64",
    "difference": "float64",
    "item_se": "float64",
    "low": "float64",
    "high": "float64",
    "half_width": "float64",
    "verdict": "string",
}
WITHIN_NOISE, DIFFERS = "within noise", "differs"
ITEMS_WITHIN, ITEMS_OUTSIDE, UNMATCHED = "items only: within noise", "items only: outside", "no counterpart"
SETTINGS = ["protocol", "their_protocol", "mode", "their_mode", "metric", "their_metric"]


def compare(frame: pd.DataFrame, other: pd.DataFrame, models: dict[str, str] | None = None) -> pd.DataFrame:
    """A row for each of our done cells and benchmarks (`COLUMNS`, then `SETTINGS` of both sides).

    Both are results frames; `models` maps our names to theirs where they differ. Cells match by model, budget, variant
    and benchmark if the variant is named after its method; an average matches only one over the same benchmarks. If one
    of the other side's data sets has our data set's name, only that one counts. Raises `PrunegridError` if no model is
    on both sides.
    """
    names = models or {}
    _check_models(frame, other, names)
    our_side = _side(frame).assign(
        our_model=lambda side: side["model"], model=lambda side: side["model"].replace(names)
    )
    their_side = _side(other)[KEY + SIDE].rename(columns={name: f"their_{name}" for name in SIDE})
    pairs = _pairs(our_side, their_side)
    pairs = pairs.assign(their_model=pairs["model"].where(pairs["their_score"].notna()), model=pairs["our_model"])
    measured = pd.DataFrame([_measured(pair) for pair in pairs.to_dict("records")], index=pairs.index)
    whole = pd.concat([pairs, measured], axis=1)[[*COLUMNS, *SETTINGS]]
    return whole.astype(COLUMNS)


def item_variance(score: pd.Series, items: pd.Series) -> pd.Series:
    """The variance of scores (percent) in points squared: p(1 - p) / n, with one more answer of either kind."""
    right = (items * score / 100 + 1) / (items + 2)
    return 100**2 * right * (1 - right) / (items + 2)


def half_width(item_se: float, seed_half: float) -> float:
    """Half the 95 % interval of a difference: the root of both parts' squared half widths (MOVER)."""
    return hypot(critical_value(inf, ALPHA) * item_se, seed_half)


def seed_half_width(sd: float, n: int, their_sd: float, their_n: int) -> float:
    """Half the 95 % interval from seeds alone, with a pooled sd; NaN if neither side has two seeds."""
    freedom = n + their_n - 2
    if not freedom:
        return nan
    squares = sum((count - 1) * spread**2 for count, spread in ((n, sd), (their_n, their_sd)) if count > 1)
    return critical_value(freedom, ALPHA) * sqrt(squares / freedom * (1 / n + 1 / their_n))


def verdict(difference: float, half: float, seeds_known: bool) -> str:
    """`within noise` or `differs`; with one seed on both sides only the items' noise is known, as the verdict says.

    Within noise does not mean equal: a difference of up to the half width goes unseen.
    """
    is_within = abs(difference) <= half
    if seeds_known:
        return WITHIN_NOISE if is_within else DIFFERS
    return ITEMS_WITHIN if is_within else ITEMS_OUTSIDE


def _measured(pair: Any) -> dict[str, Any]:
    """Difference, interval and verdict of one cell and benchmark. A model that is not trained has no seed noise."""
    if isnan(pair["their_score"]):
        unknown = dict.fromkeys(("difference", "item_se", "low", "high", "half_width"), nan)
        return unknown | {"verdict": UNMATCHED}
    difference = pair["score"] - pair["their_score"]
    item_se = sqrt(pair["variance"] + pair["their_variance"])
    seed = seed_half_width(pair["seed_sd"], pair["n_seeds"], pair["their_seed_sd"], int(pair["their_n_seeds"]))
    untrained = pair["variant"] == ZERO_SHOT
    half = half_width(item_se, 0.0 if untrained or isnan(seed) else seed)
    return {
        "difference": difference,
        "item_se": item_se,
        "low": difference - half,
        "high": difference + half,
        "half_width": half,
        "verdict": verdict(difference, half, untrained or not isnan(seed)),
    }


def _side(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per cell and benchmark: means over seeds, their sd, and the items' variance in points squared."""
    done = frame[(frame["status"] == "done") & named_after_method(frame)]
    if done.empty:
        experiment = ", ".join(frame["experiment"].unique())
        problem = "no score of a variant named after its method is done"
        raise PrunegridError(experiment, problem, "run the workflow first")
    side = done.groupby([*CELL, "benchmark"], sort=False, dropna=False).agg(
        **{name: (name, "first") for name in (*PRUNERS, "protocol", "mode", "metric")},
        score=("score", "mean"),
        n_seeds=("score", "size"),
        seed_sd=("score", "std"),
        n_items=("n_items", "min"),
    )
    side = side.reset_index()
    side["variance"] = item_variance(side["score"], side["n_items"].astype("float64"))
    return _with_averages(side)


def _with_averages(side: pd.DataFrame) -> pd.DataFrame:
    """Give each Avg row the variance of a mean of its benchmarks and, in `over`, their names."""
    average = side["benchmark"] == AVERAGE
    parts = (
        side[~average]
        .groupby(CELL, sort=False, dropna=False)
        .agg(
            over=("benchmark", lambda names: ", ".join(sorted(names))),
            sum=("variance", "sum"),
            count=("variance", "size"),
        )
    )
    joined = side[CELL].merge(parts.reset_index(), on=CELL, how="left", validate="many_to_one")
    variance = side["variance"].mask(average, joined["sum"] / joined["count"] ** 2)
    return side.assign(variance=variance, over=joined["over"].where(average, ""))


def named_after_method(frame: pd.DataFrame) -> pd.Series:
    """The rows of variants without a name of their own: `random+ppl`, `qtuning`, `full`, not `qtuning-l0`."""
    return frame["variant"] == (frame["sample_pruner"] + "+" + frame["token_pruner"]).fillna(frame["sample_pruner"])


def _pairs(our_side: pd.DataFrame, their_side: pd.DataFrame) -> pd.DataFrame:
    """Our cells with theirs: of the data set with our data set's name if they have it, else of every data set."""
    their_side = their_side.assign(data=their_side["their_dataset"].str.casefold())
    our_side = our_side.assign(data=our_side["dataset"].str.casefold())
    shared = our_side["data"].isin(their_side["data"])
    parts = [
        our_side[shared].merge(their_side, on=[*KEY, "data"], how="left"),
        our_side[~shared].merge(their_side.drop(columns="data"), on=KEY, how="left"),
    ]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def _check_models(our_frame: pd.DataFrame, their_frame: pd.DataFrame, names: dict[str, str]) -> None:
    """Refuse a pair of names that a side does not have, and sides without a model in common."""
    our_models, their_models = list(our_frame["model"].unique()), list(their_frame["model"].unique())
    for side, models, requested in (("ours", our_models, names), ("theirs", their_models, names.values())):
        for name in requested:
            if name not in models:
                raise PrunegridError("--model", f"{name} is none of {side}", f"give one of {', '.join(models)}")
    if not {names.get(name, name) for name in our_models} & set(their_models):
        problem = f"the two sides share no model: ours {', '.join(our_models)}; theirs {', '.join(their_models)}"
        raise PrunegridError("models", problem, "name a pair with --model OURS=THEIRS")
