"""The published methods whose scores other tools make: a variant named after one, by imported scores, stands for it.

v2's Table 13 has rows of AlpaGasus, Deita, DS2 and LESS, each with Random tokens. Their scores come from judges,
trained scorers and gradients (docs/how-to/import-scores.md, "Recipes"); the rest is a sample pruner that reads
a column.
"""

import pandas as pd

TOOLS = ("alpagasus", "deita", "ds2", "less")
READERS = ("imported", "diverse")  # `diverse` is Deita's filter behind its score


def as_published(frame: pd.DataFrame) -> pd.DataFrame:
    """The results frame in which a variant `deita` or `deita+random` by one of `READERS` is the row of that tool."""
    tool = frame["variant"].str.split("+", regex=False).str[0]
    named = frame["variant"].isin([*TOOLS]) | (frame["variant"] == tool + "+" + frame["token_pruner"])
    stands = named.fillna(False) & tool.isin([*TOOLS]) & frame["sample_pruner"].isin([*READERS]).fillna(False)
    return frame.assign(
        variant=frame["variant"].mask(stands, tool + "+" + frame["token_pruner"]),
        sample_pruner=frame["sample_pruner"].mask(stands, tool),
    )


def notes(frame: pd.DataFrame, renamed: pd.DataFrame) -> list[str]:
    """Which rows of ours stand for a tool's, and by what; `renamed` is `as_published(frame)`."""
    changed = frame["sample_pruner"].ne(renamed["sample_pruner"]).fillna(False)
    rows = frame.assign(tool=renamed["sample_pruner"])[changed][["variant", "sample_pruner", "tool"]].drop_duplicates()
    if rows.empty:
        return []
    pairs = ", ".join(f"{name} ({reader}) for {tool}" for name, reader, tool in rows.itertuples(index=False))
    return [
        f"Rows with imported scores, compared with the tool that they are named after: {pairs}. Only their source "
        "shows whether the scores are that tool's (selection.json, extras)."
    ]


def counterparts(rows: pd.DataFrame, other: pd.DataFrame) -> list[str]:
    """The tools' rows of `other`, where data set, model and budget were compared, that no row of ours stands for."""
    key = ["dataset", "model", "sample_ratio", "token_ratio"]
    matched = rows[rows["their_model"].notna()][["their_dataset", "their_model", *key[2:]]].drop_duplicates()
    printed = other[other["sample_pruner"].isin(TOOLS)].merge(matched.set_axis(key, axis=1), on=key)
    missing = sorted({*printed["sample_pruner"]} - {*rows["sample_pruner"]})
    if not missing:
        return []
    variants = ", ".join(f"{tool}: {{method: imported+random, sample_scores: {tool}}}" for tool in missing)
    return [
        f"Published at these budgets and not here: {', '.join(missing)}. Import their scores, and name the variants "
        f"after them: variants: [{variants}] (docs/how-to/import-scores.md, Recipes)."
    ]
