"""What the published tables say of their own noise, if SparseVLM's rows at 50 and 70 % of the tokens are reruns.

In a working copy of the authors' code (repository Q-tuning/Q-tuning, commit dd6eba5, `trainer.py: compute_loss`)
SparseVLM does not read the token ratio. As that copy does, the two rows of a pair differ by chance alone: two runs of
one configuration with one seed. On WizardLM the tables print a pair for each sample pruner at three sample ratios.
Nothing shows that this state of the code made the tables.
"""

from collections.abc import Callable
from math import sqrt

import pandas as pd

from prunegrid.published import frame as published
from prunegrid.statistics.inference import ALPHA, critical_value, sd_interval
from prunegrid.table.document import BUDGET, PRUNERS

DATASET, RERUN = "WizardLM", "SparseVLM"
TABLES = (1, 8, 9)  # of v2: the grid on WizardLM; Tables 13 and 14 have other pruners, or another budget's baseline
ROW = ["model", *BUDGET, *PRUNERS, "benchmark"]
GROUPS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "Q-Tuning": lambda rows: rows["token_pruner"] == "Q-Tuning",
    "pairs with SparseVLM": lambda rows: rows["token_pruner"] == RERUN,
    "other pairs": lambda rows: ~rows["token_pruner"].isin(["Q-Tuning", RERUN]),
}


def printed_rows() -> pd.DataFrame:
    """Every printed score on WizardLM once, with the delta it is printed with."""
    rows = published.printed_v2().query("dataset == @DATASET and table in @TABLES").dropna(subset=BUDGET)
    with_delta = rows.sort_values("published_delta", na_position="last", kind="stable")
    return with_delta.drop_duplicates(ROW).sort_index()


def noise(rows: pd.DataFrame) -> pd.DataFrame:
    """For each model and benchmark the standard deviation of one score, in points, with its 95 % interval.

    From the differences d of n pairs: sd^2 = sum(d^2) / 2n, with n degrees of freedom.
    """
    reruns = rows[rows["token_pruner"] == RERUN]
    place = ["model", "sample_ratio", "sample_pruner", "benchmark"]
    scores = reruns.pivot(index=place, columns="token_ratio", values="score").dropna()
    squares = (scores[0.7] - scores[0.5]) ** 2
    sums = squares.groupby(["model", "benchmark"], sort=False).agg(["sum", "size"]).reset_index()
    result = sums.rename(columns={"size": "pairs"}).assign(sd=lambda each: (each["sum"] / each["pairs"] / 2) ** 0.5)
    intervals = [sd_interval(sd, pairs) for sd, pairs in zip(result["sd"], result["pairs"], strict=True)]
    bounds = dict(zip(("low", "high"), zip(*intervals, strict=True), strict=True))
    spread: pd.DataFrame = result.drop(columns="sum").assign(**bounds)
    return spread


def judged(rows: pd.DataFrame) -> pd.DataFrame:
    """The printed deltas, each with `least`: the least that is beyond the noise of two single runs (95 %).

    The noise is that of the pairs: it has no other seed in it, and models that SparseVLM trained may vary otherwise
    than those of other rows.
    """
    deltas = rows.dropna(subset="published_delta").merge(noise(rows), on=["model", "benchmark"])
    critical = deltas["pairs"].map(lambda pairs: critical_value(pairs, ALPHA))
    least = critical * deltas["sd"] * sqrt(2)
    judged: pd.DataFrame = deltas.assign(least=least, beyond=deltas["published_delta"].abs() > least)
    return judged


def counts(rows: pd.DataFrame) -> pd.DataFrame:
    """How many deltas of each model and benchmark are beyond the noise, by group of rows: `7 of 24`."""
    deltas = judged(rows)
    parts = []
    for name, members in GROUPS.items():
        cells = deltas[members(deltas)].groupby(["model", "benchmark"], sort=False)["beyond"].agg(["sum", "size"])
        parts.append((cells["sum"].astype(str) + " of " + cells["size"].astype(str)).rename(name))
    table: pd.DataFrame = pd.concat(parts, axis=1).reset_index()
    return table
