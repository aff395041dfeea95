"""A comparison in words, Markdown and CSV: what `prunegrid compare RESULTS` prints and `--out` writes."""

from pathlib import Path
from typing import Any

import pandas as pd

from prunegrid.core import files
from prunegrid.core.errors import PrunegridError
from prunegrid.experiment import layout
from prunegrid.experiment.locate import read_folder
from prunegrid.experiment.names import FULL, ZERO_SHOT
from prunegrid.pruners import PAPER, READING
from prunegrid.published import frame as published
from prunegrid.published import imported
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
from prunegrid.table.document import BUDGET, TIMES
from prunegrid.table.labels import published_label

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


def compare_folders(
    directory: Path, other: Path | None, models: dict[str, str], reading: str = PAPER
) -> tuple[pd.DataFrame, list[str]]:
    """The comparison of a results folder (or results.parquet) with another or with the published tables.

    And the notes on it, the summary first. `reading` chooses among our variants (`of_reading`).
    """
    frame = read_results(directory)
    if reading != PAPER:
        frame = of_reading(frame, directory, reading)
    return compare_frames(frame, read_results(other) if other else None, models)


def compare_frames(
    frame: pd.DataFrame, other: pd.DataFrame | None, models: dict[str, str]
) -> tuple[pd.DataFrame, list[str]]:
    """The comparison of two results frames, or of one with the published tables (`other` None), and the notes on it."""
    named, theirs = imported.as_published(frame), published.reference() if other is None else other
    rows = compare(named, imported.as_published(theirs), models)
    tools = [*imported.notes(frame, named), *(imported.counterparts(rows, theirs) if other is None else [])]
    caveats = _caveats(rows, "the paper's" if other is None else "their")
    return rows, [summary(rows), *_omissions(named), *tools, *caveats, NOISE]


def of_reading(frame: pd.DataFrame, directory: Path, reading: str) -> pd.DataFrame:
    """The scores of the variants of another reading, under their methods' names, and of the references.

    A variant of the method `all` is that reading's Full Dataset.
    """
    if not (directory / layout.EXPERIMENT).exists():
        fix = f"give the folder that has {layout.EXPERIMENT}, which says the reading of each variant"
        raise PrunegridError(directory, "does not say which variants have which reading", fix)
    experiment = read_folder(directory)
    names = {v.name: v.method for v in experiment.variants if v.options == {READING: reading} and not v.match}
    if not names:
        known = sorted({v.options[READING] for v in experiment.variants if READING in v.options})
        fix = f"there are variants of {', '.join(known)}" if known else f"give variants reading: {reading}"
        raise PrunegridError(directory, f"has no variant with reading: {reading} and no option beside it", fix)
    names = {name: FULL if method == "all" else method for name, method in names.items()}
    full = {FULL} - {*names.values()}
    chosen = frame[frame["variant"].isin([*names, ZERO_SHOT, *full])]
    renamed = chosen.assign(variant=chosen["variant"].replace(names))
    whole = renamed["variant"] == FULL
    blank = {name: renamed[name].mask(whole) for name in (*BUDGET, "token_pruner")}
    return renamed.assign(**blank, sample_pruner=renamed["sample_pruner"].mask(whole, FULL))


def read_results(path: Path) -> pd.DataFrame:
    """A results frame, collected from a folder with `experiment.json`, else read from its `results.parquet`."""
    file = path / layout.RESULTS if path.is_dir() else path
    if (path / layout.EXPERIMENT).exists():
        return collect.collect_from(path)
    if file.is_file():
        return collect.read(file)
    if path.suffix == ".parquet":
        raise PrunegridError(path, "no such file", f"write it with `prunegrid table {path.parent}`")
    fix = f"give the folder results/<experiment> of a run, where `prunegrid table {path}` writes {layout.RESULTS}"
    raise PrunegridError(path, f"no {layout.EXPERIMENT} there, and no {layout.RESULTS}", fix)


def summary(rows: pd.DataFrame) -> str:
    """How many scores were compared, with which verdicts, and how wide the noise is."""
    n = {name: int((rows["verdict"] == name).sum()) for name in (WITHIN_NOISE, DIFFERS, ITEMS_WITHIN, ITEMS_OUTSIDE)}
    total, n_unmatched = sum(n.values()), int((rows["verdict"] == UNMATCHED).sum())
    with_seeds = rows["verdict"].isin([WITHIN_NOISE, DIFFERS]) & (rows["variant"] != ZERO_SHOT)
    both, items = n[WITHIN_NOISE] + n[DIFFERS], n[ITEMS_WITHIN] + n[ITEMS_OUTSIDE]
    sentences = (
        f"{total} scores are compared.",
        f"{both} are judged with all of their noise: {n[DIFFERS]} differ, {n[WITHIN_NOISE]} lie within it."
        if both
        else "",
        f"{items} have one seed on both sides and are judged with the noise of items alone: {n[ITEMS_OUTSIDE]} lie "
        f"outside it, {n[ITEMS_WITHIN]} within."
        if items
        else "",
        f"{n_unmatched} more have no counterpart." if n_unmatched else "",
        _widths(rows["half_width"].dropna()),
        _chance(int(with_seeds.sum())),
    )
    return " ".join(filter(None, sentences))


def _widths(half: "pd.Series[float]") -> str:
    """How large a difference would have to be."""
    if half.empty:
        return ""
    return f"Half widths: {half.min():.1f} to {half.max():.1f} points, median {half.median():.1f}."


def _chance(count: int) -> str:
    """How many of the scores judged with both noises differ by chance, at most: the intervals are conservative."""
    if not count:
        return ""
    return (
        f"Chance alone makes at most about {100 * ALPHA:.0f} % of the scores judged with both noises differ: "
        f"{ALPHA * count:.1f} of {count}."
    )


def markdown(rows: pd.DataFrame, notes: list[str]) -> str:
    parts = ["# Compared", *notes]
    for _, part in rows.groupby(["model", "dataset", "their_model", "their_dataset"], sort=False, dropna=False):
        first: Any = next(part.itertuples())
        other = UNMATCHED if first.verdict == UNMATCHED else f"beside {first.their_model}, {first.their_dataset}"
        parts += [f"## {first.model}, {first.dataset}: {other}", _table(part)]
    return "\n\n".join(parts) + "\n"


def write_csv(rows: pd.DataFrame, notes: list[str], out: Path) -> None:
    """The notes as `# ` lines, then the rows: `pandas.read_csv(out, comment="#")`."""
    files.write_text(out, "".join(f"# {line}\n" for line in notes) + rows.to_csv(index=False))


def _omissions(frame: pd.DataFrame) -> list[str]:
    """Which of our scores are not in the comparison."""
    names = frame[~named_after_method(frame)]["variant"].unique()
    undone = int((frame["status"] != "done").sum())
    sentences = {
        f"Left out: variants with a name of their own ({', '.join(names)}).": len(names) > 0,
        f"Left out: {undone} scores that are not done.": undone > 0,
    }
    return [sentence for sentence, applies in sentences.items() if applies]


def _caveats(rows: pd.DataFrame, side: str) -> list[str]:
    """The differences in settings that may explain a difference in scores."""
    matched = rows[rows["verdict"] != UNMATCHED]
    caveats = []
    if (matched["protocol"] != matched["their_protocol"]).any():
        protocol, their_protocol = _distinct(matched["protocol"]), _distinct(matched["their_protocol"])
        caveats.append(
            f"Not {side} protocol: ours `{protocol}`, theirs `{their_protocol}`. Prompts, items and metrics differ, "
            "so a difference says little about training."
        )
    for name, sentence in DIFFERENT.items():
        differs = matched[name].str.casefold() != matched[f"their_{name}"].str.casefold()
        if differs.fillna(False).any():
            part = matched[differs.fillna(False)]
            caveats.append(sentence.format(ours=_distinct(part[name]), theirs=_distinct(part[f"their_{name}"])))
    return caveats


def _distinct(column: pd.Series) -> str:
    return ", ".join(column.dropna().unique())


def _table(part: pd.DataFrame) -> str:
    lines = [_line(row) for row in part.itertuples()]
    header = ["budget", "row", "benchmark", "ours", "theirs", "difference", "verdict"]
    return str(pd.DataFrame(lines, columns=header).to_markdown(index=False, disable_numparse=True))


def _line(row: Any) -> list[str]:
    ratios = "" if pd.isna(row.sample_ratio) else f"{100 * row.sample_ratio:.6g} {TIMES} {100 * row.token_ratio:.6g}"
    parts = [row.sample_pruner] if pd.isna(row.token_pruner) else [row.sample_pruner, row.token_pruner]
    names = [ratios, " + ".join(published_label(part) for part in parts), row.benchmark]
    if row.verdict == UNMATCHED:
        return [*names, _score(row.score, row.n_seeds), "", "", row.verdict]
    difference = f"{row.difference:+.2f} ± {row.half_width:.2f}"
    return [*names, _score(row.score, row.n_seeds), _score(row.their_score, row.their_n_seeds), difference, row.verdict]


def _score(score: float, seeds: int) -> str:
    """A mean, with the number of seeds if there are several."""
    return f"{score:.2f} ({seeds})" if seeds > 1 else f"{score:.2f}"
