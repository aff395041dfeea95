"""The audit of the published tables as Markdown: `prunegrid compare`, without results."""

from typing import Any

import pandas as pd

from prunegrid.experiment.names import AVERAGE
from prunegrid.published import audit, reruns
from prunegrid.published.frame import ITEMS, PAPER
from prunegrid.table.document import BUDGET, TIMES

EDITIONS = ("v1", "v2")
RERUNS = (
    "In a working copy of the authors' code SparseVLM does not read the token ratio. As that copy does, its rows at 50 "
    "and 70 % of the tokens are two runs of one configuration and seed. v2, WizardLM: the standard deviation of one "
    "score, in points, with its 95 % interval."
)


def report(findings: pd.DataFrame) -> str:
    """The findings of `audit.audit` in words and tables."""
    table = audit.printed_editions()
    parts = [
        "# The published tables, audited",
        f"{PAPER}, v1 (Table 1) and v2 (ten tables), from the shipped CSVs.",
        summary(findings, table),
        "## Averages and deltas that do not recompute",
        f"Off by more than rounding explains: {audit.AVERAGE_GAP} points (averages), {audit.DELTA_GAP} (deltas).",
        slips(findings),
        "## Deltas against another budget's Random + Random",
        baselines(table),
        "## Different rows, the same score in every column",
        identical(findings),
        "## Untrained models with more than one score",
        zero_shot(findings),
        "## Scores as counts of right answers",
        counts(table),
        "## Rows in several tables",
        repeated(table),
        "## Reruns, if the token ratio changes nothing for SparseVLM",
        RERUNS,
        rerun_noise(),
        "Deltas against Random + Random that are beyond the noise of two single runs (95 %):",
        beyond_noise(),
    ]
    return "\n\n".join(parts) + "\n"


def summary(findings: pd.DataFrame, table: pd.DataFrame) -> str:
    """How often each finding occurs, and out of how many, by edition."""
    budgets = audit.with_baselines(table).drop_duplicates(["edition", "table", "model", *BUDGET])
    totals = {
        "average": ("printed averages that do not recompute", table[table["benchmark"] == AVERAGE]),
        "delta": ("printed deltas that do not recompute", table[table["published_delta"].notna()]),
        "baseline": ("budgets of a table and model whose deltas are against another budget's baseline", budgets),
        "count": ("ARC and GSM8K scores that no count of right answers gives", audit.fits(table)),
    }
    lines: list[list[Any]] = []
    for name, (label, rows) in totals.items():
        found, sizes = findings.loc[findings["finding"] == name, "edition"], rows["edition"]
        lines.append([label, *(f"{(found == edition).sum()} of {(sizes == edition).sum()}" for edition in EDITIONS)])
    groups = {
        "identical": "groups of different rows with the same scores",
        "zero-shot": "untrained models with two scores",
    }
    lines += [[label, *(_count_groups(findings, name, e) for e in EDITIONS)] for name, label in groups.items()]
    return _table(["", *EDITIONS], lines)


def slips(findings: pd.DataFrame) -> str:
    """The averages and deltas that do not recompute."""
    lines = []
    for row in _rows(findings[findings["finding"].isin(["average", "delta"])]):
        average = row.finding == "average"
        column = row.benchmark if average else f"{row.benchmark} delta"
        printed, recomputed = ("{:.2f}", "{:.3f}") if average else ("{:+.2f}", "{:+.2f}")
        numbers = printed.format(row.printed), recomputed.format(row.recomputed)
        lines.append([_table_name(row), row.model, _budget(row), _name(row), column, *numbers])
    return _table(["table", "model", "budget", "row", "column", "printed", "recomputed"], lines)


def baselines(table: pd.DataFrame) -> str:
    """The budget whose Random + Random the deltas of a table are against, if it is another one."""
    rows = _rows(audit.other_baselines(table).drop_duplicates(["edition", "table", *BUDGET]))
    lines = [[_table_name(row), _budget(row), _ratios(row.base_sample_ratio, row.base_token_ratio)] for row in rows]
    return _table(["table", "budget", "baseline at"], lines)


def identical(findings: pd.DataFrame) -> str:
    """Groups of equal rows, a line per model and name."""
    lines: dict[tuple[Any, ...], list[str]] = {}
    for (edition, dataset, model, _), group in findings[findings["finding"] == "identical"].groupby(
        ["edition", "dataset", "model", "group"], sort=False
    ):
        names = " = ".join(dict.fromkeys(map(_name, _rows(group))))
        lines.setdefault((edition, dataset, model, names), []).append(" = ".join(map(_budget, _rows(group))))
    cells = [[*names, "; ".join(budgets)] for names, budgets in lines.items()]
    return _table(["edition", "data set", "model", "row", "budgets"], cells)


def zero_shot(findings: pd.DataFrame) -> str:
    rows = _rows(findings[findings["finding"] == "zero-shot"])
    lines = [[_table_name(row), row.dataset, row.model, row.benchmark, f"{row.printed:.2f}"] for row in rows]
    return _table(["first in", "data set", "model", "column", "score"], lines)


def counts(table: pd.DataFrame) -> str:
    """How the scores on known numbers of items are printed."""
    lines = []
    for (edition, name), part in audit.fits(table).groupby(["edition", "benchmark"], sort=False):
        rounded, cut = part["rounded"], part["cut"]
        ways = [(rounded & cut).sum(), (rounded & ~cut).sum(), (cut & ~rounded).sum(), (~rounded & ~cut).sum()]
        chance = f"{100 * audit.chance_share(ITEMS[str(name)]):.0f} %"
        lines.append([edition, name, ITEMS[str(name)], len(part), *ways, chance])
    header = ["edition", "column", "items", "scores", "rounded or cut", "only rounded", "only cut", "neither"]
    return _table([*header, "of all numbers that fit"], lines)


def repeated(table: pd.DataFrame) -> str:
    """Rows printed in several tables, by the tables."""
    counts = audit.repeated(table).groupby("tables", sort=False)["same"].agg(["size", "sum"]).reset_index()
    return _table(["tables", "rows", "with the same scores"], counts.to_numpy().tolist())


def rerun_noise() -> str:
    """The noise of one score, by model and benchmark."""
    rows = _rows(reruns.noise(reruns.printed_rows()))
    lines = [[row.model, row.benchmark, row.pairs, f"{row.sd:.2f}", f"{row.low:.2f} to {row.high:.2f}"] for row in rows]
    return _table(["model", "column", "pairs", "SD", "95 %"], lines)


def beyond_noise() -> str:
    """How many printed deltas are beyond it, by group of rows."""
    frame = reruns.counts(reruns.printed_rows()).rename(columns={"benchmark": "column"})
    return _table(list(frame.columns), frame.to_numpy().tolist())


def _count_groups(findings: pd.DataFrame, finding: str, edition: str) -> int:
    rows = findings[(findings["finding"] == finding) & (findings["edition"] == edition)]
    return int(rows["group"].nunique())


def _rows(frame: pd.DataFrame) -> Any:
    return frame.itertuples()


def _table_name(row: Any) -> str:
    return f"{row.edition} Table {row.table}"


def _budget(row: Any) -> str:
    return _ratios(row.sample_ratio, row.token_ratio)


def _ratios(samples: float, tokens: float) -> str:
    return f"{100 * samples:g} {TIMES} {100 * tokens:g}"


def _name(row: Any) -> str:
    return "Q-Tuning" if row.token_pruner == "Q-Tuning" else f"{row.sample_pruner} + {row.token_pruner}"


def _table(header: list[str], lines: list[list[Any]]) -> str:
    frame = pd.DataFrame(lines, columns=header)
    return str(frame.to_markdown(index=False, disable_numparse=True)) if lines else "None."
