"""What the audit reads: the planted kinds, each base model's scores, and which of its tokens are planted wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from prunegrid.audit.measure import PLACES, PlantedSamples, ScoredModel, methods
from prunegrid.audit.plan import PLANTED
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_parquet
from prunegrid.core.ragged import Bools, Ints
from prunegrid.experiment import layout
from prunegrid.models import expected_digests, load_tokenizer
from prunegrid.pruners import Needs, needs
from prunegrid.pruners.named_columns import missing_column
from prunegrid.sandbox.planted import Span, overlapping, planted_place, value_spans, wrong_spans
from prunegrid.scoring.reader import ScoresFolder

SAMPLE_COLUMNS = ["sample_id", "messages", *PLANTED]
Samples = dict[int, dict[str, Any]]


def read_inputs(
    root: Path, models: Sequence[str], data: Path
) -> tuple[PlantedSamples, list[ScoredModel], dict[str, str]]:
    """The planted samples, the base models `models` of the results folder `root`, and the methods without a column."""
    samples: Samples = {row["sample_id"]: row for row in read_parquet(data, SAMPLE_COLUMNS).to_pylist()}
    folders = [root / layout.scores(model) for model in models]
    left_out = unusable_methods(folders)
    usable = [needs(method) for _, _, method in methods() if method not in left_out]
    columns = Needs(
        samples={column: pruner for each in usable for column, pruner in each.samples.items()},
        tokens={column: pruner for each in usable for column, pruner in each.tokens.items()},
    )
    bases = [_scored_model(root, model, seed, data, samples, columns) for seed, model in enumerate(models)]
    return _planted_samples(bases, samples), bases, left_out


def unusable_methods(folders: Sequence[Path]) -> dict[str, str]:
    """The methods that need a column which some folder of scores lacks, each with the reason."""
    reasons: dict[str, str] = {}
    for folder in folders:
        for _, _, method in methods():
            for kind, requests in (("sample", needs(method).samples), ("token", needs(method).tokens)):
                columns = ScoresFolder(folder).columns(kind)
                for column, pruner in requests.items():
                    if column not in columns:
                        error = missing_column(folder, kind, column, pruner, columns)
                        reasons.setdefault(method, f"{error.what}; {error.fix}")
    return reasons


def _scored_model(root: Path, model: str, seed: int, data: Path, samples: Samples, columns: Needs) -> ScoredModel:
    folder = ScoresFolder(root / layout.scores(model))
    folder.check_digests(expected_digests(root / layout.manifest(model), data))
    scores = folder.read(columns).ordered()
    planted = _planted(folder.path, root / layout.base_model(model), samples, scores.sample_id)
    return ScoredModel(model, seed, scores, planted)


def _planted(folder: Path, model: Path, samples: Samples, order: Ints) -> dict[str, Bools]:
    """By place, which tokens [T] are planted, samples in `order`; the end of a sequence never is."""
    tokenizer = load_tokenizer(model)
    table = read_parquet(folder / layout.TOKENS, ["sample_id", "response_ids"])
    ids = dict(zip(table["sample_id"].to_pylist(), table["response_ids"].to_pylist(), strict=True))
    pieces = {i: tokenizer.decode([i]) for i in {i for response in ids.values() for i in response}}
    marks: dict[str, list[bool]] = {place: [] for place in PLACES["all"] + PLACES["value"]}
    for sample_id in order.tolist():
        *body, last = ids[sample_id]
        is_whole = last == tokenizer.eos_token_id
        texts = [pieces[i] for i in (body if is_whole else ids[sample_id])]
        response, spans = _spans(samples[sample_id])
        for place, flags in marks.items():
            flags += overlapping(texts, response, spans.get(place, []), truncated=not is_whole) + [False] * is_whole
    return {place: np.array(flags) for place, flags in marks.items()}


def _spans(row: dict[str, Any]) -> tuple[str, dict[str, list[Span]]]:
    """A sample's response, and the character ranges planted in it by place."""
    kind, response, words = row["kind"], row["messages"][-1]["content"], row["wrong_words"]
    place = planted_place(kind, response, words)
    return response, {place: wrong_spans(kind, response, words), "value": value_spans(kind, response)}


def _planted_samples(bases: Sequence[ScoredModel], samples: Samples) -> PlantedSamples:
    """The samples, which must be the same for all base models: the intervals resample them."""
    order = bases[0].scores.sample_id
    for base in bases[1:]:
        if not np.array_equal(base.scores.sample_id, order):
            raise PrunegridError(base.model, f"has scores of other samples than {bases[0].model}", "score both again")
    rows = [samples[sample_id] for sample_id in order.tolist()]
    texts: dict[str, int] = {}
    return PlantedSamples(
        sample_id=order,
        kind=np.array([row["kind"] for row in rows]),
        cluster=np.array([texts.setdefault(repr(row["messages"]), len(texts)) for row in rows]),
    )
