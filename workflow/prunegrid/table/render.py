"""A laid-out table as Markdown, CSV or HTML (`table.html.j2`); `prunegrid.table.layout` decides what it says."""

from itertools import groupby
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from prunegrid.table.layout import TIMES, Entry, Group, Row, Table

NONE = "\N{EN DASH}"
ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def markdown(table: Table) -> str:
    """Headings per model and budget, a table under each: some 140 characters wide with six columns."""
    parts = [f"# {table.title}", " ".join(legend(table)), *_quoted(table.note)]
    for model in table.models:
        parts.append(f"## {model}")
        for group in table.groups:
            parts += [f"### {group.title}"] if group.budget else []
            parts.append(_pipe_table(table, group, model))
    parts.append("\n".join(f"- [{number}] {text}" for number, text in enumerate(table.footnotes, start=1)))
    return "\n\n".join(filter(None, parts)) + "\n"


def csv(table: Table) -> str:
    """Title, footnotes and note as `# ` lines (`pandas.read_csv(..., comment="#")`), then the rows."""
    said = [table.title, *table.footnotes, *table.note.splitlines()]
    lines = [_csv_row(table, group, row) for group in table.groups for row in group.rows]
    return "".join(f"# {line}\n" for line in said) + pd.DataFrame(lines).to_csv(index=False)


def html(table: Table) -> str:
    """One self-contained page, all text escaped."""
    page = ENVIRONMENT.get_template("table.html.j2")
    helpers = {function.__name__: function for function in (arrow, partly, compared, percent, blocks)}
    return str(page.render(table=table, legend=legend(table), **helpers))


def legend(table: Table) -> list[str]:
    """Sentences that say how to read the figures that this table really has."""
    statuses = {entry.status for entry in table.entries if entry.score is None}
    best = any(entry.best for entry in table.entries)
    said = {
        "Scores in percent.": True,
        "Arrows: points above or below Random + Random at the same model, budget and seed.": table.deltas,
        "Bold: best of the column among the budget's pruned rows.": best,
        f"Means over {table.seeds} seeds; (k/{table.seeds}): k of them so far.": table.seeds > 1,
        f"Realised: samples kept {TIMES} response tokens kept of these, percent.": table.realised,
        "missing: not computed yet.": "missing" in statuses,
        "failed: a step did not end well, see its log.": "failed" in statuses,
    }
    return [sentence for sentence, holds in said.items() if holds]


def arrow(delta: float) -> str:
    """A delta in points as `↑2.34`, `↓0.50` or `0.00`."""
    sign = "↑" if delta > 0 else "↓" if delta < 0 else ""
    return f"{sign}{abs(delta):.2f}"


def partly(done: int, seeds: int) -> str:
    """`(2/3)` where a mean lacks seeds, else nothing."""
    return f"({done}/{seeds})" if done < seeds else ""


def compared(entry: Entry) -> str:
    """`(1/3)` where a delta is over fewer seeds than its score."""
    return partly(entry.compared, entry.seeds) if entry.compared < entry.done else ""


def percent(realised: tuple[float, float] | None) -> str:
    """Realised ratios of samples and tokens, as `12.5 × 51.3` percent."""
    return f" {TIMES} ".join(f"{100 * ratio:.1f}" for ratio in realised) if realised else NONE


def blocks(group: Group) -> list[list[Row]]:
    """Neighbouring pairs of one sample pruner together, for a first column that names it once."""
    return [list(rows) for _, rows in groupby(group.rows, key=lambda row: (row.kind, row.sample))]


def _quoted(note: str) -> list[str]:
    return ["\n".join(f"> {line}" for line in note.splitlines())] if note else []


def _pipe_table(table: Table, group: Group, model: str) -> str:
    last = ["Realised"] if table.realised else []
    header = ["Sample pruner", "Token pruner", *table.benchmarks, *last]
    lines = [_pipe_row(table, row, model) for row in group.rows]
    joint = next((number for number, row in enumerate(group.rows) if row.kind == "joint"), 0)
    if joint:
        lines.insert(joint, ["─" * max(map(len, column)) for column in zip(header, *lines, strict=True)])
    frame = pd.DataFrame(lines, columns=header)
    return str(frame.to_markdown(index=False, disable_numparse=True, preserve_whitespace=True))


def _pipe_row(table: Table, row: Row, model: str) -> list[str]:
    labels = [row.sample, row.token or ("joint" if row.kind == "joint" else NONE)]
    entries = [_plain(row.entries[model, benchmark]) for benchmark in table.benchmarks]
    realised = [percent(row.realised.get(model))] if table.realised else []
    return [text.replace("|", r"\|") for text in (*labels, *entries, *realised)]


def _plain(entry: Entry) -> str:
    """`**59.25** ↑1.24` or `failed [1]`; blanks stand in for stars, so that numbers line up in a terminal."""
    if entry.score is None:
        return " ".join([f"  {entry.status}", *(f"[{mark}]" for mark in entry.marks)])
    score = f"{entry.score:.2f}"
    score = f"{f'**{score}**':>9}" if entry.best else f"{score:>7}  "
    parts = [score, partly(entry.done, entry.seeds)]
    if entry.delta is not None:
        parts += [f"{arrow(entry.delta):>5}", compared(entry)]
    parts += [f"[{mark}]" for mark in entry.marks]
    return " ".join(filter(None, parts)).rstrip()


def _csv_row(table: Table, group: Group, row: Row) -> dict[str, object]:
    """A row under the group's budget, Full Dataset too: that says which group it closes."""
    line: dict[str, object] = {
        "sample_ratio": group.budget and group.budget.sample_ratio,
        "token_ratio": group.budget and group.budget.token_ratio,
        "sample_pruner": row.sample,
        "token_pruner": row.token,
    }
    for model in table.models:
        for benchmark in table.benchmarks:
            entry, name = row.entries[model, benchmark], f"{model} {benchmark}"
            line[name] = entry.status if entry.score is None else f"{entry.score:.2f}"
            line[f"{name} delta"] = None if entry.delta is None else f"{entry.delta + 0:.2f}"
            if table.seeds > 1:
                line[f"{name} seeds"] = f"{entry.done}/{entry.seeds}"
    for model in table.models if table.realised else ():
        samples, tokens = row.realised.get(model, (None, None))
        line |= {f"{model} realised samples": samples, f"{model} realised tokens": tokens}
    return line
