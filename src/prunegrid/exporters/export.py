"""Export a selection: into a folder that another program trains on, or as rows in memory."""

from collections.abc import Iterator
from pathlib import Path

from prunegrid import __version__
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import Record, read_json, replacing
from prunegrid.core.text import did_you_mean
from prunegrid.exporters.card import card
from prunegrid.exporters.consumer import Consumer
from prunegrid.exporters.consumers import CONSUMERS
from prunegrid.exporters.rows import KeptRows
from prunegrid.exporters.summary import ExportSummary
from prunegrid.exporters.writers import token_columns

SUMMARY = "export.json"


def export(
    selection: Path,
    to: str,
    out: Path,
    *,
    scores: Path | None = None,
    removal: str = "mask",
    resample: bool = False,
    as_text: bool = False,
) -> ExportSummary:
    """Write the selection in the folder `selection` to `out`, whole or not at all, as the consumer `to` reads it.

    `scores` replaces the scores folder that the selection names. `removal` says whether pruned tokens stay as context
    without a label (mask) or are taken out (drop). `resample` draws rows in proportion to weights, which are refused
    otherwise. `as_text` writes text in place of ids, for consumers that take it. A folder `out` is replaced if it is an
    export, and refused if it holds anything else.
    """
    consumer = find_consumer(to)
    form = consumer.form(as_text)
    if form == "text" and removal == "drop":
        raise PrunegridError("--removal drop", "takes tokens out, and text has all of them", "export token ids")
    out = out.absolute()
    refuse_to_replace(out)
    rows = KeptRows(selection, scores, removal=removal, resample=resample)
    with replacing(out) as folder:
        folder.mkdir()
        details = consumer.write(rows, folder, form)
        summary = summarise(consumer, rows, out, form, details)
        settings = {**consumer.settings(summary), "README.md": card(consumer, summary, rows.summary)}
        for name, text in settings.items():
            (folder / name).write_text(text, encoding="utf-8")
        files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
        summary = summary.model_copy(update={"files": [*files, SUMMARY]})
        (folder / SUMMARY).write_text(summary.model_dump_json(indent=1) + "\n")
    return summary


def iterate_rows(
    selection: Path, *, scores: Path | None = None, removal: str = "mask", resample: bool = False
) -> Iterator[Record]:
    """The rows of an export in memory, one after another: `input_ids`, `attention_mask` and `labels`, lists each."""
    return map(token_columns, KeptRows(selection, scores, removal=removal, resample=resample))


def find_consumer(name: str) -> Consumer:
    if name not in CONSUMERS:
        fix = did_you_mean(name, CONSUMERS) or "give one of these"
        raise PrunegridError(f"--to {name}", f"is not one of {', '.join(sorted(CONSUMERS))}", fix)
    return CONSUMERS[name]


def summarise(consumer: Consumer, rows: KeptRows, out: Path, form: str, details: Record) -> ExportSummary:
    return ExportSummary(
        consumer=consumer.name,
        model=rows.model,
        out=str(out),
        form=form,
        removal=rows.removal,
        resampled=rows.resample,
        **rows.totals.counts(),
        left_out=dict(rows.left_out),
        limit=consumer.limit(rows.totals.longest, details),
        bos=rows.beginning(),
        details=details,
        selection=str(rows.folder.absolute()),
        scores=str(rows.scores.path.resolve()),
        version=__version__,
    )


def refuse_to_replace(out: Path) -> None:
    """Refuse a file, and a folder that holds anything but an export's files."""
    if not out.exists():
        return
    if not out.is_dir():
        raise PrunegridError(out, "is a file, and --out is a folder", "give another one")
    files = {str(file.relative_to(out)) for file in out.rglob("*") if not file.is_dir()}
    marker = out / SUMMARY
    foreign = sorted(files - set(read_json(marker).get("files", []) if marker.is_file() else []))
    if foreign:
        problem = f"would be replaced, but holds what no export wrote ({', '.join(foreign[:3])})"
        raise PrunegridError(out, problem, "give another --out, or move these files away")
