"""Rows of per-item scores in the forms that evaluation tools write, each as an `ItemRow`.

| kind | told by | item | scores |
|---|---|---|---|
| prunegrid | `doc_id`, `doc_hash`, `filter`, `value` | document and its number | `value` |
| lm-eval | `doc_id` and `filtered_resps` or `doc_hash` | document and its number | those that `metrics` names |
| other | an id and a score | the id | a column, inspect-ai's `scores`, HELM's `stats` |
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any, Literal

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import Record

Kind = Literal["prunegrid", "lm-eval", "other"]
IDS = ("id", "item_id", "instance_id", "sample_id", "question_id", "prompt_id", "doc_id", "uid", "index", "idx")
SCORES = ("score", "value", "correct", "is_correct", "acc", "accuracy", "exact_match", "results", "reward")
CLUSTERS, PROMPTS = ("cluster", "group"), ("prompt_hash", "prompt", "input")
TARGETS = ("target_hash", "target", "gold")
WORDS = {"c": 1.0, "i": 0.0, "p": 0.5, "n": 0.0, "true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
"""Verdicts as text: inspect-ai's correct, incorrect, partial, no answer; truth values."""
LM_EVAL_FIELDS = {
    *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"),
    *("doc_hash", "prompt_hash", "target_hash"),
}


@dataclass(frozen=True)
class ItemRow:
    """One item under one filter, with its scores by metric; a score that is no number is NaN.

    `epoch` numbers the answers to an item that inspect-ai asked several times; prunegrid's scores are means over
    `n_answers`, whose own values are `draws`.
    """

    place: str
    item: str
    filter: str | None
    scores: dict[str, float]
    cluster: str | None
    prompt: str | None
    target: str | None
    epoch: str | None = None
    n_answers: int = 1
    draws: tuple[float, ...] | None = None


def find_kind(source: str, row: Record) -> Kind:
    """What wrote a log that begins with `row`; a `PrunegridError` if it has no id or no score."""
    if {"doc_id", "doc_hash", "filter", "value"} <= row.keys():
        return "prunegrid"
    if "doc_id" in row and row.keys() & {"filtered_resps", "resps", "doc_hash"}:
        return "lm-eval"
    if not any(name in row for name in IDS):
        raise PrunegridError(source, f"has no id, only {', '.join(row)}", f"name a column {' or '.join(IDS[:4])}")
    return "other"


def row_reader(kind: Kind, cluster: str | None, columns: Sequence[str] = ()) -> Callable[[str, Record], ItemRow]:
    """Reads a row of this kind; `cluster` is a field of the row or of its document.

    `columns` are scores whatever they are called, in rows of the kind `other`.
    """

    def scores(row: Record) -> Record:
        if kind == "other":
            return _other_scores(row) | {name: row[name] for name in columns if name in row}
        return _lm_eval_scores(row) if kind == "lm-eval" else {"value": row["value"]}

    def read(place: str, row: Record) -> ItemRow:
        chosen = _field(place, row, cluster) if cluster else _first(row, CLUSTERS)
        return ItemRow(
            place=place,
            item=_item(place, row, kind),
            filter=None if kind == "other" else row.get("filter"),
            scores={name: _number(value) for name, value in scores(row).items()},
            cluster=None if chosen is None else str(chosen),
            prompt=_text(_first(row, PROMPTS)),
            target=_text(_first(row, TARGETS)),
            epoch=_text(row.get("epoch")) if kind == "other" else None,
            n_answers=int(row.get("n_samples") or 1) if kind == "prunegrid" else 1,
            draws=tuple(row["draws"]) if kind == "prunegrid" and row.get("draws") is not None else None,
        )

    return read


def _item(place: str, row: Record, kind: Kind) -> str:
    """The item's key: an id, or the number of the document in the task and the document's digest."""
    if kind == "other":
        key = _first(row, IDS)
        if key is None or key == "":
            raise PrunegridError(place, "has no id", f"give one of {', '.join(IDS)} to every row")
        return str(key)
    return f"{row.get('doc_id')}:{row['doc_hash']}" if row.get("doc_hash") else str(row.get("doc_id"))


def _field(place: str, row: Record, name: str) -> Any:
    """The field `name`, or `outer.inner`, of the row or of the document in it."""
    for source in (row, row.get("doc"), row.get("metadata")):
        value: Any = source
        for part in [name] if isinstance(source, dict) and name in source else name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            return value
    raise PrunegridError(place, f"has no {name} to cluster by", "give a field that every row or its document has")


def _first(row: Record, names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _lm_eval_scores(row: Record) -> Record:
    """Those that `metrics` names; versions before 0.4.5 wrote no such list."""
    names = row.get("metrics") or [name for name in row if name not in LM_EVAL_FIELDS]
    return {name: row.get(name) for name in names}


def _other_scores(row: Record) -> Record:
    """All columns with a score's name, beside those that inspect-ai and HELM put into one field."""
    scores = {name: row[name] for name in row if name in SCORES or name.startswith("score_")}
    if isinstance(nested := row.get("scores"), dict):
        scores |= {name: value.get("value") if isinstance(value, dict) else value for name, value in nested.items()}
    if isinstance(stats := row.get("stats"), list):
        scores |= {_stat_name(stat): stat.get("mean") for stat in stats}
    return scores


def _stat_name(stat: Record) -> str:
    name = stat.get("name")
    return str(name.get("name") if isinstance(name, dict) else name)


def _number(value: Any) -> float:
    """The score as a number; NaN if it is none."""
    if isinstance(value, str):
        text = value.strip().lower()
        if text in WORDS:
            return WORDS[text]
    try:
        number = float(value)
    except (TypeError, ValueError):
        return nan
    return number if isfinite(number) else nan
