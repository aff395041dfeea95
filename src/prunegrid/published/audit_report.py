"""The audit of the published tables as Markdown: `prunegrid compare`, without results."""

from typing import Any

import pandas as pd

from prunegrid.published import audit
from prunegrid.published.frame import ITEMS, PAPER
from prunegrid.results import collect
from prunegrid.table.document import TIMES

EDITIONS = ("v1", "v2")
RATIOS = ["sample_ratio", "token_ratio"]


def report(found: pd.DataFrame) -> str:
    """What `audit.audit` found, in words and tables."""
    printed = audit.both_editions()
    parts = [
        "# The published tables, audited",
        f"{PAPER}, v1 (Table 1) and v2 (ten tables), from the shipped CSVs.",
        summary(found, printed),
        "## Averages and deltas that do not recompute",
        f"Off by more than rounding explains: {audit.AVERAGE_GAP} points (averages), {audit.DELTA_GAP} (deltas).",
        slips(found),
        "## Deltas against another budget's Random + Random",
        baselines(printed),
        "## Different rows, the same score in every column",
        identical(found),
        "## Untrained models with more than one score",
        zero_shot(found),
        "## Scores as counts of right answers",
        counts(printed),
        "## Rows in several tables",
        repeated(printed),
    ]
    return "\n\n".join(parts) + "\n"


def summary(found: pd.DataFrame, printed: pd.DataFrame) -> str:
    """How often each finding occurs, by edition, and of how many."""
    based = audit.with_baselines(printed).drop_duplicates(["edition", "table", "model", *RATIOS])
    of = {
        "average": ("printed averages that do not recompute", printed[printed["benchmark"] == collect.AVERAGE]),
        "delta": ("printed deltas that do not recompute", printed[printed["published_delta"].notna()]),
        "baseline": ("budgets of a table and model whose deltas are against another budget's baseline", based),
        "count": ("ARC and GSM8K scores that no count of right answers gives", audit.fits(printed)),
    }
    lines: list[list[Any]] = []
    for name, (said, whole) in of.items():
        lines.append([said, *(f"{_n(found, name, edition)} of {_in(whole, edition)}" for edition in EDITIONS)])
    groups = {
        "identical": "groups of different rows with the same scores",
        "zero-shot": "untrained models with two scores",
    }
    lines += [[said, *(_groups(found, name, e) for e in EDITIONS)] for name, said in groups.items()]
    return _table(["", *EDITIONS], lines)


def slips(found: pd.DataFrame) -> str:
    """The averages and deltas that do not recompute."""
    lines = []
    for row in _rows(found[found["finding"].isin(["average", "delta"])]):
        average = row.finding == "average"
        column = row.benchmark if average else f"{row.benchmark} delta"
        numbers = (f"{row.printed:.2f}", f"{row.recomputed:.3f}") if average else _signed(row.printed, row.recomputed)
        lines.append([_where(row), row.model, _budget(row), _name(row), column, *numbers])
    return _table(["table", "model", "budget", "row", "column", "printed", "recomputed"], lines)


def baselines(printed: pd.DataFrame) -> str:
    """Which budget's Random + Random the deltas of a table are against, where it is another's."""
    own = _rows(audit.other_baselines(printed).drop_duplicates(["edition", "table", *RATIOS]))
    lines = [[_where(row), _budget(row), _ratios(row.base_sample_ratio, row.base_token_ratio)] for row in own]
    return _table(["table", "budget", "baseline at"], lines)


def identical(found: pd.DataFrame) -> str:
    """Groups of equal rows, a line for each model and name."""
    lines: dict[tuple[Any, ...], list[str]] = {}
    for (edition, dataset, model, _), group in found[found["finding"] == "identical"].groupby(
        ["edition", "dataset", "model", "group"], sort=False
    ):
        names = " = ".join(dict.fromkeys(map(_name, _rows(group))))
        lines.setdefault((edition, dataset, model, names), []).append(" = ".join(map(_budget, _rows(group))))
    together = [[*at, "; ".join(budgets)] for at, budgets in lines.items()]
    return _table(["edition", "data set", "model", "row", "budgets"], together)


def zero_shot(found: pd.DataFrame) -> str:
    own = _rows(found[found["finding"] == "zero-shot"])
    lines = [[_where(row), row.dataset, row.model, row.benchmark, f"{row.printed:.2f}"] for row in own]
    return _table(["first in", "data set", "model", "column", "score"], lines)


def counts(printed: pd.DataFrame) -> str:
    """How the scores on known numbers of items are printed."""
    lines = []
    for (edition, name), part in audit.fits(printed).groupby(["edition", "benchmark"], sort=False):
        rounded, cut = part["rounded"], part["cut"]
        ways = [(rounded & cut).sum(), (rounded & ~cut).sum(), (cut & ~rounded).sum(), (~rounded & ~cut).sum()]
        chance = f"{100 * audit.chance_share(ITEMS[str(name)]):.0f} %"
        lines.append([edition, name, ITEMS[str(name)], len(part), *ways, chance])
    header = ["edition", "column", "items", "scores", "rounded or cut", "only rounded", "only cut", "neither"]
    return _table([*header, "of all numbers that fit"], lines)


def repeated(printed: pd.DataFrame) -> str:
    """Rows that stand in several tables, by the tables."""
    found = audit.repeated(printed).groupby("where", sort=False)["same"].agg(["size", "sum"]).reset_index()
    return _table(["tables", "rows", "with the same scores"], found.to_numpy().tolist())


def _n(found: pd.DataFrame, finding: str, edition: str) -> int:
    return int(((found["finding"] == finding) & (found["edition"] == edition)).sum())


def _in(whole: pd.DataFrame, edition: str) -> int:
    return int((whole["edition"] == edition).sum())


def _groups(found: pd.DataFrame, finding: str, edition: str) -> int:
    own = found[(found["finding"] == finding) & (found["edition"] == edition)]
    return int(own["group"].nunique())


def _rows(frame: pd.DataFrame) -> Any:
    return frame.itertuples()


def _where(row: Any) -> str:
    return f"{row.edition} Table {row.table}"


def _budget(row: Any) -> str:
    return _ratios(row.sample_ratio, row.token_ratio)


def _ratios(samples: float, tokens: float) -> str:
    return f"{100 * samples:g} {TIMES} {100 * tokens:g}"


def _name(row: Any) -> str:
    return "Q-Tuning" if row.token_pruner == "Q-Tuning" else f"{row.sample_pruner} + {row.token_pruner}"


def _signed(*deltas: float) -> list[str]:
    return [f"{delta:+.2f}" for delta in deltas]


def _table(header: list[str], lines: list[list[Any]]) -> str:
    return (
        str(pd.DataFrame(lines, columns=header).to_markdown(index=False, disable_numparse=True)) if lines else "None."
    )
