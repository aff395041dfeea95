"""What the table's intervals and asterisks keep of their promises, in simulated tables of 17 variants and a baseline.

    python benchmarks/inference.py [--tables 2000] [--settings "sandbox 3: no effect" ...]

Beside them an oracle that knows the true variances and correlations (step-down max-t), and what prunegrid 0.1 did (half
widths added in squares, Holm). `simulated/tables.py` makes the answers. For each setting and method: chance of any
false mark in a column (benchmarks: mean and worst; Avg), coverage of the 95 % intervals (recipe: worst and best column;
items: of the expected score of these very runs), of the row with threefold run noise, found true effects, and the width
of the recipe's interval by the oracle's. The last line is one JSON object.
"""

import argparse
import json
import time
from typing import Any

import numpy as np

from prunegrid.statistics.families import Comparison, assess
from prunegrid.statistics.inference import average_effect, item_effect
from simulated import rivals, tables

ROWS = 17
AVERAGE = "Avg"
COLUMNS = (*tables.BENCHMARKS, AVERAGE)
LOUD = 5  # the row with threefold run noise
Arrays = dict[str, Any]


def settings() -> dict[str, tables.Setting]:
    """By name, with their seeds."""
    result = {}
    for kind, seeds in (("sandbox", 3), ("sandbox", 5), ("paper", 3), ("paper", 5)):
        for what, effects, loud in _situations((5, 10) if kind == "sandbox" else (2, 5)):
            result[f"{kind} {seeds}: {what}"] = _setting(kind, seeds, effects, loud)
    for points in (15, 25):
        result[f"sandbox 3: one row {points} points better"] = _setting("sandbox", 3, {1: points})
    result["few passages 3: no effect"] = _setting("few passages", 3, {})
    result["sandbox 3: baseline with threefold noise"] = _setting("sandbox", 3, {}, {0: 3})
    result["sandbox 3: rows' noise from half to twice"] = _setting(
        "sandbox", 3, {}, {row: 2 ** (row / 8.5 - 1) for row in range(18)}
    )
    return result


def _situations(points: tuple[float, float]) -> list[tuple[str, dict[int, float], dict[int, float]]]:
    small, large = points
    eight = large if large > 5 else small
    return [
        ("no effect", {}, {}),
        (f"one row {small:g} points better", {1: small}, {}),
        (f"one row {large:g} points better", {1: large}, {}),
        (f"8 rows {eight:g} points better", dict.fromkeys(range(1, 9), eight), {}),
        ("no effect, one row with threefold noise", {}, {LOUD: 3}),
        (f"one row {large:g} points better, with threefold noise", {LOUD: large}, {LOUD: 3}),
    ]


def _setting(
    kind: str, seeds: int, effects: dict[int, float], noises: dict[int, float] | None = None
) -> tables.Setting:
    every = range(ROWS + 1)
    return tables.Setting(
        kind, seeds, tuple(effects.get(row, 0.0) for row in every), tuple((noises or {}).get(row, 1.0) for row in every)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=2000)
    parser.add_argument("--settings", nargs="+", choices=list(settings()), default=list(settings()), metavar="NAME")
    options = parser.parse_args()
    print(f"{'':62} {'false marks, %':>20} {'coverage, %':>24} {'loud':>5} {'found, %':>12} width")
    print(f"{'':62} {'mean worst':>13} {'Avg':>6} {'recipe':>12} {'items':>11} {'row':>5} {'mean':>6} {'Avg':>5}")
    results = []
    for name in options.settings:
        start = time.perf_counter()
        found = measures(settings()[name], options.tables)
        for method, numbers in found.items():
            print(line(name, method, numbers), flush=True)
        results.append({"setting": name, "seconds": round(time.perf_counter() - start, 1), **found})
    print(json.dumps({"benchmark": "inference", "tables": options.tables, "settings": results}))


def line(name: str, method: str, numbers: dict[str, Any]) -> str:
    false, recipe = numbers["false_marks"], numbers["coverage"]
    items = numbers.get("item_coverage")
    found = numbers["found"]
    cells = [
        f"{name:55} {method:6}",
        f"{np.mean(false[:-1]):7.1f} {max(false[:-1]):5.1f} {false[-1]:6.1f}",
        f"{min(recipe):6.1f}-{max(recipe):5.1f}",
        f"{min(items):5.1f}-{max(items):5.1f}" if items else f"{'':11}",
        f"{min(numbers['loud']):5.1f}" if numbers["loud"] else f"{'':5}",
        f"{np.mean(found[:-1]):6.1f} {found[-1]:5.1f}" if found else f"{'':12}",
        f"{numbers['width']:5.2f}",
    ]
    return " ".join(cells)


def measures(setting: tables.Setting, number: int, seed: int = 0) -> dict[str, dict[str, Any]]:
    """What each method does over so many tables, in percent; lists have a number per column."""
    rng = np.random.Generator(np.random.SFC64([seed, setting.seeds]))
    every = [table(setting, rng) for _ in range(number)]
    one = {name: np.array([found[name] for found in every]) for name in every[0]}
    recipe = tables.recipe_scores(setting)
    truth = np.vstack([recipe, recipe.mean(axis=0)])
    truth = truth[:, 1:] - truth[:, :1]
    verdicts = {
        "ours": rivals.Verdict(one["half"], one["p_adjusted"] < 0.05),
        "old": rivals.old(
            one["delta"], one["item_variance"], _added(setting), _old_df(one), one["seed_variance"], setting.seeds
        ),
        "oracle": rivals.oracle(one["delta"]),
    }
    width = verdicts["oracle"].half.mean(axis=0)
    result = {name: _measures(setting, one["delta"], truth, verdict, width) for name, verdict in verdicts.items()}
    inside = np.abs(one["delta"] - one["expected"]) <= one["item_half"]
    result["ours"]["item_coverage"] = _percent(inside.mean(axis=(0, 2)))
    return result


def _old_df(one: Arrays) -> Any:
    """Degrees of freedom of items: clusters less one, Satterthwaite's for Avg."""
    parts, dfs = one["item_variance"][:, :-1], one["n_clusters"][:, :-1] - 1
    average = parts.sum(axis=1) ** 2 / (parts**2 / dfs).sum(axis=1)
    return np.concatenate([dfs, average[:, None]], axis=1)


def _added(setting: tables.Setting) -> Any:
    """The variance of one more item won and one more lost [C, 1], which prunegrid 0.1 added everywhere."""
    parts = 2 * (100 / np.array(tables.KINDS[setting.kind].items)) ** 2
    return np.append(parts, parts.sum() / len(parts) ** 2)[:, None]


def _measures(setting: tables.Setting, deltas: Any, truth: Any, verdict: rivals.Verdict, width: Any) -> dict[str, Any]:
    effects, noises = np.array(setting.effects[1:]), np.array(setting.noises[1:])
    true, loud = effects != 0, noises == 3
    inside = np.abs(deltas - truth) <= verdict.half
    return {
        "false_marks": _percent(verdict.marked[..., ~true].any(axis=2).mean(axis=0)),
        "coverage": _percent(inside[..., ~loud].mean(axis=(0, 2))),
        "loud": _percent(inside[..., loud].mean(axis=(0, 2))) if loud.any() else [],
        "found": _percent(verdict.marked[..., true].mean(axis=(0, 2))) if true.any() else [],
        "width": round(float((verdict.half.mean(axis=0) / width)[:, ~loud].mean()), 3),
    }


def _percent(shares: Any) -> list[float]:
    return [round(100 * float(share), 2) for share in shares]


def table(setting: tables.Setting, rng: np.random.Generator) -> Arrays:
    """One table through the package: each number by column and row [C, W]."""
    benchmarks = tables.simulate(setting, rng)
    effects, scores, expected = {}, {}, []
    for name, one in zip(tables.BENCHMARKS, benchmarks, strict=True):
        answers_ESI = one.answers_ESI.astype(np.float64)
        effects[name] = [item_effect(row_SI - answers_ESI[0], one.passage_I) for row_SI in answers_ESI[1:]]
        scores[name] = {row: dict(enumerate(100 * row_SI.mean(axis=1))) for row, row_SI in enumerate(answers_ESI)}
        means_E = one.expected_ES.mean(axis=1)
        expected.append(means_E[1:] - means_E[0])
    effects[AVERAGE] = [average_effect(parts) for parts in zip(*effects.values(), strict=True)]
    scores[AVERAGE] = {
        row: {
            seed: float(np.mean([scores[name][row][seed] for name in tables.BENCHMARKS]))
            for seed in range(setting.seeds)
        }
        for row in range(ROWS + 1)
    }
    columns = {name: [Comparison(row, 0, effect) for row, effect in enumerate(effects[name], 1)] for name in COLUMNS}
    assessed = assess(columns, scores, averages=[AVERAGE])
    numbers = [[_numbers(row) for row in assessed[name]] for name in COLUMNS]
    result = {name: np.array([[row[name] for row in column] for column in numbers]) for name in numbers[0][0]}
    return result | {"expected": np.vstack([expected, np.mean(expected, axis=0)])}


def _numbers(row: Any) -> dict[str, float]:
    effect = row.comparison.effect
    return {
        "delta": effect.delta,
        "half": row.noise.interval(0.0)[1],
        "item_half": row.items.interval(0.0)[1],
        "p_adjusted": row.p_adjusted,
        "item_variance": float(effect.residual_U @ effect.residual_U),
        "seed_variance": effect.seed_sd**2 / effect.n_seeds,
        "n_clusters": effect.n_clusters,
    }


if __name__ == "__main__":
    main()
