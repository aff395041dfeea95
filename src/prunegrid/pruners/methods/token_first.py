"""Token-first: the best tokens of the whole set are chosen first, and the samples that have most of them are kept.

A joint baseline, of no paper: what a token score does alone if it may choose the samples, too. Of T response tokens in
n samples, m = floor(sample_ratio n) samples and B = floor(sample_ratio token_ratio T) tokens are kept:

1. All tokens compete, but for the ends of answers; the B - m best are chosen.
2. The m samples with most chosen tokens are kept (or with the largest share of their own; ties by the mean of the
   sample's keys). If they hold fewer than B tokens, only longer responses take part, as in `match`.
3. Their ends and chosen tokens are kept, and the next best of these samples until there are B.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

from prunegrid.core import ragged
from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Floats, Ints, exact_fraction
from prunegrid.pruners.arrays import Choice, Draw, KeptSamples, Scores
from prunegrid.pruners.largest_keys import KeyBlock, count_largest
from prunegrid.pruners.match import Match, match_rows
from prunegrid.pruners.method import member
from prunegrid.pruners.registry import Pruner, joint_pruner
from prunegrid.pruners.token_rules import TokenRules

NAME = "token-first"
Keys = Callable[[Scores], Floats]


def _ranker(options: dict[str, Any]) -> tuple[Pruner, dict[str, Any]]:
    """The token pruner that ranks, and its complete options."""
    name, given = options["token_pruner"], options["token_options"] or {}
    if rules := sorted(given.keys() & TokenRules.model_fields.keys()):
        problem = f"has {rules[0]}, a rule of token counts, but {NAME} has its own"
        raise PrunegridError(f"{NAME}: token_options", problem, "leave it out")
    return member(f"random+{name}", 1, given)


def _label(options: dict[str, Any]) -> str:
    pruner, complete = _ranker(options)
    return f"Token-First ({pruner.title(complete)})"


def _sample_columns(options: dict[str, Any]) -> tuple[str, ...]:
    pruner, complete = _ranker(options)
    return pruner.sample_columns(complete)


def _token_columns(options: dict[str, Any]) -> tuple[str, ...]:
    pruner, complete = _ranker(options)
    return pruner.token_columns(complete)


def _rank(
    block: Scores,
    draw: Draw,
    *,
    token_pruner: str = "ppl",
    token_options: dict[str, Any] | None = None,
    sample_score: str = "tokens",
) -> Floats:
    """The keys [T] of the token pruner."""
    pruner, complete = _ranker({"token_pruner": token_pruner, "token_options": token_options})
    return np.array(pruner.call(block, draw, options=complete), np.float64)


@joint_pruner(
    NAME,
    label=_label,
    samples=_sample_columns,
    tokens=_token_columns,
    rank=_rank,
    calls=lambda options: (_ranker(options),),
)
def token_first(
    scores: Scores,
    draw: Draw,
    sample_ratio: float,
    token_ratio: float,
    *,
    token_pruner: str = "ppl",
    token_options: dict[str, Any] | None = None,
    sample_score: Literal["tokens", "share"] = "tokens",
) -> Choice:
    """The choice described above; `sample_score` ranks samples. Reads the tokens five times, block by block."""
    pruner, complete = _ranker({"token_pruner": token_pruner, "token_options": token_options})
    columns, lengths = pruner.token_columns(complete), scores.response_tokens

    def keys(block: Scores) -> Floats:
        return np.array(pruner.call(block, draw, options=complete), np.float64)

    def blocks() -> Iterator[tuple[Ints, Scores]]:
        for rows, block in scores.rows_of_blocks():
            block.require("token", columns, NAME)
            yield rows, block

    m = int(ragged.keep_counts(sample_ratio, np.array([len(scores)]))[0])
    product = exact_fraction(sample_ratio) * exact_fraction(token_ratio)
    longest = int(np.sort(lengths)[::-1][:m].sum())
    budget = min(max(m, int(product * int(lengths.sum()))), longest)
    chosen = count_largest(lambda: _competing(blocks(), keys), len(scores), budget - m)
    mean = np.zeros(len(scores))
    for rows, block in blocks():
        mean[rows] = np.add.reduceat(keys(block), block.offsets[:-1]) / block.response_tokens
    order = np.lexsort((-mean, -(chosen / lengths if sample_score == "share" else chosen)))
    place = np.empty(len(scores))
    place[order] = np.arange(len(scores))
    kept, _ = match_rows(-place, lengths, Match(m, budget))
    is_kept = np.isin(np.arange(len(scores)), kept, assume_unique=True)
    counts = count_largest(lambda: _forced(blocks(), keys, is_kept), len(scores), budget)
    return Choice(rows=kept, k=counts[kept], rank=keys, samples=KeptSamples.uniform("rank", m))


def _competing(blocks: Iterator[tuple[Ints, Scores]], keys: Keys) -> Iterator[KeyBlock]:
    """The keys of all samples, those of the ends of answers left out."""
    for rows, block in blocks:
        key = keys(block)
        key[block.answers.ends] = -np.inf
        yield KeyBlock(rows, block.sample_id, key, block.offsets)


def _forced(blocks: Iterator[tuple[Ints, Scores]], keys: Keys, is_kept: ragged.Bools) -> Iterator[KeyBlock]:
    """The keys of kept samples, infinite for what each keeps in any case: its ends, or its best token without one."""
    for rows, block in blocks:
        kept = np.flatnonzero(is_kept[rows])
        part = block.take(kept)
        key = keys(part)
        endless = (part.answers.end_counts == 0).astype(np.int64)
        key[part.answers.ends] = np.inf
        key[ragged.segment_top_k(key, part.offsets, endless)] = np.inf
        yield KeyBlock(rows[kept], part.sample_id, key, part.offsets)
