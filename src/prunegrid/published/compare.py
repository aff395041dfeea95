"""Results beside the published tables, or beside another run's: which differences do item and seed noise allow?

prunegrid compare results/<experiment> [--with OTHER] [--model OURS=THEIRS] [--out FILE.csv]

The 95 % interval of a difference (ours minus theirs, points) has two parts.
Items: each score is a mean over n items, with variance p(1 - p) / n (right or wrong; F1 has less), after one right and
one wrong answer are added (Agresti & Caffo, Am. Stat. 2000): so a score of 0 of 50 is not taken as certain. The two
sides are taken as unpaired, since the published answers per item are not known; where both asked the same items that
is conservative. An average adds its benchmarks' variances, over the number of benchmarks squared.
Seeds: the standard deviation over seeds is taken to be the same on both sides and pooled: sd^2 (1/n + 1/m), with a t
quantile of n + m - 2 degrees of freedom; a published score is a single run (m = 1).
The parts are added as in variances recovery (MOVER: Zou, Huang & Zhang, CSDA 2009; Donner & Zou, SMMR 2012): the half
width is the root of the sum of their squared half widths. The seeds' spread has some of the items' noise in it, which
is so counted twice: conservative.
"""

from math import hypot, inf, isnan, nan, sqrt
from typing import Any

import pandas as pd

from prunegrid.core.errors import PrunegridError
from prunegrid.results import collect
from prunegrid.statistics.inference import ALPHA, critical_value

KEY = ["model", "sample_ratio", "token_ratio", "variant", "benchmark", "over"]
CELL = ["dataset", "model", "sample_ratio", "token_ratio", "variant"]
PRUNERS = ["sample_pruner", "token_pruner"]
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


def compare(ours: pd.DataFrame, theirs: pd.DataFrame, models: dict[str, str] | None = None) -> pd.DataFrame:
    """A row for each of our done cells and benchmarks (`COLUMNS`, then `SETTINGS` of both sides).

    Both are results frames; `models` maps our names to theirs where they differ. Cells match by model, budget, variant
    and benchmark, where the variant is named after its method; an average only if it is over the same benchmarks.
    Where the other side has several data sets and one has our data set's name, only that one counts. Raises
    `PrunegridError` where no model is on both sides.
    """
    names = _names(ours, theirs, models or {})
    left = _side(ours).assign(own_model=lambda side: side["model"], model=lambda side: side["model"].replace(names))
    right = _side(theirs)[KEY + SIDE].rename(columns={name: f"their_{name}" for name in SIDE})
    pairs = _pairs(left, right)
    pairs = pairs.assign(their_model=pairs["model"].where(pairs["their_score"].notna()), model=pairs["own_model"])
    measured = pd.DataFrame([_measured(pair) for pair in pairs.to_dict("records")], index=pairs.index)
    whole = pd.concat([pairs, measured], axis=1)[[*COLUMNS, *SETTINGS]]
    return whole.astype(COLUMNS)


def item_variance(score: pd.Series, items: pd.Series) -> pd.Series:
    """Of scores (percent) over so many items, in points squared: p(1 - p) / n with one more answer of either kind."""
    right = (items * score / 100 + 1) / (items + 2)
    return 100**2 * right * (1 - right) / (items + 2)


def half_width(item_se: float, seed_half: float) -> float:
    """Half the 95 % interval of a difference: both parts' half widths, added as variances are (MOVER)."""
    return hypot(critical_value(inf, ALPHA) * item_se, seed_half)


def seed_half_width(sd: float, n: int, their_sd: float, their_n: int) -> float:
    """Half the 95 % interval from seeds alone, with one pooled sd; NaN where neither side has two seeds."""
    freedom = n + their_n - 2
    if not freedom:
        return nan
    squares = sum((count - 1) * spread**2 for count, spread in ((n, sd), (their_n, their_sd)) if count > 1)
    return critical_value(freedom, ALPHA) * sqrt(squares / freedom * (1 / n + 1 / their_n))


def verdict(difference: float, half: float, seeds_known: bool) -> str:
    """`within noise` or `differs`; with one seed on both sides only the items' noise is known, and that is said.

    Within noise is not alike: the half width beside it is how large a difference may go unseen.
    """
    within = abs(difference) <= half
    if seeds_known:
        return WITHIN_NOISE if within else DIFFERS
    return ITEMS_WITHIN if within else ITEMS_OUTSIDE


def _measured(pair: Any) -> dict[str, Any]:
    """Difference, interval and verdict of one cell and benchmark. A model that is not trained has no seed noise."""
    if isnan(pair["their_score"]):
        unknown = dict.fromkeys(("difference", "item_se", "low", "high", "half_width"), nan)
        return unknown | {"verdict": UNMATCHED}
    difference = pair["score"] - pair["their_score"]
    item_se = sqrt(pair["variance"] + pair["their_variance"])
    seed = seed_half_width(pair["seed_sd"], pair["n_seeds"], pair["their_seed_sd"], int(pair["their_n_seeds"]))
    untrained = pair["variant"] == "zero-shot"
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
        raise PrunegridError(f"{experiment}: nothing to compare: no score of a variant named after its method is done")
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
    """Give each Avg row the variance of a mean of its benchmarks, and in `over` their names."""
    average = side["benchmark"] == collect.AVERAGE
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
    """Which rows' variants have no name of their own: `random+ppl`, `qtuning`, `full`, not `qtuning-l0`."""
    return frame["variant"] == (frame["sample_pruner"] + "+" + frame["token_pruner"]).fillna(frame["sample_pruner"])


def _pairs(left: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
    """Our cells beside theirs: those of our data set's name where they have it, else those of every data set."""
    right = right.assign(named=right["their_dataset"].str.casefold())
    left = left.assign(named=left["dataset"].str.casefold())
    known = left["named"].isin(right["named"])
    parts = [
        left[known].merge(right, on=[*KEY, "named"], how="left"),
        left[~known].merge(right.drop(columns="named"), on=KEY, how="left"),
    ]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def _names(ours: pd.DataFrame, theirs: pd.DataFrame, given: dict[str, str]) -> dict[str, str]:
    """`given`, checked: each name is known to its side, and at least one of our models is on the other."""
    own, other = list(ours["model"].unique()), list(theirs["model"].unique())
    for name, known, side in [(n, own, "ours") for n in given] + [(n, other, "theirs") for n in given.values()]:
        if name not in known:
            raise PrunegridError(f"--model: {name} is none of {side}; there are {', '.join(known)}")
    if not {given.get(name, name) for name in own} & set(other):
        raise PrunegridError(
            f"no model is on both sides: ours {', '.join(own)}; theirs {', '.join(other)}; "
            "name a pair with --model OURS=THEIRS"
        )
    return given
