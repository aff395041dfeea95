"""Where the page's numbers come from: digests, versions, seeds, what was left out, warnings, the state of each cell."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunegrid import __version__, status
from prunegrid.core import files
from prunegrid.data.counts import REASONS
from prunegrid.experiment import layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.names import AVERAGE
from prunegrid.report.page import View
from prunegrid.results import collect
from prunegrid.status.text import report_lines
from prunegrid.table.provenance import config_digest

if TYPE_CHECKING:
    from prunegrid.report.build import Source

Line = tuple[str, str]
Section = dict[str, Any]
"""A `title`, and `lines` of a name and a value each, or a `text`."""


def view(source: "Source") -> View:
    """The view `origin`."""
    experiment, root = source.data.experiment, source.data.directory
    sections = [
        _section("Experiment", _experiment(source)),
        _section("Warnings", _warnings(source)),
        *_data(root),
        *chain.from_iterable(_model(root, name) for name in experiment.sources),
        _section("Benchmarks", _evaluations(source)),
        {"title": "Cells", "text": _cells(experiment, root)},
        {"title": layout.EXPERIMENT, "text": (root / layout.EXPERIMENT).read_text()},
    ]
    return View("origin", "Where it comes from", [section for section in sections if section.get("lines") != []])


def _section(title: str, lines: Iterator[Line]) -> Section:
    return {"title": title, "lines": list(lines)}


def _experiment(source: "Source") -> Iterator[Line]:
    experiment, root = source.data.experiment, source.data.directory
    yield "name", experiment.experiment
    yield "config, SHA-256", config_digest(experiment)
    yield "page by", f"prunegrid {__version__}"
    yield "seeds", ", ".join(map(str, experiment.seeds))
    yield "protocol", experiment.evaluation.protocol
    yield "device", experiment.device
    if (record := root / layout.RESULTS_RECORD).exists():
        results = files.read_json(record)
        yield "results by", f"prunegrid {results['version']}"
        yield from ((f"{name}, SHA-256", digest) for name, digest in results["sha256"].items())


def _warnings(source: "Source") -> Iterator[Line]:
    """The table's own words: note, footnotes, and the sentences below it, contamination among them."""
    table = source.table
    if table.note:
        yield "note", table.note
    yield from ((f"[{number}]", text) for number, text in enumerate(table.footnotes, start=1))
    yield from (("table", sentence) for sentence in table.footer)


def _data(root: Path) -> Iterator[Section]:
    """What of each training set was read, and how much was left out, by reason."""
    for path in sorted((root / layout.dataset_counts("x")).parent.glob("*.json")):
        if path.name != Path(layout.CONTAMINATION).name:
            yield _section(f"Data: {path.stem}", _counts(files.read_json(path)))


def _counts(record: dict[str, Any]) -> Iterator[Line]:
    source = record.get("source", {})
    places = [f"{name}: {source[name]}" for name in ("hub", "path", "config", "split", "revision") if source.get(name)]
    yield "source", ", ".join(places)
    names = {"rows": "rows", "answers": "answers", "samples": "samples", "duplicates": "duplicates, kept"}
    yield from ((label, f"{record[name]:,}") for name, label in names.items() if name in record)
    counts = {REASONS.get(name, name): count for name, count in record.get("left_out", {}).items() if count}
    yield "left out", "; ".join(f"{label}: {count:,}" for label, count in counts.items()) or "nothing"
    unread = record.get("unread", {})
    if unread:
        yield "fields that were not read", ", ".join(f"{name} ({count:,})" for name, count in unread.items())
    yield from (("cannot be read", text) for text in record.get("bad_rows", []))
    digests = {"file_digest": "file, SHA-256", "digest": "samples, SHA-256"}
    yield from ((label, record[name]) for name, label in digests.items() if record.get(name))


def _model(root: Path, name: str) -> Iterator[Section]:
    """A base model and its scores, those that exist."""
    lines: list[Line] = []
    if (manifest := root / layout.manifest(name)).exists():
        record = files.read_json(manifest)
        source = {key: value for key, value in record.get("source", {}).items() if value}
        lines.append(("source", ", ".join(f"{key}: {value}" for key, value in source.items())))
        lines += [(f"{key}, SHA-256", digest) for key, digest in record.get("digests", {}).items()]
    if (meta := root / layout.scores_meta(name)).exists():
        record = files.read_json(meta)
        labels = {"dtype": "scored in", "max_length": "scored up to (tokens)", "samples": "scored samples"}
        labels |= {"truncated": "truncated", "fully_cut": "left out: no answer within that length"}
        lines += [(label, f"{record[key]}") for key, label in labels.items() if key in record]
    return iter([{"title": f"Model: {name}", "lines": lines}])


def _evaluations(source: "Source") -> Iterator[Line]:
    """One record of each benchmark: those of one benchmark agree (`results.comparability`)."""
    data, records = source.data, dict[str, dict[str, Any]]()
    for cell, name in collect.done(data.experiment, data.frame):
        if name != AVERAGE and name not in records:
            records[name] = files.read_json(data.directory / layout.score(cell.name, name))
    yield from ((name, _evaluation(record)) for name, record in records.items())
    versions = dict.fromkeys(
        ", ".join(f"{name} {version}" for name, version in record.get("versions", {}).items())
        for record in records.values()
    )
    yield from (("versions", text) for text in versions if text)


def _evaluation(record: dict[str, Any]) -> str:
    labels = {"task": "task", "metric": "metric", "n_items": "items", "n_truncated": "prompts truncated"}
    labels |= {"dtype": "dtype", "task_hash": "task's SHA-256", "data_hash": "items' SHA-256"}
    return "; ".join(f"{label} {record[key]}" for key, label in labels.items() if record.get(key))


def _cells(experiment: Experiment, root: Path) -> str:
    """What `prunegrid status` says: how many cells are done, failed, running, missing, stale, and why."""
    folder = status.Files(root)
    lines = "\n".join(report_lines(experiment, folder, status.all_statuses(experiment, folder)))
    return lines.replace(str(root), experiment.results)
