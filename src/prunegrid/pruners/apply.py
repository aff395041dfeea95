"""Apply a method to scores: the functions behind static pruning and the pruning of a mini-batch.

`choose_samples` reads per-sample columns only. `select_tokens` then reads the kept samples' tokens block by block, so
memory does not grow with them. `select` does both, for scores in memory.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from prunegrid.core import ragged
from prunegrid.core.errors import PrunegridError
from prunegrid.core.ragged import Bools, Floats, Ints
from prunegrid.pruners.arrays import Choice, Draw, KeptSamples, Scores, SelectionArrays
from prunegrid.pruners.match import Match, match_rows, match_token_counts
from prunegrid.pruners.method import find_pruners
from prunegrid.pruners.registry import Pruner
from prunegrid.pruners.spec import PruningSpec

LARGEST = float(np.finfo(np.float32).max)


def select(scores: Scores, spec: PruningSpec, draw: Draw, match: Match | None = None) -> SelectionArrays:
    """The samples and tokens of `scores` to keep: a pure function, independent of the order of the rows."""
    scores = scores.ordered()
    choice = choose_samples(scores, spec, draw, match)
    require_tokens(scores, spec)
    (selection,) = select_tokens(choice, lambda: [scores.take(choice.rows)])
    return selection


def choose_samples(scores: Scores, spec: PruningSpec, draw: Draw, match: Match | None = None) -> Choice:
    """The samples to keep, and how many tokens of each; `scores` in order of `sample_id`."""
    spec = spec.complete()
    if not len(scores):
        raise PrunegridError("the scores", "hold no samples to prune", "score a data set that has some")
    pruners = find_pruners(spec.method)
    for pruner in pruners:
        scores.require("sample", pruner.sample_columns(spec.options), pruner.name)
    if len(pruners) == 2:
        return _choose_pair(scores, spec, draw, match)
    if match:
        problem = "is a joint pruner, which cannot match the counts of another variant"
        raise PrunegridError(spec.method, problem, "match with a pair")
    (joint,) = pruners
    ratios = spec.sample_ratio, spec.token_ratio
    return _check_choice(joint, scores, joint.call(scores, draw, *ratios, options=spec.options))


def _choose_pair(scores: Scores, spec: PruningSpec, draw: Draw, match: Match | None) -> Choice:
    """The samples to keep by the first pruner's key; the second one ranks their tokens later, block by block."""
    (first, second), options = find_pruners(spec.method), spec.options
    key_n = _check_key(first, first.call(scores, draw, options=options), len(scores))
    details: dict[str, Any] = {}
    if match:
        rows, details = match_rows(key_n, scores.response_tokens, match)
        k = match_token_counts(scores.response_tokens[rows], match.tokens, scores.take(rows).least_tokens)
    else:
        rows = ragged.top_k(key_n, int(ragged.keep_counts(spec.sample_ratio, np.array([len(scores)]))[0]))
        k = token_counts(scores, rows, spec.token_ratio)
    return Choice(
        rows=rows,
        k=k,
        rank=lambda block: _check_key(second, second.call(block, draw, options=options), int(block.offsets[-1])),
        samples=KeptSamples.uniform(first.reason, len(rows)),
        shared_budget=second.shared_budget,
        details=details,
    )


def token_counts(scores: Scores, rows: Ints, ratio: float) -> Ints:
    """How many tokens a pair keeps of each of the samples `rows`."""
    kept = scores.take(rows)
    counts: Ints = np.maximum(ragged.keep_counts(ratio, kept.response_tokens), kept.least_tokens)
    return counts


def _check_key(pruner: Pruner, returned: Any, size: int) -> Floats:
    """A pruner's key in float64; refused unless it is `size` finite numbers."""
    source, fix = f"pruner {pruner.name}", f"return {size} finite numbers"
    try:
        key = np.asarray(returned)
        real = key.dtype.kind in "fiub" and bool(np.isfinite(key).all())
    except (TypeError, ValueError):
        raise PrunegridError(source, "returned no array", fix) from None
    if key.shape != (size,):
        raise PrunegridError(source, f"returned values of shape {key.shape}, {key.dtype}", fix)
    if not real:
        raise PrunegridError(source, "returned values that are not finite numbers", fix)
    return key.astype(np.float64)


def _check_choice(pruner: Pruner, scores: Scores, choice: Any) -> Choice:
    """A joint pruner's choice; refused unless its rows and counts are possible. Each key is checked when it is made."""
    source = f"pruner {pruner.name}"
    if not isinstance(choice, Choice):
        raise PrunegridError(source, f"returned a {type(choice).__name__}", "return a Choice")
    rows, k = np.asarray(choice.rows), np.asarray(choice.k)
    if not (len(rows) and rows.min() >= 0 and rows.max() < len(scores) and np.all(np.diff(rows) > 0)):
        finding = f"kept no rows, or rows that are not ascending or not among the {len(scores)} samples"
        raise PrunegridError(source, finding, "return ascending row numbers")
    if k.shape != rows.shape or np.any(k < 1) or np.any(k > scores.response_tokens[rows]):
        finding = "keeps no tokens of a sample, or more than it has"
        raise PrunegridError(source, finding, "return 1 <= k <= response_tokens")
    rank, k = choice.rank, np.maximum(k, scores.take(rows).least_tokens)
    return replace(choice, k=k, rank=lambda block: _check_key(pruner, rank(block), int(block.offsets[-1])))


def require_tokens(block: Scores, spec: PruningSpec) -> None:
    """Refuse a block of scores that lacks a token column of the method, or has a value that is not finite."""
    spec = spec.complete()
    for pruner in find_pruners(spec.method):
        block.require("token", pruner.token_columns(spec.options), pruner.name)


Blocks = Callable[[], Iterable[Scores]]


def select_tokens(choice: Choice, blocks: Blocks) -> Iterator[SelectionArrays]:
    """The selection of each of `blocks()`: the kept samples with their tokens, in the order of `choice`."""
    if choice.shared_budget:
        choice = replace(choice, k=_share_budget(choice, blocks))
    start = 0
    for block in blocks():
        part = slice(start, start + len(block))
        start = part.stop
        marks_T = ragged.segment_top_k(_end_first(block, choice.rank(block)), block.offsets, choice.k[part])
        yield _selection(block, marks_T, choice, part)
    assert start == len(choice), f"the blocks hold {start} of the {len(choice)} kept samples"


def _end_first(block: Scores, key: Floats) -> Floats:
    """The key with the ends of all answers on top: they are always kept, and count among the k tokens."""
    key = key.copy()
    key[block.answers.ends] = np.inf
    return key


def _share_budget(choice: Choice, blocks: Blocks) -> Ints:
    """How many tokens to keep of each sample [m], if the `choice.k.sum()` largest keys of all samples are kept.

    Each sample keeps at least one. Keys are compared in float32, 4 bytes a token of the kept samples; of equal keys
    those of the smaller `sample_id` are kept.
    """
    keys, lengths, ids = [], [], []
    for block in blocks():
        # Infinity is reserved for the ends of sequences and each sample's best token, which no other key may tie with.
        key = _end_first(block, np.clip(choice.rank(block), -LARGEST, LARGEST))
        key[ragged.segment_top_k(key, block.offsets, np.ones(len(block), np.int64))] = np.inf
        keys.append(key.astype(np.float32))
        lengths.append(block.response_tokens)
        ids.append(block.sample_id)
    key_T, offsets = np.concatenate(keys), ragged.offsets_from_lengths(np.concatenate(lengths))
    total = int(choice.k.sum())
    threshold = np.partition(key_T, len(key_T) - total)[len(key_T) - total]
    larger = ragged.segment_sums(key_T > threshold, offsets)
    # Not all tokens that tie with the threshold fit. They are admitted sample by sample, by `sample_id`, so that the
    # result does not depend on the order of the blocks; `earlier` are the ties of the samples that come first.
    ties = ragged.segment_sums(key_T == threshold, offsets)
    order = np.argsort(np.concatenate(ids), kind="stable")
    earlier = np.cumsum(ties[order]) - ties[order]
    admitted = np.empty_like(ties)
    admitted[order] = np.clip(total - larger.sum() - earlier, 0, ties[order])
    k: Ints = larger + admitted
    return k


def _selection(block: Scores, marks_T: Bools, choice: Choice, part: slice) -> SelectionArrays:
    samples = choice.samples.take(part)
    return SelectionArrays(
        sample_id=block.sample_id,
        weight=samples.weight,
        offsets=ragged.offsets_from_lengths(marks_T)[block.offsets],
        positions=ragged.positions(block.offsets)[marks_T].astype(np.int32),
        quadrant=samples.quadrant,
        reason=samples.reason,
        treated_as=samples.treated_as,
        details=choice.details,
        turns=block.answers,
    )
