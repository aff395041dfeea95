"""What the audit reads: the planted kinds, each base model's scores, and which of its tokens are planted wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from prunegrid.audit import Base, Items, methods
from prunegrid.errors import PrunegridError
from prunegrid.io import read_parquet
from prunegrid.models import expected_digests, load_tokenizer
from prunegrid.pruners import Needs, needs
from prunegrid.pruners.arrays import missing
from prunegrid.pruners.ragged import Bools, Ints
from prunegrid.sandbox.planted import place_of, wrong_spans, wrong_tokens
from prunegrid.scores import check_digests, read_meta, read_scores

PLANTED = ["sample_id", "messages", "kind", "wrong_words"]
Samples = dict[int, dict[str, Any]]


def read(root: Path, models: Sequence[str], data: Path) -> tuple[Items, list[Base], dict[str, str]]:
    """Items, the base models `models` of the results folder `root`, and the methods that lack a score column."""
    samples: Samples = {row["sample_id"]: row for row in read_parquet(data, PLANTED).to_pylist()}
    folders = [root / "scores" / model for model in models]
    left_out = unusable(folders)
    wanted = _together([needs(method) for _, _, method in methods() if method not in left_out])
    bases = [_base(root, model, seed, data, samples, wanted) for seed, model in enumerate(models)]
    return _items(bases, samples), bases, left_out


def unusable(folders: Sequence[Path]) -> dict[str, str]:
    """The methods that need a column which some folder of scores lacks, each with the reason."""
    reasons: dict[str, str] = {}
    for folder in folders:
        extra = [file.stem for file in sorted((folder / "extra").glob("*.parquet"))]
        for _, _, method in methods():
            for kind, wanted in (("sample", needs(method).samples), ("token", needs(method).tokens)):
                found = [*pq.read_schema(folder / f"{kind}s.parquet").names, *extra]
                for column, pruner in wanted.items():
                    if column not in found:
                        reasons.setdefault(method, missing(kind, column, pruner, found))
    return reasons


def _together(wanted: Sequence[Needs]) -> Needs:
    return Needs(
        samples={column: pruner for each in wanted for column, pruner in each.samples.items()},
        tokens={column: pruner for each in wanted for column, pruner in each.tokens.items()},
    )


def _base(root: Path, model: str, seed: int, data: Path, samples: Samples, wanted: Needs) -> Base:
    folder = root / "scores" / model
    check_digests(read_meta(folder), expected_digests(root / "models" / f"{model}.json", data), str(folder))
    scores = read_scores(folder, wanted).ordered()
    return Base(model, seed, scores, _wrong(folder, root / "models" / model, samples, scores.sample_id))


def _wrong(folder: Path, model: Path, samples: Samples, order: Ints) -> Bools:
    """Planted wrong tokens [T], samples in `order`; the end of the sequence never is."""
    tokenizer = load_tokenizer(model)
    table = read_parquet(folder / "tokens.parquet", ["sample_id", "response_ids"])
    ids = dict(zip(table["sample_id"].to_pylist(), table["response_ids"].to_pylist(), strict=True))
    pieces = {i: tokenizer.decode([i]) for i in {i for response in ids.values() for i in response}}
    marks: list[bool] = []
    for sample_id in order.tolist():
        response = ids[sample_id]
        ended = response[-1] == tokenizer.eos_token_id
        body = [pieces[i] for i in (response[:-1] if ended else response)]
        row = samples[sample_id]
        text = row["messages"][-1]["content"]
        spans = wrong_spans(row["kind"], text, row["wrong_words"])
        marks += wrong_tokens(body, text, spans, truncated=not ended) + [False] * ended
    return np.array(marks)


def _items(bases: Sequence[Base], samples: Samples) -> Items:
    """All base models must have scored the same samples: the intervals resample these."""
    order = bases[0].scores.sample_id
    for base in bases[1:]:
        if not np.array_equal(base.scores.sample_id, order):
            raise PrunegridError(f"{base.model} has scores of other samples than {bases[0].model}; score both again")
    rows = [samples[sample_id] for sample_id in order.tolist()]
    texts: dict[str, int] = {}
    return Items(
        sample_id=order,
        kind=np.array([row["kind"] for row in rows]),
        place=np.array([place_of(r["kind"], r["messages"][-1]["content"], r["wrong_words"]) for r in rows]),
        cluster=np.array([texts.setdefault(repr(row["messages"]), len(texts)) for row in rows]),
    )
