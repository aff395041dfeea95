"""Choose: from the sample table to what is kept of each sample, as a file that shards can be cut by (`selection.cut`).

Global, but small: it reads tokens only where several samples share a budget of them.
"""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from prunegrid.core import file_sums, files
from prunegrid.core.columns import Stretch
from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Ints
from prunegrid.pruners import (
    Choice,
    Draw,
    KeptSamples,
    Match,
    PruningSpec,
    Scores,
    choose_samples,
    token_ranks,
    without_pools,
)
from prunegrid.pruners.arrays import EndToken
from prunegrid.scoring.reader import ScoresFolder, check_digests
from prunegrid.selection.blocks import in_file_order, kept_blocks
from prunegrid.selection.memory import ScoresInMemory
from prunegrid.selection.summary import SelectionSummary, Totals

Source = ScoresFolder | ScoresInMemory
FACTS = b"prunegrid"  # key of the file's metadata
ROWS = 2**20
SCHEMA = pa.schema(
    {
        "place": pa.int64(),
        "sample_id": pa.int64(),
        "k": pa.int32(),
        "weight": pa.float32(),
        "quadrant": pa.int8(),
        "reason": pa.string(),
        "treated_as": pa.int8(),
    }
)


class ChoiceFacts(BaseModel):
    """What decided a choice, and all that `selection.json` says but for what is known once tokens are cut."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: PruningSpec
    seed: int
    totals: dict[str, int | None]
    details: dict[str, Any]
    counts: dict[str, dict[str, int]]
    end_token: EndToken
    match: str | None
    budget: dict[str, str] | None
    inputs: dict[str, str]
    digests: dict[str, str]
    extras: dict[str, dict[str, str]]
    scores: str | None

    def summary(self, cut: dict[str, int], **rest: Any) -> SelectionSummary:
        """`selection.json`; `cut` are the facts of the kept answers, `rest` the fields on what was written."""
        totals = Totals(**self.totals | {"kept_tokens": cut["kept_tokens"]})  # type: ignore[arg-type]
        names = ("counts", "digests", "extras", "match", "budget", "scores")
        return SelectionSummary.build(
            "static",
            self.spec,
            totals,
            self.details,
            **{name: getattr(self, name) for name in names},
            **{name: number for name, number in cut.items() if name != "kept_tokens"},
            inputs=self.inputs or None,
            seeds={"cell": self.seed, "pruning": Draw(self.seed).seed},
            **rest,
        )


@dataclass(frozen=True)
class Chosen:
    """A choice of `scores`, in the order of their file: `choice.rows` ascend, and no samples share a pool."""

    facts: ChoiceFacts
    choice: Choice
    scores: Scores


def decide(
    folder: Source,
    out_dir: Path,
    spec: PruningSpec,
    seed: int,
    match: Path | None = None,
    expected_digests: dict[str, str] | None = None,
    budget: dict[str, str] | None = None,
    root: Path | None = None,
) -> Chosen:
    """The choice from all samples; the arguments are those of `prune`."""
    spec = spec.complete()
    folder.check_digests(expected_digests or {})
    sums = folder.check_files(spec.needs) | file_sums.hash_files([match] if match else [])
    scores = folder.read_samples(spec.needs, spec.unit)
    other = _read_match(match, len(scores), folder, spec.unit) if match else None
    ordered, counts = scores.ordered(), Match(other.n_kept_samples, other.kept_tokens) if other else None
    choice = choose_samples(ordered, spec, Draw(seed), counts)
    totals = _count_totals(ordered, choice.rows)
    choice = in_file_order(choice, scores)
    choice = without_pools(choice, lambda: kept_blocks(folder, scores, choice.rows, spec))
    facts = ChoiceFacts(
        spec=spec,
        seed=seed,
        totals=asdict(totals),
        details=choice.details,
        counts=_counts(choice.samples),
        end_token=choice.end_token,
        match=other.variant if other else None,
        budget=budget,
        inputs=file_sums.relative_sums(sums, root or out_dir),
        digests=folder.digests,
        extras=folder.extra_digests(spec.needs),
        scores=os.path.relpath(folder.path, out_dir) if isinstance(folder, ScoresFolder) else None,
    )
    return Chosen(facts, choice, scores)


def choose(source: Path | ScoresFolder, out: Path, spec: PruningSpec, seed: int, **given: Any) -> ChoiceFacts:
    """Write the choice file `out`, whole or not at all; the other arguments are those of `prune`.

    A joint pruner that cannot rank tokens without its whole choice is refused.
    """
    folder = ScoresFolder(source) if isinstance(source, Path) else source
    token_ranks(spec.complete(), Draw(seed))
    chosen = decide(folder, out.parent, spec, seed, **given)
    choice = chosen.choice
    turns = chosen.scores.turns
    schema = SCHEMA.with_metadata({FACTS: chosen.facts.model_dump_json()})
    with files.replacing(out) as temporary, files.parquet_writer(temporary, schema) as writer:
        for start in range(0, len(choice), ROWS):
            part = slice(start, start + ROWS)
            rows, samples = choice.rows[part], choice.samples.take(part)
            places = rows if turns is None else turns.offsets[rows]
            columns = [places, chosen.scores.sample_id[rows], choice.k[part], samples.weight]
            decisions = [samples.quadrant, pa.array(samples.reason), samples.treated_as]
            writer.write_table(pa.table([*columns, *decisions], schema=schema))
    return chosen.facts


def read_facts(path: Path) -> ChoiceFacts:
    """What a choice file says of itself."""
    text = (files.parquet_schema(path).metadata or {}).get(FACTS)
    if text is None:
        raise PrunegridError(path, "is not a choice file of prunegrid", "name the file that `prunegrid choose` wrote")
    return ChoiceFacts.model_validate_json(text)


def read_choice(path: Path, facts: ChoiceFacts, scores: Scores, stretch: Stretch) -> Choice:
    """The choice among `scores`, the samples of a stretch of answers: other row groups are not read."""
    with files.reading(path):
        limits = [("place", ">=", stretch.start), ("place", "<", stretch.stop)]
        table = pq.read_table(path, filters=limits, page_checksum_verification=True).combine_chunks()
    column = {name: table[name].to_numpy() for name in SCHEMA.names}
    rows = np.searchsorted(scores.answers.offsets[:-1] + stretch.start, column["place"])
    if not np.array_equal(scores.sample_id[rows], column["sample_id"]):
        raise PrunegridError(path, "chooses samples that are not at these positions in the scores", "choose again")
    rank, prompt_rank = token_ranks(facts.spec, Draw(facts.seed))
    return Choice(
        rows=rows,
        k=column["k"].astype(np.int64),
        rank=rank,
        samples=KeptSamples(
            column["weight"], column["quadrant"], column["reason"].astype(np.str_), column["treated_as"]
        ),
        end_token=facts.end_token,
        prompt_rank=prompt_rank,
    )


def _read_match(path: Path, n: int, folder: Source, unit: str) -> SelectionSummary:
    """The summary of another selection of the same n samples, whose counts are to be met."""
    other = SelectionSummary.read(path)
    if other.unit != unit:
        problem = f"was pruned with unit: {other.unit}, not {unit}"
        raise PrunegridError(path, problem, "match a selection of the same unit")
    if other.n_samples != n:
        problem = f"is a selection of {other.n_samples} samples, but the scores have {n}"
        raise PrunegridError(path, problem, "match a selection of the same scores")
    check_digests(path, other.digests, folder.digests, "prune again")
    return other


def _count_totals(scores: Scores, rows: Ints) -> Totals:
    """The totals of all samples and of those kept, but for the kept tokens, which are not known yet."""
    response, prompt = scores.response_tokens, scores.prompt_tokens
    return Totals(
        samples=len(scores),
        response_tokens=int(response.sum()),
        all_tokens=None if prompt is None else int(prompt.sum() + response.sum()),
        kept_samples=len(rows),
        kept_tokens=0,
        response_tokens_of_kept=int(response[rows].sum()),
        prompt_tokens_of_kept=None if prompt is None else int(prompt[rows].sum()),
    )


def _counts(samples: KeptSamples) -> dict[str, dict[str, int]]:
    """How many kept samples have each quadrant, reason and token rule."""
    columns = {name: getattr(samples, name) for name in ("quadrant", "reason", "treated_as")}
    counts: dict[str, dict[str, int]] = {}
    for name, column in columns.items():
        pairs = [(pair["values"], pair["counts"]) for pair in pc.value_counts(pa.array(column)).to_pylist()]
        counts[name] = {str(value): number for value, number in sorted(pairs)}
    return counts
