"""Do the intervals keep their promise where answers are drawn, once or several times an item?

    python benchmarks/draws.py [--tables 2000]

A baseline and seven recipes, three seeds each, are asked 150 new items in every table. A model's chance on an item is a
logistic of the recipe's level, the item's difficulty, and the luck of the run and of the run on this item. Its
answers are drawn from that, once (1) or more often, with numbers of their own or with the other models' (common).
Coverage, in percent, of the 95 % intervals: of the models' true difference on such items by `item_low .. item_high`,
of the recipes' by `low .. high`; and the mean of `draw_se` by what it estimates, the known spread of draws on the same
items (not for single draws). The last line is one JSON object. Two thousand tables take a few minutes.
"""

import argparse
import json
from math import sqrt

import numpy as np

from prunegrid.core.ragged import Floats
from prunegrid.statistics.draws import deviations, draw_se
from prunegrid.statistics.families import Comparison, assess
from prunegrid.statistics.inference import item_effect, item_noise

ITEMS, SEEDS, POOL = 150, 3, 4000
LEVELS = (0.0, *[0.4] * 7)
RUN, INTERACTION = 0.12, 0.8  # standard deviations on the logistic scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=2000)
    tables = parser.parse_args().tables
    print("| answers | numbers | items' interval covers | recipe's interval covers | draw_se by the truth |")
    print("|---|---|---|---|---|")
    found, truth = {}, _recipe_truth(np.random.default_rng(0))
    for repeats in (1, 2, 4, 8):
        for common in (False, True):
            numbers = "common" if common else "own"
            items, recipe, ratio = found[f"{repeats} {numbers}"] = setting(repeats, common, tables, truth)
            shown = "" if ratio is None else f"{ratio:.2f}"
            print(f"| {repeats} | {numbers} | {items:.1f} | {recipe:.1f} | {shown} |", flush=True)
    print(json.dumps({"benchmark": "draws", "tables": tables, "settings": found}))


def setting(repeats: int, common: bool, tables: int, truth: float) -> tuple[float, float, float | None]:
    rng = np.random.default_rng([repeats, common])
    rows = np.array([_table(rng, repeats, common, truth) for _ in range(tables)])
    ratio = sqrt(rows[:, 2].mean() / rows[:, 3].mean()) if repeats > 1 else None
    return float(100 * rows[:, 0].mean()), float(100 * rows[:, 1].mean()), ratio


def _chances(rng: np.random.Generator, hard_I: Floats, runs_RS: Floats) -> Floats:
    """[R, S, I] of a right answer."""
    luck = rng.normal(0, INTERACTION, (*runs_RS.shape, len(hard_I)))
    return 1 / (1 + np.exp(-(np.array(LEVELS)[:, None, None] + runs_RS[..., None] - hard_I + luck)))


def _recipe_truth(rng: np.random.Generator) -> float:
    runs = (len(LEVELS), 1)
    many = [_chances(rng, rng.normal(0, 2, POOL), rng.normal(0, RUN, runs)).mean(axis=(1, 2)) for _ in range(2000)]
    means = np.mean(many, axis=0)
    return float(100 * (means[1:].mean() - means[0]))


def _table(rng: np.random.Generator, repeats: int, common: bool, recipe_truth: float) -> tuple[float, ...]:
    """Whether both intervals cover, and the variance of draws: estimated, and true."""
    runs_RS = rng.normal(0, RUN, (len(LEVELS), SEEDS))
    means_R = 100 * _chances(rng, rng.normal(0, 2, POOL), runs_RS).mean(axis=(1, 2))
    others = range(1, len(LEVELS))
    chance_RSI = _chances(rng, rng.normal(0, 2, ITEMS), runs_RS)
    answers_RSKI = _draw(rng, chance_RSI, repeats, common)
    values_RSI = answers_RSKI.mean(axis=2)
    drawn = [[deviations(answers_KI) for answers_KI in side] if repeats > 1 else [None] for side in answers_RSKI]
    effects = [item_effect(values_RSI[i] - values_RSI[0], None, draw_se(drawn[i], drawn[0])) for i in others]
    scores = {i: dict(enumerate(100 * values_SI.mean(axis=1))) for i, values_SI in enumerate(values_RSI)}
    rows = assess({"x": [Comparison(i, 0, effect) for i, effect in zip(others, effects, strict=True)]}, {"x": scores})
    intervals = [item_noise(effect).interval(effect.delta) for effect in effects]
    of_items = np.mean(
        [low <= means_R[i] - means_R[0] <= high for i, (low, high) in zip(others, intervals, strict=True)]
    )
    intervals = [row.noise.interval(row.comparison.effect.delta) for row in rows["x"]]
    of_recipes = np.mean([low <= recipe_truth <= high for low, high in intervals])
    return float(of_items), float(of_recipes), effects[0].draw_se ** 2, _true_variance(rng, chance_RSI, repeats, common)


def _draw(rng: np.random.Generator, chance_RSI: Floats, repeats: int, common: bool) -> Floats:
    shape = (1, 1) if common else chance_RSI.shape[:2]
    return (rng.random((*shape, repeats, chance_RSI.shape[2])) < chance_RSI[:, :, None]).astype(float)


def _true_variance(rng: np.random.Generator, chance_RSI: Floats, repeats: int, common: bool) -> float:
    """Of the difference, in points squared, when the same models are asked the same items anew: from 60 draws."""
    answers_RSKI = _draw(rng, chance_RSI, 60, common)
    difference_KI = answers_RSKI.mean(axis=1)[1] - answers_RSKI.mean(axis=1)[0]
    return float(100**2 * difference_KI.var(axis=0, ddof=1).sum() / repeats / ITEMS**2)


if __name__ == "__main__":
    main()
