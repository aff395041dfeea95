"""Apply a method to scores: the functions behind static pruning and the pruning of a mini-batch.

`choose` needs per-sample columns only; `keep` then goes through the kept samples' tokens block by block, so
that memory does not grow with them. `select` is both at once, for scores that are in memory.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from prunegrid.core import ragged
from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Bools, Floats, Ints
from prunegrid.pruners.arrays import Choice, Draw, Kept, Scores, Selection
from prunegrid.pruners.match import Match, matched_rows, matched_tokens
from prunegrid.pruners.method import members
from prunegrid.pruners.registry import Pruner
from prunegrid.pruners.spec import PruningSpec

LARGEST = float(np.finfo(np.float32).max)


def select(scores: Scores, spec: PruningSpec, draw: Draw, match: Match | None = None) -> Selection:
    """The samples and tokens of `scores` to keep: a pure function, independent of the order of the rows."""
    scores = scores.ordered()
    chosen = choose(scores, spec, draw, match)
    require_tokens(scores, spec)
    (selection,) = keep(chosen, lambda: [scores.take(chosen.rows)])
    return selection


def choose(scores: Scores, spec: PruningSpec, draw: Draw, match: Match | None = None) -> Choice:
    """The samples to keep, and how many tokens of each; `scores` in order of `sample_id`."""
    spec = spec.complete()
    if not len(scores):
        raise PrunegridError("the scores", "hold no samples to prune", "score a data set that has some")
    pruners = members(spec.method)
    for pruner in pruners:
        scores.require_samples(pruner.sample_columns(spec.options), pruner.name)
    if len(pruners) == 2:
        return _pair(scores, spec, draw, match)
    if match:
        raise PrunegridError(
            spec.method, "is a joint pruner, which cannot match the counts of another variant", "match with a pair"
        )
    (joint,) = pruners
    ratios = spec.sample_ratio, spec.token_ratio
    return _checked(joint, scores, joint.call(scores, draw, *ratios, options=spec.options))


def _pair(scores: Scores, spec: PruningSpec, draw: Draw, match: Match | None) -> Choice:
    """Rank the samples; the tokens of those kept are ranked later."""
    (first, second), options = members(spec.method), spec.options
    key_n = _key(first, first.call(scores, draw, options=options), len(scores))
    details: dict[str, Any] = {}
    if match:
        rows, details = matched_rows(key_n, scores.response_tokens, match)
        k = matched_tokens(scores.response_tokens[rows], match.tokens)
    else:
        rows = ragged.top_k(key_n, int(ragged.keep_counts(spec.sample_ratio, np.array([len(scores)]))[0]))
        k = ragged.keep_counts(spec.token_ratio, scores.response_tokens[rows])
    return Choice(
        rows=rows,
        k=k,
        rank=lambda block: _key(second, second.call(block, draw, options=options), int(block.offsets[-1])),
        kept=Kept.because(first.reason, len(rows)),
        across=second.across,
        details=details,
    )


def _key(pruner: Pruner, returned: Any, size: int) -> Floats:
    """What a pruner returned as its key, refused unless it is `size` finite numbers."""
    where, fix = f"pruner {pruner.name}", f"return {size} finite numbers"
    try:
        key = np.asarray(returned)
        real = key.dtype.kind in "fiub" and bool(np.isfinite(key).all())
    except (TypeError, ValueError):
        raise PrunegridError(where, "returned no array", fix) from None
    if key.shape != (size,):
        raise PrunegridError(where, f"returned values of shape {key.shape}, {key.dtype}", fix)
    if not real:
        raise PrunegridError(where, "returned values that are not finite numbers", fix)
    return key.astype(np.float64)


def _checked(pruner: Pruner, scores: Scores, chosen: Any) -> Choice:
    """A joint pruner's choice, refused unless its rows and counts are possible; its keys are checked as they come."""
    where = f"pruner {pruner.name}"
    if not isinstance(chosen, Choice):
        raise PrunegridError(where, f"returned a {type(chosen).__name__}", "return a Choice")
    rows, k = np.asarray(chosen.rows), np.asarray(chosen.k)
    if not (len(rows) and rows.min() >= 0 and rows.max() < len(scores) and np.all(np.diff(rows) > 0)):
        what = f"kept no rows, or rows that are not ascending or not among the {len(scores)} samples"
        raise PrunegridError(where, what, "return ascending row numbers")
    if k.shape != rows.shape or np.any(k < 1) or np.any(k > scores.response_tokens[rows]):
        raise PrunegridError(
            where, "keeps no tokens of a sample, or more than it has", "return 1 <= k <= response_tokens"
        )
    rank = chosen.rank
    return replace(chosen, rank=lambda block: _key(pruner, rank(block), int(block.offsets[-1])))


def require_tokens(block: Scores, spec: PruningSpec) -> None:
    """Refuse a block of scores that lacks a token column of the method, or has a value that is not finite."""
    spec = spec.complete()
    for pruner in members(spec.method):
        block.require_tokens(pruner.token_columns(spec.options), pruner.name)


Blocks = Callable[[], Iterable[Scores]]


def keep(chosen: Choice, blocks: Blocks) -> Iterator[Selection]:
    """The selection of each of `blocks()`: the kept samples with their tokens, in the order of `chosen`."""
    if chosen.across:
        chosen = replace(chosen, k=_compete(chosen, blocks))
    start = 0
    for block in blocks():
        part = slice(start, start + len(block))
        start = part.stop
        yield _selection(block, _mark(block, chosen.rank(block), chosen.k[part]), chosen, part)
    assert start == len(chosen), f"{start} of {len(chosen)} kept samples came with their tokens"


def _mark(block: Scores, key: Floats, k: Ints) -> Bools:
    """Mark [T] the `k[n]` tokens of largest key, the end of the sequence first and counted among them."""
    return ragged.segment_top_k(_end_first(block, key), block.offsets, k)


def _end_first(block: Scores, key: Floats) -> Floats:
    key = key.copy()
    key[block.offsets[1:][~block.truncated] - 1] = np.inf
    return key


def _compete(chosen: Choice, blocks: Blocks) -> Ints:
    """Tokens to keep of each sample [m], where the sum of `chosen.k` largest keys of all samples are kept.

    Each sample keeps one at least. Keys are compared in float32, 4 bytes a token of the kept samples; of equal
    ones those of the smaller `sample_id` are kept.
    """
    keys, lengths, ids = [], [], []
    for block in blocks():
        key = _end_first(block, np.clip(chosen.rank(block), -LARGEST, LARGEST))
        key[ragged.segment_top_k(key, block.offsets, np.ones(len(block), np.int64))] = np.inf
        keys.append(key.astype(np.float32))
        lengths.append(block.response_tokens)
        ids.append(block.sample_id)
    key_T, offsets = np.concatenate(keys), ragged.offsets_from_lengths(np.concatenate(lengths))
    total = int(chosen.k.sum())
    limit = np.partition(key_T, len(key_T) - total)[len(key_T) - total]
    above, level = ragged.segment_sums(key_T > limit, offsets), ragged.segment_sums(key_T == limit, offsets)
    order = np.argsort(np.concatenate(ids), kind="stable")
    before = np.cumsum(level[order]) - level[order]
    admitted = np.empty_like(level)
    admitted[order] = np.clip(total - above.sum() - before, 0, level[order])
    k: Ints = above + admitted
    return k


def _selection(block: Scores, kept: Bools, chosen: Choice, part: slice) -> Selection:
    why = chosen.kept.take(part)
    return Selection(
        sample_id=block.sample_id,
        weight=why.weight,
        offsets=ragged.offsets_from_lengths(kept)[block.offsets],
        positions=ragged.positions(block.offsets)[kept].astype(np.int32),
        quadrant=why.quadrant,
        reason=why.reason,
        treated_as=why.treated_as,
        details=chosen.details,
    )
