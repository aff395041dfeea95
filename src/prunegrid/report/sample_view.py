"""A sample of the page: its answer token by token, with every token score, and what each selection leaves of it.

All samples are in the page while they are few (`SAMPLES`, `TOKENS`). Of more, half are those that the selections
disagree about most, and half are random.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prunegrid.core import files
from prunegrid.core.ragged import Ints
from prunegrid.core.randomness import uniform
from prunegrid.report.page import View
from prunegrid.report.sample_texts import (
    ANSWER_TOKENS,
    IDS,
    TextSource,
    carried_texts,
    numbers,
    sample_text,
    text_source,
)
from prunegrid.report.selections import (
    Choice,
    ModelSelections,
    experiment_selections,
    has_positions,
    rows_of,
    sample_columns,
)
from prunegrid.scoring.reader import ScoresFolder

if TYPE_CHECKING:
    from prunegrid.report.build import Source

SAMPLES, TOKENS = 2_000, 40_000  # of all models together
PLACES = ("row", "turn", "continues", "truncated")


def view(source: "Source") -> View | None:
    """The view `sample` of a results folder; None if nothing in it is pruned."""
    return make(experiment_selections(source.data.experiment, source.data.directory, source.texts))


def make(models: Sequence[ModelSelections]) -> View | None:
    """The view `sample` of these selections."""
    some = [model for model in models if model.choices]
    if not some:
        return None
    data = {"models": [model_data(model, len(some)) for model in some]}
    return View("sample", "A sample", data, helpers=("selections",))


def model_data(model: ModelSelections, models: int = 1) -> dict[str, Any]:
    """One model's samples, and what each selection keeps of them; the limits are shared by so many `models`."""
    data: dict[str, Any] = {"model": model.model, "note": model.note, "samples": [], "selections": []}
    if not model.has_scores:
        return data
    table = files.read_parquet(model.scores.tables["sample"], ["sample_id", "response_tokens"]).sort_by("sample_id")
    all_ids, lengths = table["sample_id"].to_numpy(), np.minimum(table["response_tokens"].to_numpy(), ANSWER_TOKENS)
    ids, counts = instructive_samples(all_ids, lengths, model.choices, SAMPLES // models, TOKENS // models)
    source, names = text_source(model.scores, model.texts), _token_columns(model.scores)
    return data | {
        "note": " ".join(filter(None, (model.note, source.problem))),
        "why": counts,
        "scores": names,
        "samples": _samples(model.scores, source, ids, names),
        "selections": [choice_data(choice, ids) for choice in model.choices],
    }


def instructive_samples(
    ids: Ints, lengths: Ints, choices: Sequence[Choice], samples: int, tokens: int
) -> tuple[Ints, dict[str, int]]:
    """The samples, ascending, that the page has, and how many of how many they are, for which reason."""
    if len(ids) <= samples and lengths.sum() <= tokens:
        return ids, {"samples": len(ids), "random": len(ids), "disagreement": 0}
    luck, votes = uniform(0, "report", ids), np.zeros(len(ids), np.int64)
    for choice in choices:
        votes[np.searchsorted(ids, choice.sample_ids)] += 1
    kept = np.flatnonzero(votes)
    order = kept[np.lexsort((luck[kept], np.abs(2 * votes[kept] - len(choices))))]
    first = _first_few(order, lengths, samples // 2, tokens // 2)
    others = np.setdiff1d(np.arange(len(ids)), first)
    rest = _first_few(others[np.argsort(luck[others], kind="stable")], lengths, samples // 2, tokens // 2)
    rows = np.union1d(first, rest)
    return ids[rows], {"samples": len(ids), "random": len(rest), "disagreement": len(first)}


def _first_few(order: Ints, lengths: Ints, samples: int, tokens: int) -> Ints:
    """The first of `order` up to so many samples and tokens; one at least."""
    number = max(1, int(np.searchsorted(np.cumsum(lengths[order]), tokens, side="right")))
    return order[: min(number, samples)]


def _token_columns(scores: ScoresFolder) -> list[str]:
    return [name for name in scores.columns("token") if name not in IDS]


def _samples(scores: ScoresFolder, source: TextSource, ids: Ints, names: list[str]) -> list[dict[str, Any]]:
    """For each sample its text, its facts, and the values of its tokens by column."""
    tokens = _token_values(scores, ids, names)
    facts, kinds = _facts(scores, ids), carried_texts(scores, "kind", ids)
    ids_table = rows_of(scores.tables["token"], IDS, ids).to_pylist() if source.tokenizer else []
    samples = []
    for row, sample in enumerate(ids.tolist()):
        values = {name: numbers(tokens[name][row][:ANSWER_TOKENS]) for name in names}
        length = max((len(column) for column in values.values()), default=0)
        ids_of = ids_table[row] if ids_table else {"prompt_ids": [], "response_ids": [0] * length}
        text = sample_text(source, ids_of["prompt_ids"], ids_of["response_ids"])
        kind = {"kind": kinds[sample]} if sample in kinds else {}
        samples.append({"id": sample, **text, **kind, "facts": facts[row], "values": values})
    return samples


def _token_values(scores: ScoresFolder, ids: Ints, names: list[str]) -> dict[str, list[NDArray[np.float64]]]:
    """By column the values of each sample's tokens; the columns are in the token table or in one of their own."""
    present = files.parquet_schema(scores.tables["token"]).names
    main = [name for name in names if name in present]
    tables = {name: rows_of(scores.extra_file(name), ["sample_id", name], ids) for name in names if name not in present}
    first = rows_of(scores.tables["token"], ["sample_id", *main], ids)
    return {name: [np.array(row, float) for row in tables.get(name, first)[name].to_pylist()] for name in names}


def _facts(scores: ScoresFolder, ids: Ints) -> list[dict[str, float | None]]:
    """Every number of each sample, such as its perplexity; its place in the source; whether it goes on or is cut."""
    columns = sample_columns(scores, ids)
    flags = {name: columns[name].tolist() for name in PLACES if name in columns}
    values = {name: numbers(column) for name, column in columns.items() if name not in (*PLACES, "sample_id")}
    every = {name: [int(value) for value in column] for name, column in flags.items()} | values
    return [{name: column[row] for name, column in every.items()} for row in range(len(ids))]


def choice_data(choice: Choice, ids: Ints) -> dict[str, Any]:
    """The selection's place, and column by column what it keeps of those of `ids` that it keeps.

    `rows` are places among `ids`, `tokens` the kept positions as `bits`, or their number alone: a dynamic cell's log
    has no positions. A column whose values are all equal is that value.
    """
    with_positions = has_positions(choice)
    columns = ["sample_id", "kept", "reason", "treated_as", *(["weight"] if with_positions else [])]
    table = choice.rows(columns, ids)
    kept = table["kept"].to_pylist()
    return choice.place | {
        "path": choice.path,
        "rows": np.searchsorted(ids, table["sample_id"].to_numpy()).tolist(),
        "tokens": [bits(positions) for positions in kept] if with_positions else kept,
        **{name: _single(table[name].to_pylist()) for name in columns if name not in ("sample_id", "kept")},
    }


def _single(values: list[Any]) -> Any:
    return values[0] if len(set(values)) == 1 else values


def bits(positions: Sequence[int]) -> str:
    """The positions that are shown, as bits in hexadecimal, the first one highest: [0, 2] is a0."""
    shown = [position for position in positions if position < ANSWER_TOKENS]
    marks = np.zeros(max(shown, default=-1) + 1, bool)
    marks[shown] = True
    return np.packbits(marks).tobytes().hex()
