"""Audit the published tables by their own numbers: `prunegrid compare` without results prints the report.

Everything is computed from the shipped CSVs. What it looks for, by the name in the column `finding`:

average   a printed average that is not the mean of its row
delta     a printed delta that is not the row's score minus the baseline's
baseline  a budget whose deltas are against the Random + Random of another budget
identical rows of one model and data set with the same score in every column
zero-shot a score of an untrained model that differs between data sets, which it never saw
count     a score that no number of right answers gives

Tolerances are the largest gap that printing with two decimals can make. A rounded number is within 0.005 of what it
stands for, so an average may be 0.005 + 0.005 = 0.01 off (its own rounding, and that of its parts in the mean), and a
delta, made of three printed numbers, 0.015. Numbers that are cut, not rounded, could make averages 0.015 off and
deltas less than 0.02: as gaps of deltas are whole hundredths, the same findings.
"""

from fractions import Fraction
from math import ceil, floor

import pandas as pd

from prunegrid.published import frame as published
from prunegrid.results import collect

AVERAGE_GAP = 0.01
DELTA_GAP = 0.015
EXACT = 1e-9
COUNTED = ("ARC-E", "ARC-C", "GSM8K")
BUDGET = ["sample_ratio", "token_ratio"]
NAMES = ["sample_pruner", "token_pruner"]
ROW = ["edition", "table", "dataset", "model", *BUDGET, *NAMES]
COLUMNS = ["finding", *ROW, "benchmark", "printed", "recomputed", "group"]


def audit() -> pd.DataFrame:
    """All findings, tidy: `printed` and `recomputed` in percent or points; equal rows share a `group`."""
    printed = both_editions()
    found = {
        "average": averages(printed),
        "delta": deltas(printed),
        "baseline": other_baselines(printed),
        "identical": identical(printed),
        "zero-shot": zero_shot(printed),
        "count": impossible_counts(printed),
    }
    parts = [part.assign(finding=name).reindex(columns=COLUMNS) for name, part in found.items()]
    return pd.concat([part for part in parts if len(part)], ignore_index=True).astype(
        {"table": "Int64", "group": "Int64"}
    )


def both_editions() -> pd.DataFrame:
    """v1 and v2 as printed, under the column `edition`; Full Dataset, of any budget, has none."""
    editions = {"v1": published.printed(), "v2": published.printed_v2()}
    both = pd.concat([table.assign(edition=name) for name, table in editions.items()], ignore_index=True)
    full = both["sample_pruner"].isin(["Zero-Shot", "Full Dataset"])
    return both.assign(**{name: both[name].mask(full) for name in BUDGET}).drop_duplicates([*ROW, "benchmark"])


def averages(printed: pd.DataFrame) -> pd.DataFrame:
    """Printed averages further from the mean of their row than rounding explains."""
    own = printed[printed["benchmark"] != collect.AVERAGE]
    means = own.groupby(ROW, dropna=False, sort=False)["score"].mean().rename("recomputed").reset_index()
    there = printed[printed["benchmark"] == collect.AVERAGE].merge(means, on=ROW, validate="one_to_one")
    return _beyond(there.assign(printed=there["score"]), AVERAGE_GAP)


def deltas(printed: pd.DataFrame) -> pd.DataFrame:
    """Printed deltas further from score minus baseline, both as printed, than rounding explains."""
    there = with_baselines(printed)
    return _beyond(there.assign(printed=there["published_delta"], recomputed=there["score"] - there["base"]), DELTA_GAP)


def other_baselines(printed: pd.DataFrame) -> pd.DataFrame:
    """A row for each table, model and budget whose deltas are against another budget's Random + Random."""
    there = with_baselines(printed)
    at_another = (there[BUDGET] != there[["base_sample_ratio", "base_token_ratio"]].to_numpy()).any(axis=1)
    return there[at_another].drop_duplicates(["edition", "table", "model", *BUDGET]).drop(columns=[*NAMES, "benchmark"])


def with_baselines(printed: pd.DataFrame) -> pd.DataFrame:
    """Rows with a printed delta, beside `base`, the score that it is against, and that one's budget.

    A baseline is a Random + Random row without a delta. A row's is that of its budget; where its table has none
    there, that of its sample ratio (Table 13, whole responses); else the table's first (Table 14).
    """
    place = ["edition", "table", "model", "benchmark"]
    random = printed[(printed[NAMES] == "Random").all(axis=1) & printed["published_delta"].isna()]
    base = random[[*place, *BUDGET, "score"]].rename(
        columns={"score": "base"} | {name: f"base_{name}" for name in BUDGET}
    )
    pairs = printed.dropna(subset="published_delta").merge(base, on=place)
    same = [(pairs[name] == pairs[f"base_{name}"]).astype(int) for name in BUDGET]
    pairs = pairs.assign(nearness=same[0] * (1 + same[1])).sort_values("nearness", ascending=False, kind="stable")
    return pairs.drop_duplicates([*ROW, "benchmark"])


def identical(printed: pd.DataFrame) -> pd.DataFrame:
    """Different rows of one edition, model and data set with the same scores throughout, a `group` each.

    A row that another table repeats under the same name and budget counts once.
    """
    rows = _rows(printed).drop_duplicates(["edition", "dataset", "model", *BUDGET, *NAMES])
    same = rows.groupby(["edition", "dataset", "model", "scores"], sort=False)
    rows = rows.assign(group=same.ngroup(), size=same["table"].transform("size"))
    return (
        rows[rows["size"] > 1]
        .sort_values("group", kind="stable")
        .assign(group=lambda few: pd.factorize(few["group"])[0])
    )


def zero_shot(printed: pd.DataFrame) -> pd.DataFrame:
    """Scores of one untrained model on one benchmark that differ between the tables of an edition."""
    own = printed[(printed["sample_pruner"] == "Zero-Shot") & (printed["benchmark"] != collect.AVERAGE)]
    place = ["edition", "model", "benchmark"]
    own = own.assign(printed=own["score"], group=own.groupby(place).ngroup())
    return own[own.groupby(place)["score"].transform("nunique") > 1].drop_duplicates([*place, "score"])


def impossible_counts(printed: pd.DataFrame) -> pd.DataFrame:
    """Scores on a known number of items that no number of right answers gives, rounded or cut."""
    counted = fits(printed).assign(printed=lambda own: own["score"])
    return counted[~counted["rounded"] & ~counted["cut"]]


def fits(printed: pd.DataFrame) -> pd.DataFrame:
    """The scores of `COUNTED` benchmarks; `rounded`, `cut`: some count of right answers is printed like this."""
    own = printed[printed["benchmark"].isin(COUNTED)]
    ways = [
        ways_to_print(score, published.ITEMS[name]) for score, name in zip(own["score"], own["benchmark"], strict=True)
    ]
    return own.assign(rounded=[way[0] for way in ways], cut=[way[1] for way in ways])


def ways_to_print(score: float, items: int) -> tuple[bool, bool]:
    """Whether k / items is printed as `score` percent for some k: (rounded to two decimals, a half either way; cut)."""
    hundredths = round(100 * score)
    low = hundredths * items // 10_000
    shares = [Fraction(10_000 * k, items) - hundredths for k in range(max(0, low - 1), low + 3)]
    return any(abs(share) <= Fraction(1, 2) for share in shares), any(0 <= share < 1 for share in shares)


def repeated(printed: pd.DataFrame) -> pd.DataFrame:
    """Rows of the same name, model, data set and budget that stand in several tables: `where`, and whether `same`."""
    rows = _rows(printed)
    rows = rows.assign(where=rows["edition"] + " Table " + rows["table"].astype(str))
    cells = rows.groupby(["dataset", "model", *BUDGET, *NAMES], dropna=False, sort=False)
    found = cells.agg(n=("where", "size"), where=("where", ", ".join), different=("scores", "nunique")).reset_index()
    return found[found["n"] > 1].assign(same=found["different"] == 1).drop(columns=["n", "different"])


def _rows(printed: pd.DataFrame) -> pd.DataFrame:
    """A line per printed row, `scores` its benchmarks' scores as text."""
    own = printed[printed["benchmark"] != collect.AVERAGE].sort_values("benchmark", kind="stable")
    own = own.assign(scores=own["benchmark"] + " " + own["score"].astype(str))
    return own.groupby(ROW, dropna=False, sort=False)["scores"].agg("; ".join).reset_index()


def chance_share(items: int) -> float:
    """The share of all two-decimal percentages that some count of so many items is printed as."""
    shares = [Fraction(10_000 * k, items) for k in range(items + 1)]
    half = Fraction(1, 2)
    return len({way for share in shares for way in (floor(share), ceil(share - half), floor(share + half))}) / 10_001


def _beyond(there: pd.DataFrame, gap: float) -> pd.DataFrame:
    return there[(there["printed"] - there["recomputed"]).abs() > gap + EXACT]
