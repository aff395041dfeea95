"""Tables of results as an outsider would simulate them: a baseline's and 17 variants' answers, item by item.

An item has a difficulty: beta-distributed or logit-normal, in part that of its passage. A variant finds it harder or
easier than others do (again beta or normal). A training run shifts the logits of all answers of a benchmark, in part
alike in all benchmarks. An answer is right with the probability that results; on some items it is luck alike in all
variants of a seed, on some the same luck in every run of a variant. Nothing of this is a model of the tests.

What a delta estimates is known: the expected score over items of these very runs, and of the recipe over all runs.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BENCHMARKS = ("ARC-E", "ARC-C", "GSM8K", "SQuAD", "TriviaQA")
LOGITS = np.linspace(-4, 4, 81)  # at which a benchmark's expected score is tabulated
POPULATION = 20_000  # items that stand for all


@dataclass(frozen=True)
class Kind:
    """Of each benchmark: items, passages (0: items are independent), expected score, a run's sd in points.

    `common`: the share of a run's variance that all benchmarks have in common; `own`: how differently variants find an
    item; `alike`: items whose luck is the seed's; `stubborn`: items whose luck is the variant's in every run.
    """

    items: tuple[int, ...]
    passages: tuple[int, ...]
    scores: tuple[float, ...]
    run_sd: tuple[float, ...]
    common: float
    own: float
    alike: float
    stubborn: float
    is_beta: bool


KINDS = {
    "sandbox": Kind(
        items=(200, 200, 150, 200, 200),
        passages=(0, 0, 0, 40, 0),
        scores=(0.35, 0.27, 0.08, 0.2, 0.3),
        run_sd=(2.5, 2.5, 1.5, 3.0, 3.0),
        common=0.3,
        own=0.15,
        alike=0.1,
        stubborn=0.2,
        is_beta=True,
    ),
    "paper": Kind(
        items=(567, 295, 1319, 11873, 17944),
        passages=(0, 0, 0, 1204, 0),
        scores=(0.6, 0.45, 0.35, 0.5, 0.55),
        run_sd=(0.5, 0.7, 1.2, 0.7, 0.6),
        common=0.0,
        own=0.9,
        alike=0.1,
        stubborn=0.8,
        is_beta=False,
    ),
}
KINDS["few passages"] = replace(KINDS["sandbox"], passages=(12, 15, 20, 12, 30))


@dataclass(frozen=True)
class Setting:
    """`effects` [points] and `noises` (a factor on a run's sd) of the baseline, which is first, and the variants."""

    kind: str
    seeds: int
    effects: tuple[float, ...]
    noises: tuple[float, ...]


@dataclass(frozen=True)
class Benchmark:
    """Right (1) or wrong (0) [E, S, I], the items' passages [I], and each run's expected score [E, S] in points."""

    answers_ESI: NDArray[np.float32]
    passage_I: NDArray[np.int64]
    expected_ES: Floats


def simulate(setting: Setting, rng: np.random.Generator) -> list[Benchmark]:
    """One table."""
    kind = KINDS[setting.kind]
    shape = (len(setting.effects), setting.seeds)
    luck_BES = np.sqrt(kind.common) * rng.normal(size=shape) + np.sqrt(1 - kind.common) * rng.normal(
        size=(len(kind.items), *shape)
    )
    return [_benchmark(setting, index, luck_ES, rng) for index, luck_ES in enumerate(luck_BES)]


def recipe_scores(setting: Setting) -> Floats:
    """The expected score of each recipe over all runs and items [B, E], in points."""
    kind = KINDS[setting.kind]
    nodes, weights = np.polynomial.hermite_e.hermegauss(21)
    result = []
    for index in range(len(kind.items)):
        slope, shift_E = _logit_shifts(setting, index)
        sd_E = np.array(setting.noises) * kind.run_sd[index] / slope
        points = _expected(setting.kind, index)[1]
        means = np.interp(shift_E[:, None] + sd_E[:, None] * nodes, LOGITS, points)
        result.append(means @ weights / weights.sum())
    return np.array(result)


def _benchmark(setting: Setting, index: int, luck_ES: Floats, rng: np.random.Generator) -> Benchmark:
    kind = KINDS[setting.kind]
    items = kind.items[index]
    slope, shift_E = _logit_shifts(setting, index)
    logit_ES = shift_E[:, None] + np.array(setting.noises)[:, None] * kind.run_sd[index] / slope * luck_ES
    passage_I = _passages(items, kind.passages[index], rng)
    chance_EI = _chances(kind, index, len(luck_ES), passage_I, rng)
    alike_I, stubborn_I = rng.random(items) < kind.alike, rng.random(items) < kind.stubborn
    every_EI = _uniform(chance_EI.shape, rng)
    answers_ESI = np.empty((*luck_ES.shape, items), np.float32)
    for seed in range(setting.seeds):
        luck_EI = np.where(stubborn_I, every_EI, _uniform(chance_EI.shape, rng))
        luck_EI = np.where(alike_I, luck_EI[:1], luck_EI)
        odds_E = np.exp(logit_ES[:, seed, None]).astype(np.float32)
        answers_ESI[:, seed] = luck_EI < 65536 * (chance_EI * odds_E / (1 + chance_EI * (odds_E - 1)))
    expected_ES = np.interp(logit_ES, LOGITS, _expected(setting.kind, index)[1])
    return Benchmark(answers_ESI, passage_I, expected_ES)


def _uniform(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.uint16]:
    return np.frombuffer(rng.bytes(2 * int(np.prod(shape))), np.uint16).reshape(shape)


def _passages(items: int, passages: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Of unequal sizes: one item each, the others at random, more to some passages than to others."""
    if not passages:
        return np.arange(items)
    sizes = 1 + rng.multinomial(items - passages, rng.dirichlet(np.full(passages, 1.5)))
    return np.repeat(np.arange(passages), sizes)


def _chances(
    kind: Kind, index: int, rows: int, passage_I: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Of a right answer, before a run's shift [E, I]."""
    score, items, passages = kind.scores[index], len(passage_I), int(passage_I[-1]) + 1
    is_read = bool(kind.passages[index])
    if kind.is_beta:
        mean_I = rng.beta(2 * score, 2 * (1 - score), items)
        if is_read:  # half of the items are as hard as their passage
            passage_U = rng.beta(2 * score, 2 * (1 - score), passages)
            mean_I = np.where(rng.random(items) < 0.5, mean_I, passage_U[passage_I])
        right_EI = rng.standard_gamma(np.maximum(mean_I / kind.own, 1e-3), (rows, items))
        wrong_EI = rng.standard_gamma(np.maximum((1 - mean_I) / kind.own, 1e-3), (rows, items))
        return np.asarray(right_EI / (right_EI + wrong_EI + 1e-300), dtype=np.float32)
    normal = rng.standard_normal
    logit_EI = np.float32(kind.own) * normal((rows, items), dtype=np.float32)
    logit_EI += 1.5 * (normal(items, dtype=np.float32) + np.float32(np.log(score / (1 - score))))
    if is_read:
        logit_EI += (0.5 * normal(passages, dtype=np.float32))[passage_I]
        logit_EI += (0.25 * normal((rows, passages), dtype=np.float32))[:, passage_I]
    return np.asarray(1 / (1 + np.exp(-logit_EI)), dtype=np.float32)


@lru_cache
def _expected(kind: str, index: int) -> tuple[float, Floats]:
    """Over a population of items: points that a logit adds at zero, and the expected score at `LOGITS`."""
    rng = np.random.default_rng(index)
    passages = POPULATION // 4 if KINDS[kind].passages[index] else 0
    population = replace(KINDS[kind], passages=tuple(passages for _ in BENCHMARKS))
    passage_I = _passages(POPULATION, passages, rng)
    chance_P = _chances(population, index, 4, passage_I, rng).astype(np.float64).ravel()
    scores = [100 * float((chance_P * odds / (1 + chance_P * (odds - 1))).mean()) for odds in np.exp(LOGITS)]
    return 100 * float((chance_P * (1 - chance_P)).mean()), np.array(scores)


def _logit_shifts(setting: Setting, index: int) -> tuple[float, Floats]:
    """Points that a logit adds, and the logits that add the effects [E]."""
    slope, points = _expected(setting.kind, index)
    base = float(np.interp(0, LOGITS, points))
    return slope, np.interp(base + np.array(setting.effects), points, LOGITS)
