"""The overlap of selections as text that is Markdown, too: a few sentences, then a table for each measure."""

from collections.abc import Iterator, Mapping, Sequence
from math import nan
from textwrap import fill
from typing import Any

import pandas as pd

from prunegrid.api.pipe_table import pipe_table

NONE = "\N{EN DASH}"
INTRODUCTION = (
    "The Jaccard index is the size of two selections' intersection divided by that of their union: 1 if they are the "
    "same, 0 if disjoint. In brackets: its value for two random selections of the same sizes. Above that value the "
    "pruners agree, below it they prefer different samples."
)
DIAGONAL = "The diagonal compares two seeds of one pruner, the rest two pruners under one seed."
TABLES = {
    "samples": ("Samples: Jaccard", "chance"),
    "tokens": ("Tokens of samples that both keep: Jaccard", "chance"),
    "spearman": ("Order of all samples by the pruners' keys: Spearman's correlation, by chance 0", None),
}
Pairs = Mapping[tuple[str, str], tuple[float, float | None]]


def report(frame: pd.DataFrame, pruners: Mapping[str, tuple[str, str]], notes: Sequence[str], title: str) -> str:
    """What `prunegrid overlap` prints; `pruners` groups variants by their sample pruner, and by their token pruner."""
    extremes = "\n".join(filter(None, (_extremes(part, str(budget), pruners) for budget, part in _budgets(frame))))
    parts = [f"# {title}", fill(f"{INTRODUCTION} {DIAGONAL if _has_seeds(frame) else ''}", 118), extremes]
    for budget, part in _budgets(frame):
        for column in TABLES:
            parts += _section(part, column, str(budget), pruners)
        parts += _models(part, str(budget), pruners)
    return "\n\n".join(filter(None, [*parts, "\n".join(f"- {note}" for note in notes)]))


def _budgets(frame: pd.DataFrame) -> Iterator[tuple[Any, pd.DataFrame]]:
    yield from frame.groupby("budget", sort=False)


def _has_seeds(frame: pd.DataFrame) -> bool:
    return bool((frame["seed"] != frame["other_seed"]).any())


def group_means(frame: pd.DataFrame, column: str, pruners: Mapping[str, tuple[str, str]]) -> Pairs:
    """The mean of `column` and of its chance for every two groups of variants, in both orders.

    Two groups are compared at one model and seed, a group with itself at one model and variant, over two seeds.
    """
    side = 1 if column == "tokens" else 0
    chance = f"{column}_chance" if f"{column}_chance" in frame else None
    names = {variant: groups[side] for variant, groups in pruners.items()}
    same_model, same_seed = frame["model"] == frame["other_model"], frame["seed"] == frame["other_seed"]
    first, second = frame["variant"].map(names), frame["other_variant"].map(names)
    pruner_pairs = same_model & same_seed & (first != second)
    seed_pairs = same_model & ~same_seed & (frame["variant"] == frame["other_variant"])
    rows = frame[(pruner_pairs | seed_pairs) & frame[column].notna()].assign(first=first, second=second)
    both = pd.concat([rows, rows.rename(columns={"first": "second", "second": "first"})])
    means = both.groupby(["first", "second"], as_index=False)[[column, *([chance] if chance else [])]].mean()
    expected = means[chance] if chance else pd.Series(nan, means.index)
    values = zip(means["first"], means["second"], means[column], expected, strict=True)
    return {(first, second): (mean, None if pd.isna(other) else other) for first, second, mean, other in values}


def groups(frame: pd.DataFrame, column: str, pruners: Mapping[str, tuple[str, str]]) -> list[str]:
    """The groups of variants that `column` is compared between, in the order of the variants."""
    variants = pd.concat([frame["variant"], frame["other_variant"]]).unique()
    side = 1 if column == "tokens" else 0
    return list(dict.fromkeys(pruners[name][side] for name in pruners if name in variants))


def _section(frame: pd.DataFrame, column: str, budget: str, pruners: Mapping[str, tuple[str, str]]) -> list[str]:
    """A heading and a triangle of numbers; nothing if there are none."""
    means, names = group_means(frame, column, pruners), groups(frame, column, pruners)
    names = [name for name in names if any(name in pair for pair in means)]
    if not means:
        return []
    heading, chance = TABLES[column]
    common = _common_chance(means) if chance else None
    heading += f", {chance} {common}" if common else f" ({chance})" if chance else ""
    body = [
        [f"{row + 1} {name}", *(_cell(means.get((name, other)), bool(common)) for other in names[: row + 1])]
        + [""] * (len(names) - row - 1)
        for row, name in enumerate(names)
    ]
    return [
        f"## {f'{budget}: ' if budget else ''}{heading}",
        pipe_table(["", *(str(n + 1) for n in range(len(names)))], body),
    ]


def _common_chance(means: Pairs) -> str | None:
    """The chance of all pairs as text, if it is one."""
    texts = {None if chance is None else _number(chance) for _, chance in means.values()}
    return texts.pop() if len(texts) == 1 else None


def _cell(mean: tuple[float, float | None] | None, without_chance: bool) -> str:
    if mean is None:
        return NONE
    value, chance = mean
    return _number(value) + (f" ({_number(chance)})" if chance is not None and not without_chance else "")


def _number(value: float) -> str:
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text


def _extremes(frame: pd.DataFrame, budget: str, pruners: Mapping[str, tuple[str, str]]) -> str:
    """The two pruners whose samples are most alike, and those that are least, beyond what chance gives."""
    means = {pair: mean for pair, mean in group_means(frame, "samples", pruners).items() if pair[0] < pair[1]}
    if len(means) < 2:
        return ""
    order = sorted(means, key=lambda pair: means[pair][0] - (means[pair][1] or 0))
    texts = [f"{' and '.join(pair)} ({_cell(means[pair], False)})" for pair in (order[-1], order[0])]
    start = f"At {budget}, the" if budget else "The"
    return f"{start} most similar in their samples are {texts[0]}, the least {texts[1]}."


def _models(frame: pd.DataFrame, budget: str, pruners: Mapping[str, tuple[str, str]]) -> list[str]:
    """A table of each sample pruner's samples under two models, and of each variant's tokens."""
    rows = frame[(frame["variant"] == frame["other_variant"]) & (frame["seed"] == frame["other_seed"])]
    if rows.empty:
        return []
    body = []
    for variant, part in rows.groupby("variant", sort=False):
        measures = [("samples", "samples_chance"), ("tokens", "tokens_chance"), ("spearman", None)]
        cells = [_mean(part, column, chance) for column, chance in measures]
        body.append([str(variant), *(_cell(mean, False) for mean in cells)])
    heading = f"## {f'{budget}: ' if budget else ''}One pruner under two models"
    return [heading, pipe_table(["", "samples (chance)", "tokens (chance)", "Spearman"], body)]


def _mean(part: pd.DataFrame, column: str, chance: str | None) -> tuple[float, float | None] | None:
    value = part[column].mean()
    expected = part[chance].mean() if chance else None
    return None if pd.isna(value) else (float(value), None if pd.isna(expected) else float(expected))
