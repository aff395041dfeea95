"""A comparison in words, Markdown and CSV: what `prunegrid compare RESULTS` prints and `--out` writes."""

from pathlib import Path
from typing import Any

import pandas as pd

from prunegrid.core import files
from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import layout
from prunegrid.published import frame as published
from prunegrid.published.compare import (
    DIFFERS,
    ITEMS_OUTSIDE,
    ITEMS_WITHIN,
    UNMATCHED,
    WITHIN_NOISE,
    compare,
    named_after_method,
)
from prunegrid.results import collect
from prunegrid.statistics.inference import ALPHA
from prunegrid.table.document import TIMES
from prunegrid.table.labels import label

NOISE = (
    "Differences are ours minus theirs, in points, with the half width of their 95 % interval: the noise of the items "
    "(both sides taken as unpaired, p(1 - p)/n: an upper bound for F1) and of the seeds (one standard deviation for "
    "both sides). `within noise`: the difference is no larger than that half width; the scores may differ all the "
    "same. `items only`: neither side has two seeds, so the seeds' noise is not in it and `outside` is no finding; "
    "zero-shot has none."
)
DIFFERENT = {
    "dataset": "Fine-tuned on other data: ours on {ours}, theirs on {theirs}.",
    "mode": "Pruned in another way: ours {ours}, theirs {theirs}.",
    "metric": "Other metrics on some benchmarks: ours {ours}; theirs {theirs}.",
}


def compare_folders(directory: Path, other: Path | None, models: dict[str, str]) -> tuple[pd.DataFrame, list[str]]:
    """The comparison of a results folder (or results.parquet) with another or with the published tables; what to
    say of it, the summary first."""
    ours, theirs = read_results(directory), read_results(other) if other else published.reference()
    compared = compare(ours, theirs, models)
    return compared, [
        summary(compared),
        *_left_out(ours),
        *_caveats(compared, "their" if other else "the paper's"),
        NOISE,
    ]


def read_results(path: Path) -> pd.DataFrame:
    """A results frame: collected from a folder that has `experiment.json`, else from its `results.parquet`."""
    file = path / layout.RESULTS if path.is_dir() else path
    if (path / layout.EXPERIMENT).exists():
        return collect.collect_from(path)
    if file.is_file():
        return collect.read(file)
    if path.suffix == ".parquet":
        raise PrunegridError(f"{path}: no such file; write it with `prunegrid table {path.parent}`")
    raise PrunegridError(
        f"{path}: no {layout.EXPERIMENT} there, and no {layout.RESULTS}; give the folder "
        f"results/<experiment> of a run, where `prunegrid table {path}` writes {layout.RESULTS}"
    )


def summary(compared: pd.DataFrame) -> str:
    """How many cells and benchmarks were compared, how they came out, how wide the noise is."""
    n = {
        name: int((compared["verdict"] == name).sum()) for name in (WITHIN_NOISE, DIFFERS, ITEMS_WITHIN, ITEMS_OUTSIDE)
    }
    total, alone = sum(n.values()), int((compared["verdict"] == UNMATCHED).sum())
    both = compared["verdict"].isin([WITHIN_NOISE, DIFFERS]) & (compared["variant"] != "zero-shot")
    said = (
        f"{total} scores compared: {n[WITHIN_NOISE]} within noise, {n[DIFFERS]} differ; items only: "
        f"{n[ITEMS_WITHIN]} within noise, {n[ITEMS_OUTSIDE]} outside; {alone} more have no counterpart.",
        _widths(compared["half_width"].dropna()),
        _by_chance(int(both.sum())),
    )
    return " ".join(filter(None, said))


def _widths(half: "pd.Series[float]") -> str:
    """How large a difference would have to be."""
    if half.empty:
        return ""
    return f"Half widths: {half.min():.1f} to {half.max():.1f} points, median {half.median():.1f}."


def _by_chance(judged: int) -> str:
    """What chance alone gives of those judged with both noises, whose intervals are conservative."""
    if not judged:
        return ""
    return (
        "Of the scores judged with both noises, chance alone makes differ at most about "
        f"{100 * ALPHA:.0f} %: {ALPHA * judged:.1f} of {judged}."
    )


def markdown(compared: pd.DataFrame, said: list[str]) -> str:
    parts = ["# Compared", *said]
    for _, part in compared.groupby(["model", "dataset", "their_model", "their_dataset"], sort=False, dropna=False):
        first: Any = next(part.itertuples())
        beside = f"beside {first.their_model}, {first.their_dataset}"
        beside = UNMATCHED if first.verdict == UNMATCHED else beside
        parts += [f"## {first.model}, {first.dataset}: {beside}", _table(part)]
    return "\n\n".join(parts) + "\n"


def write_csv(compared: pd.DataFrame, said: list[str], out: Path) -> None:
    """What is said as `# ` lines, then the rows: `pandas.read_csv(out, comment="#")`."""
    files.write_text(out, "".join(f"# {line}\n" for line in said) + compared.to_csv(index=False))


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
    there = compared[compared["verdict"] != UNMATCHED]
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
    at = [ratios, " + ".join(label(part) for part in parts), row.benchmark]
    if row.verdict == UNMATCHED:
        return [*at, _score(row.score, row.n_seeds), "", "", row.verdict]
    difference = f"{row.difference:+.2f} ± {row.half_width:.2f}"
    return [*at, _score(row.score, row.n_seeds), _score(row.their_score, row.their_n_seeds), difference, row.verdict]


def _score(score: float, seeds: int) -> str:
    """A mean, and of how many seeds where there are several."""
    return f"{score:.2f} ({seeds})" if seeds > 1 else f"{score:.2f}"
