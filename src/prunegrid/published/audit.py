"""Audit the published tables by their own numbers: `prunegrid compare` without results prints the report.

Everything is computed from the shipped CSVs. The findings, by the name in the column `finding`:

average   a printed average that is not the mean of its row
delta     a printed delta that is not the row's score minus the baseline's
baseline  a budget whose deltas are against the Random + Random of another budget
identical rows of one model and data set with the same score in every column
zero-shot a score of an untrained model that differs between data sets, though it was trained on none
count     a score that no number of right answers gives

Tolerances are the largest gaps that printing with two decimals can cause. A rounded number is within 0.005 of its
value, so an average may be 0.005 + 0.005 = 0.01 off (its own rounding, and that of its parts in the mean), and a delta,
computed from three printed numbers, 0.015. Numbers that are cut, not rounded, could make averages 0.015 and deltas less
than 0.02 off; since gaps of deltas are whole hundredths, the findings would be the same.
"""

from fractions import Fraction
from math import ceil, floor

import pandas as pd

from prunegrid.experiment.names import AVERAGE
from prunegrid.published import frame as published
from prunegrid.table.document import BUDGET, PRUNERS

AVERAGE_GAP = 0.01
DELTA_GAP = 0.015
EXACT = 1e-9
COUNTED = ("ARC-E", "ARC-C", "GSM8K")
PRINTED_ROW = ["edition", "table", "dataset", "model", *BUDGET, *PRUNERS]
COLUMNS = ["finding", *PRINTED_ROW, "benchmark", "printed", "recomputed", "group"]


def audit() -> pd.DataFrame:
    """All findings, tidy: `printed` and `recomputed` in percent or points; equal rows share a `group`."""
    table = printed_editions()
    findings = {
        "average": averages(table),
        "delta": deltas(table),
        "baseline": other_baselines(table),
        "identical": identical(table),
        "zero-shot": zero_shot(table),
        "count": impossible_counts(table),
    }
    parts = [part.assign(finding=name).reindex(columns=COLUMNS) for name, part in findings.items()]
    frame = pd.concat([part for part in parts if len(part)], ignore_index=True)
    return frame.astype({"table": "Int64", "group": "Int64"})


def printed_editions() -> pd.DataFrame:
    """v1 and v2 as printed, with the column `edition`; Full Dataset, printed under each budget, has no budget."""
    editions = {"v1": published.printed(), "v2": published.printed_v2()}
    rows = pd.concat([table.assign(edition=name) for name, table in editions.items()], ignore_index=True)
    references = rows["sample_pruner"].isin(["Zero-Shot", "Full Dataset"])
    budgets = {name: rows[name].mask(references) for name in BUDGET}
    return rows.assign(**budgets).drop_duplicates([*PRINTED_ROW, "benchmark"])


def averages(table: pd.DataFrame) -> pd.DataFrame:
    """Printed averages that differ from the mean of their row by more than rounding explains."""
    scores = table[table["benchmark"] != AVERAGE]
    means = scores.groupby(PRINTED_ROW, dropna=False, sort=False)["score"].mean().rename("recomputed").reset_index()
    rows = table[table["benchmark"] == AVERAGE].merge(means, on=PRINTED_ROW, validate="one_to_one")
    return _differing(rows.assign(printed=rows["score"]), AVERAGE_GAP)


def deltas(table: pd.DataFrame) -> pd.DataFrame:
    """Printed deltas that differ from score minus baseline, both as printed, by more than rounding explains."""
    rows = with_baselines(table)
    return _differing(rows.assign(printed=rows["published_delta"], recomputed=rows["score"] - rows["base"]), DELTA_GAP)


def other_baselines(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each table, model and budget whose deltas are against another budget's Random + Random."""
    rows = with_baselines(table)
    is_other_budget = (rows[BUDGET] != rows[["base_sample_ratio", "base_token_ratio"]].to_numpy()).any(axis=1)
    distinct = rows[is_other_budget].drop_duplicates(["edition", "table", "model", *BUDGET])
    return distinct.drop(columns=[*PRUNERS, "benchmark"])


def with_baselines(table: pd.DataFrame) -> pd.DataFrame:
    """Rows with a printed delta, with `base`, the score of their baseline, and the baseline's budget.

    A baseline is a Random + Random row without a delta. A row's baseline is that of its budget; if its table has none
    there, that of its sample ratio (Table 13, whole responses); else the table's first (Table 14).
    """
    place = ["edition", "table", "model", "benchmark"]
    random = table[(table[PRUNERS] == "Random").all(axis=1) & table["published_delta"].isna()]
    columns = {"score": "base"} | {name: f"base_{name}" for name in BUDGET}
    base = random[[*place, *BUDGET, "score"]].rename(columns=columns)
    pairs = table.dropna(subset="published_delta").merge(base, on=place)
    sample, token = ((pairs[name] == pairs[f"base_{name}"]).astype(int) for name in BUDGET)
    pairs = pairs.assign(nearness=sample * (1 + token)).sort_values("nearness", ascending=False, kind="stable")
    return pairs.drop_duplicates([*PRINTED_ROW, "benchmark"])


def identical(table: pd.DataFrame) -> pd.DataFrame:
    """Different rows of one edition, model and data set with the same scores throughout, a `group` each.

    A row that another table repeats under the same name and budget counts once.
    """
    rows = _rows(table).drop_duplicates(["edition", "dataset", "model", *BUDGET, *PRUNERS])
    groups = rows.groupby(["edition", "dataset", "model", "scores"], sort=False)
    rows = rows.assign(group=groups.ngroup(), size=groups["table"].transform("size"))
    return (
        rows[rows["size"] > 1]
        .sort_values("group", kind="stable")
        .assign(group=lambda repeats: pd.factorize(repeats["group"])[0])
    )


def zero_shot(table: pd.DataFrame) -> pd.DataFrame:
    """Scores of one untrained model on one benchmark that differ between the tables of an edition."""
    rows = table[(table["sample_pruner"] == "Zero-Shot") & (table["benchmark"] != AVERAGE)]
    place = ["edition", "model", "benchmark"]
    rows = rows.assign(printed=rows["score"], group=rows.groupby(place).ngroup())
    return rows[rows.groupby(place)["score"].transform("nunique") > 1].drop_duplicates([*place, "score"])


def impossible_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Scores on a known number of items that no number of right answers gives, rounded or cut."""
    rows = fits(table).assign(printed=lambda rows: rows["score"])
    return rows[~rows["rounded"] & ~rows["cut"]]


def fits(table: pd.DataFrame) -> pd.DataFrame:
    """The scores of `COUNTED` benchmarks; `rounded`, `cut`: whether some count of right answers prints so."""
    rows = table[table["benchmark"].isin(COUNTED)]
    scores = zip(rows["score"], rows["benchmark"], strict=True)
    ways = [ways_to_print(score, published.ITEMS[name]) for score, name in scores]
    return rows.assign(rounded=[way[0] for way in ways], cut=[way[1] for way in ways])


def ways_to_print(score: float, items: int) -> tuple[bool, bool]:
    """Whether k / items is printed as `score` percent for some k: (rounded to two decimals, a half either way; cut)."""
    hundredths = round(100 * score)
    low = hundredths * items // 10_000
    shares = [Fraction(10_000 * k, items) - hundredths for k in range(max(0, low - 1), low + 3)]
    return any(abs(share) <= Fraction(1, 2) for share in shares), any(0 <= share < 1 for share in shares)


def repeated(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the same name, model, data set and budget printed in several `tables`; `same`: with the same scores."""
    rows = _rows(table)
    rows = rows.assign(tables=rows["edition"] + " Table " + rows["table"].astype(str))
    cells = rows.groupby(["dataset", "model", *BUDGET, *PRUNERS], dropna=False, sort=False)
    columns = {"n": ("tables", "size"), "tables": ("tables", ", ".join), "different": ("scores", "nunique")}
    repeats = cells.agg(**columns).reset_index()
    return repeats[repeats["n"] > 1].assign(same=repeats["different"] == 1).drop(columns=["n", "different"])


def _rows(table: pd.DataFrame) -> pd.DataFrame:
    """A row per printed row; `scores` is its benchmarks' scores as text."""
    rows = table[table["benchmark"] != AVERAGE].sort_values("benchmark", kind="stable")
    rows = rows.assign(scores=rows["benchmark"] + " " + rows["score"].astype(str))
    return rows.groupby(PRINTED_ROW, dropna=False, sort=False)["scores"].agg("; ".join).reset_index()


def chance_share(items: int) -> float:
    """The share of all two-decimal percentages that some count of so many items prints as."""
    shares = [Fraction(10_000 * k, items) for k in range(items + 1)]
    half = Fraction(1, 2)
    return len({way for share in shares for way in (floor(share), ceil(share - half), floor(share + half))}) / 10_001


def _differing(rows: pd.DataFrame, gap: float) -> pd.DataFrame:
    return rows[(rows["printed"] - rows["recomputed"]).abs() > gap + EXACT]
