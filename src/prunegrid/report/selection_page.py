"""The page of a selection alone: `prunegrid report PRUNED`, for a folder that `prunegrid prune` or `keep` wrote."""

import json
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

from prunegrid.core.parts import find_table
from prunegrid.experiment import layout
from prunegrid.report import page, plane_view, sample_view
from prunegrid.report.page import View
from prunegrid.report.selections import Choice, ModelSelections, single_selection
from prunegrid.selection.sentences import noun, selection_sentences

Tables = list[tuple[str, list[tuple[str, str]]]]


def find_selection(folder: Path) -> Path | None:
    """The folder itself if `prunegrid prune` wrote it, or `pruned` in it if `keep` did; None for an experiment's."""
    places = [] if (folder / layout.EXPERIMENT).exists() else [folder, folder / "pruned"]
    return next((place for place in places if (place / layout.SUMMARY).exists()), None)


def build(folder: Path, out: Path | None = None, scores: Path | None = None, texts: bool = True) -> Path:
    """Write the page of a selection (to `report.html` in its folder, if `out` does not say otherwise); return its path.

    `scores` are its scores, where they are not where it says. Without them there are no samples, and the page says so.
    Without `texts` samples have numbers only.
    Raises `PrunegridError` for a damaged selection, and for one that was pruned in training.
    """
    model = replace(single_selection(folder, scores), texts=texts)
    views = [selection_view(model)]
    if model.has_scores:
        views += [each for each in (plane_view.make([model]), sample_view.make([model])) if each]
    path = out or folder / layout.REPORT
    page.write(path, f"Selection {folder.resolve().name}", views, _static(views[0].data))
    return path


def selection_view(model: ModelSelections) -> View:
    """The view `selection`: sentences, and tables of names and values."""
    (choice,) = model.choices
    meta, counts = (model.scores.meta or None, model.scores.counts) if model.has_scores else (None, None)
    sentences = selection_sentences(choice.summary, meta, counts)
    tables: Tables = [("Counts", _counts(choice)), ("Pruning", _pruning(choice))]
    tables += [("Where it comes from", _origin(model, choice))]
    return View(
        "selection",
        "Selection",
        {"sentences": sentences, "tables": tables, "note": model.note},
        helpers=("selections",),
    )


def _counts(choice: Choice) -> list[tuple[str, str]]:
    summary = choice.summary
    rows = [
        (f"{noun(summary)}s", f"{summary.n_kept_samples:,} of {summary.n_samples:,} kept"),
        ("response tokens", f"{summary.kept_tokens:,} kept"),
    ]
    rows += [(f"share of {name.replace('_', ' ')}", _share(value)) for name, value in summary.realised.items()]
    rows += [("share of the kept samples' response tokens", _share(summary.realised_token_ratio))]
    for name, groups in summary.counts.items():
        rows.append((name.replace("_", " "), ", ".join(f"{key}: {count:,}" for key, count in groups.items())))
    optional = {"truncated": summary.truncated, "only the end": summary.only_end, "no token": summary.empty}
    return rows + [(f"answers: {name}", f"{count:,}") for name, count in optional.items() if count is not None]


def _share(value: float | None) -> str:
    return "not known" if value is None else f"{100 * value:.4g} % kept"


def _pruning(choice: Choice) -> list[tuple[str, str]]:
    summary = choice.summary
    amounts = summary.budget or {name: f"{100 * ratio:.6g} %" for name, ratio in summary.nominal.items()}
    rows = [("pruner", choice.label), ("method", summary.method), ("unit", summary.unit)]
    rows += [(f"{name} requested", str(amount)) for name, amount in amounts.items()]
    rows += [
        (f"option {name}", value if isinstance(value, str) else json.dumps(value))
        for name, value in summary.options.items()
    ]
    rows += [("counts of", summary.match)] if summary.match else []
    rows += [(f"seed of {name}", str(seed)) for name, seed in summary.seeds.items()]
    return rows


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _origin(model: ModelSelections, choice: Choice) -> list[tuple[str, str]]:
    summary, meta = choice.summary, model.scores.meta if model.has_scores else {}
    rows = [("prunegrid", summary.version), ("selection", str(find_table(choice.folder / layout.SELECTION)))]
    rows += [("scores", summary.scores)] if summary.scores else []
    rows += [("parts", str(summary.shards))] if summary.shards else []
    rows += [("model", " ".join(str(value) for value in _model(meta).values() if value))] if _model(meta) else []
    digests = {"selection": summary.selection, **summary.digests, **(summary.inputs or {})}
    rows += [(f"SHA-256 of {name}", digest) for name, digest in digests.items() if digest]
    for name, sources in summary.extras.items():
        rows.append((f"optional score {name}", ", ".join(f"{key} {value}" for key, value in sources.items())))
    for name, source in summary.foreign_pruners.items():
        rows.append((f"pruner {name}", ", ".join(f"{key} {value}" for key, value in source.items())))
    return rows


def _model(meta: dict[str, Any]) -> dict[str, Any]:
    model: dict[str, Any] = meta.get("model") or {}
    return model


def _static(data: dict[str, Any]) -> str:
    """The same as HTML, for browsers without JavaScript."""
    parts = [f"<p>{escape(text)}</p>" for text in data["sentences"]]
    for title, rows in data["tables"]:
        facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
        parts.append(f'<h2>{escape(title)}</h2><dl class="facts">{facts}</dl>')
    return "\n".join(parts)
