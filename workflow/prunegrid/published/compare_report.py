"""A comparison in words, Markdown and CSV: what `prunegrid compare RESULTS` prints and `--out` writes."""

from pathlib import Path
from typing import Any

import pandas as pd

from prunegrid import io, results
from prunegrid.published import frame as published
from prunegrid.published.compare import LEVEL, compare, named_after_method
from prunegrid.table.contents import TIMES
from prunegrid.table.labels import LABELS

NOISE = (
    "Differences are ours minus theirs, in points, with the half width of their 95 % interval: the noise of the items "
    "(both sides taken as unpaired, p(1 - p)/n: an upper bound for F1) and of the seeds (one standard deviation for "
    "both sides). `items only`: neither side has two seeds, so the seeds' noise is not in it; zero-shot has none."
)
DIFFERENT = {
    "dataset": "Fine-tuned on other data: ours on {ours}, theirs on {theirs}.",
    "mode": "Pruned in another way: ours {ours}, theirs {theirs}.",
    "metric": "Other metrics on some benchmarks: ours {ours}; theirs {theirs}.",
}


def of_folders(directory: Path, other: Path | None, models: dict[str, str]) -> tuple[pd.DataFrame, list[str]]:
    """The comparison of a results folder (or results.parquet) with another or with the published tables; what to
    say of it, the summary first."""
    ours, theirs = read(directory), read(other) if other else published.reference()
    compared = compare(ours, theirs, models)
    return compared, [
        summary(compared),
        *_left_out(ours),
        *_caveats(compared, "their" if other else "the paper's"),
        NOISE,
    ]


def read(path: Path) -> pd.DataFrame:
    """A results frame: collected from a folder that has `experiment.json`, else from its `results.parquet`."""
    if path.is_dir() and not (path / "experiment.json").exists() and (path / "results.parquet").exists():
        path = path / "results.parquet"
    return results.read(path) if path.is_file() else results.collect_from(path)


def summary(compared: pd.DataFrame) -> str:
    """How many cells and benchmarks were compared, how they came out, and how many would differ by chance."""
    n = compared["verdict"].value_counts()
    total = len(compared) - n.get("no counterpart", 0)
    return (
        f"{total} scores compared: {n.get('agrees', 0)} agree, {n.get('differs', 0)} differ; items only: "
        f"{n.get('items only: within', 0)} within, {n.get('items only: outside', 0)} outside; "
        f"{n.get('no counterpart', 0)} more have no counterpart. By chance alone about {(1 - LEVEL) * total:.1f} of "
        f"{total} would lie outside their interval, were there no true difference at all."
    )


def markdown(compared: pd.DataFrame, said: list[str]) -> str:
    parts = ["# Compared", *said]
    for _, part in compared.groupby(["model", "dataset", "their_model", "their_dataset"], sort=False, dropna=False):
        first: Any = next(part.itertuples())
        beside = f"beside {first.their_model}, {first.their_dataset}"
        beside = "no counterpart" if first.verdict == "no counterpart" else beside
        parts += [f"## {first.model}, {first.dataset}: {beside}", _table(part)]
    return "\n\n".join(parts) + "\n"


def write_csv(compared: pd.DataFrame, said: list[str], out: Path) -> None:
    """What is said as `# ` lines, then the rows: `pandas.read_csv(out, comment="#")`."""
    io.write_text(out, "".join(f"# {line}\n" for line in said) + compared.to_csv(index=False))


def _left_out(ours: pd.DataFrame) -> list[str]:
    """Which of our scores are not in the comparison at all."""
    named = ours[~named_after_method(ours)]["variant"].unique()
    undone = int((ours["status"] != "done").sum())
    said = {
        f"Left out: variants with a name of their own ({', '.join(named)}).": len(named) > 0,
        f"Left out: {undone} scores that are not done.": undone > 0,
    }
    return [sentence for sentence, holds in said.items() if holds]


def _caveats(compared: pd.DataFrame, whose: str) -> list[str]:
    """What else but noise may make the sides differ, from their settings."""
    there = compared[compared["verdict"] != "no counterpart"]
    said = []
    if (there["protocol"] != there["their_protocol"]).any():
        ours, theirs = _distinct(there["protocol"]), _distinct(there["their_protocol"])
        said.append(
            f"Not {whose} protocol: ours `{ours}`, theirs `{theirs}`. Prompts, items and metrics differ, so a "
            "difference says little about training."
        )
    for name, sentence in DIFFERENT.items():
        other = there[name].str.casefold() != there[f"their_{name}"].str.casefold()
        if other.fillna(False).any():
            few = there[other.fillna(False)]
            said.append(sentence.format(ours=_distinct(few[name]), theirs=_distinct(few[f"their_{name}"])))
    return said


def _distinct(column: pd.Series) -> str:
    return ", ".join(column.dropna().unique())


def _table(part: pd.DataFrame) -> str:
    lines = [_line(row) for row in part.itertuples()]
    header = ["budget", "row", "benchmark", "ours", "theirs", "difference", "verdict"]
    return str(pd.DataFrame(lines, columns=header).to_markdown(index=False, disable_numparse=True))


def _line(row: Any) -> list[str]:
    ratios = "" if pd.isna(row.sample_ratio) else f"{100 * row.sample_ratio:.6g} {TIMES} {100 * row.token_ratio:.6g}"
    parts = [row.sample_pruner] if pd.isna(row.token_pruner) else [row.sample_pruner, row.token_pruner]
    at = [ratios, " + ".join(LABELS.get(part, part) for part in parts), row.benchmark]
    if row.verdict == "no counterpart":
        return [*at, _score(row.score, row.n_seeds), "", "", row.verdict]
    difference = f"{row.difference:+.2f} ± {(row.high - row.low) / 2:.2f}"
    return [*at, _score(row.score, row.n_seeds), _score(row.their_score, row.their_n_seeds), difference, row.verdict]


def _score(score: float, seeds: int) -> str:
    """A mean, and of how many seeds where there are several."""
    return f"{score:.2f} ({seeds})" if seeds > 1 else f"{score:.2f}"
