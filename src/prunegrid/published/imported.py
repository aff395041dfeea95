"""The published methods whose scores other tools make: a variant named after one, by imported scores, stands for it.

v2's Table 13 has rows of AlpaGasus, Deita, DS2 and LESS, each with Random tokens. Their scores come from judges, trained
scorers and gradients (docs/selectors.md, "Recipes"); the rest of such a row is a sample pruner that reads a column.
"""

import pandas as pd

TOOLS = ("alpagasus", "deita", "ds2", "less")
READERS = ("imported", "diverse")  # `diverse` is Deita's filter behind its score


def as_published(frame: pd.DataFrame) -> pd.DataFrame:
    """A results frame in which a variant `deita`, or `deita+random`, of a pruner of `READERS` is the row of that tool."""
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
    rows = sorted(
        {
            (tool, name, reader)
            for tool, name, reader in zip(
                renamed.loc[changed, "sample_pruner"],
                frame.loc[changed, "variant"],
                frame.loc[changed, "sample_pruner"],
                strict=True,
            )
        }
    )
    if not rows:
        return []
    pairs = ", ".join(f"{name} ({reader}) for {tool}" for tool, name, reader in rows)
    return [
        f"Rows by scores from elsewhere that stand for the tool they are named after: {pairs}. Whether their "
        "scores are that tool's, only their source says (selection.json, extras)."
    ]


def counterparts(rows: pd.DataFrame, other: pd.DataFrame) -> list[str]:
    """The tools' rows of `other` at a model and budget that was compared, which no row of ours stands for."""
    key = ["model", "sample_ratio", "token_ratio"]
    budgets = rows[rows["their_model"].notna()][["their_model", "sample_ratio", "token_ratio"]].drop_duplicates()
    there = other[other["sample_pruner"].isin(TOOLS)].merge(budgets.set_axis(key, axis=1), on=key)
    missing = sorted({*there["sample_pruner"]} - {*rows["sample_pruner"]})
    if not missing:
        return []
    recipe = (
        f"variants: [{', '.join(f'{tool}: {{method: imported+random, sample_scores: {tool}}}' for tool in missing)}]"
    )
    return [
        f"Published at these budgets and not here: {', '.join(missing)}. Import their scores, and name the variants "
        f"after them: {recipe} (docs/selectors.md, Recipes)."
    ]
