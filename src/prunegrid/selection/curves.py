"""What pruners keep of a data set at many ratios, without writing a selection: samples, tokens, loss, entropy, kinds.

Samples are chosen from the sample table. Which tokens a pair keeps of a sample depends on its token ratio alone, unless
samples share a count; so the token table is read once for each token pruner and token ratio, block by block, and for
each budget of other methods.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prunegrid.core.ragged import Bools, Floats, Ints
from prunegrid.pruners import (
    Choice,
    Draw,
    MethodSpec,
    Needs,
    PruningSpec,
    Scores,
    choose_samples,
    find_pruners,
    select_tokens,
)
from prunegrid.pruners.apply import choose_tokens
from prunegrid.pruners.arrays import KeptSamples
from prunegrid.pruners.clusters import k_means
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.selection.blocks import in_file_order, kept_blocks
from prunegrid.selection.memory import ScoresInMemory

MASSES = ("nll", "entropy")  # columns whose sums over tokens are compared
VECTORS = "hidden_mean"
CLUSTERS, CLUSTER_SIZE = 100, 10  # at most so many clusters, of so many samples on average at least
Source = ScoresFolder | ScoresInMemory


class TokenSums(NamedTuple):
    """Of the tokens that are kept of each sample [N]: their number, and the sum of each of `MASSES` that is there."""

    tokens_N: Floats
    masses_N: dict[str, Floats]


@dataclass(frozen=True)
class Candidates:
    """The samples, as the file has them and by id, which masses are known, and what is counted apart.

    `kind_N` and `cluster_N`, of each sample in order of `sample_id`, are None where nothing says them.
    """

    source: Source
    in_file: Scores
    scores: Scores
    masses: tuple[str, ...]
    kind_N: NDArray[np.str_] | None
    cluster_N: Ints | None


def read_candidates(
    source: Source, methods: Sequence[MethodSpec], draw: Draw, kinds: Mapping[int, str] | None = None
) -> Candidates:
    """The samples with the columns that the methods read; clusters of their vectors, where there are some."""
    present = columns(source, "sample")
    masses = tuple(name for name in MASSES if name in present and name in columns(source, "token"))
    needs = {name: pruner for method in methods for name, pruner in method.needs.samples.items()}
    needs |= dict.fromkeys(masses, "suggest") | ({VECTORS: "suggest"} if VECTORS in present else {})
    in_file = source.read_samples(Needs(samples=needs, tokens={}))
    scores = in_file.ordered()
    kind_N = None if kinds is None else np.array([kinds.get(number, "unknown") for number in scores.sample_id.tolist()])
    cluster_N = None
    if VECTORS in present:
        count = max(1, min(CLUSTERS, len(scores) // CLUSTER_SIZE))
        cluster_N, _ = k_means(scores.samples[VECTORS], count, scores.sample_id, draw)
    return Candidates(source, in_file, scores, masses, kind_N, cluster_N)


def columns(source: Source, kind: str) -> set[str]:
    """The columns that the scores have for each `kind`: sample or token."""
    if isinstance(source, ScoresFolder):
        return set(source.columns(kind))
    return set(source.scores.samples if kind == "sample" else source.scores.tokens)


def curves(
    candidates: Candidates,
    methods: Sequence[MethodSpec],
    sample_ratios: Sequence[float],
    token_ratios: Sequence[float],
    draw: Draw,
) -> Iterator[dict[str, Any]]:
    """A row for each method, sample ratio and token ratio: counts, and shares of what all samples have."""
    known: dict[tuple[object, ...], TokenSums] = {}
    for method in methods:
        for sample_ratio in sample_ratios:
            choice: Choice | None = None
            for token_ratio in token_ratios:
                spec = PruningSpec(**dict(method), sample_ratio=sample_ratio, token_ratio=token_ratio).complete()
                choice = _choose(candidates.scores, spec, draw, choice)
                sums = _token_sums(candidates, choice, spec, draw, known)
                yield _row(candidates, choice, spec, sums)


def _choose(scores: Scores, spec: PruningSpec, draw: Draw, other: Choice | None) -> Choice:
    """The choice of `spec`; a pair's samples are those of its choice at another token ratio, if there is one."""
    if other is None or len(find_pruners(spec.method)) == 1:
        return choose_samples(scores, spec, draw)
    draw = replace(draw, sample_ratio=spec.sample_ratio)
    return replace(choose_tokens(scores, other.rows, other.samples, spec, draw), details=other.details)


def _token_sums(
    candidates: Candidates, choice: Choice, spec: PruningSpec, draw: Draw, known: dict[tuple[object, ...], TokenSums]
) -> TokenSums:
    pruners = find_pruners(spec.method)
    if len(pruners) == 1 or choice.pool is not None or choice.prompt_rank:
        return _read_sums(candidates, choice, spec)
    names = [name for name in pruners[1].options.names if name in spec.options]
    identity = (pruners[1].name, spec.token_ratio, *((name, repr(spec.options[name])) for name in names))
    if identity not in known:
        n = len(candidates.scores)
        every = choose_tokens(candidates.scores, np.arange(n), KeptSamples.uniform("rank", n), spec, draw)
        known[identity] = _read_sums(candidates, every, spec)
    return known[identity]


def _read_sums(candidates: Candidates, choice: Choice, spec: PruningSpec) -> TokenSums:
    """Stream the tokens of the chosen samples; those of other samples count 0."""
    in_file, n = candidates.in_file, len(candidates.scores)
    sums = TokenSums(np.zeros(n), {name: np.zeros(n) for name in candidates.masses})
    place_N = np.argsort(np.argsort(in_file.sample_id, kind="stable"))  # of each row of the file, by id
    masses = dict.fromkeys(candidates.masses, "suggest")
    choice = in_file_order(choice, in_file)
    recent: list[Scores] = []

    def blocks() -> Iterator[Scores]:
        for block in kept_blocks(candidates.source, in_file, choice.rows, spec, columns=masses):
            recent[:] = [block]
            yield block

    start = 0
    for selection in select_tokens(choice, blocks):
        places = place_N[choice.rows[start : start + len(selection)]]
        start += len(selection)
        counts = np.diff(selection.offsets)
        flat = np.repeat(recent[0].offsets[:-1], counts) + selection.positions
        sample = np.repeat(np.arange(len(counts)), counts)
        sums.tokens_N[places] = counts
        for name, mass_N in sums.masses_N.items():
            mass_N[places] = np.bincount(sample, recent[0].token(name)[flat], len(counts))
    return sums


def _row(candidates: Candidates, choice: Choice, spec: PruningSpec, sums: TokenSums) -> dict[str, Any]:
    scores, rows = candidates.scores, choice.rows
    lengths_N = scores.response_tokens
    is_kept_N = np.zeros(len(scores), np.bool_)
    is_kept_N[rows] = True
    row: dict[str, Any] = {"method": spec.variant}
    row |= {"sample_ratio": spec.sample_ratio, "token_ratio": spec.token_ratio}
    row |= {"samples": len(rows), "tokens": int(sums.tokens_N[rows].sum())}
    row["sample_share"] = len(rows) / len(scores)
    row["token_share"] = row["tokens"] / int(lengths_N.sum())
    row["length_share"] = int(lengths_N[rows].sum()) / int(lengths_N.sum())
    for name in candidates.masses:
        mass_N = scores.samples[name] * lengths_N
        row[f"{name}_share"] = float(sums.masses_N[name][rows].sum() / mass_N.sum())
        row[f"sample_{name}_share"] = float(mass_N[rows].sum() / mass_N.sum())
    if (cluster_N := candidates.cluster_N) is not None:
        row["cluster_share"] = len(np.unique(cluster_N[rows])) / len(np.unique(cluster_N))
    return row | _kind_shares(candidates.kind_N, is_kept_N, lengths_N, sums.tokens_N)


def _kind_shares(
    kind_N: NDArray[np.str_] | None, is_kept_N: Bools, lengths_N: Ints, tokens_N: Floats
) -> dict[str, Any]:
    """Of each kind, the share of its samples and of its tokens that is kept."""
    shares: dict[str, Any] = {}
    for kind in np.unique(kind_N).tolist() if kind_N is not None else ():
        is_kind_N = kind_N == kind
        shares[f"samples of {kind}"] = float(is_kept_N[is_kind_N].mean())
        shares[f"tokens of {kind}"] = float(tokens_N[is_kind_N & is_kept_N].sum() / lengths_N[is_kind_N].sum())
    return shares
