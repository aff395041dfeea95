"""What the intervals and tests of a ladder's decomposition keep of their promises, in simulated tables.

    python benchmarks/ladder.py [--tables 500] [--seeds 3] [--kind sandbox]
    python benchmarks/ladder.py --results results/sandbox [--detect 2]

A ladder of eight differences, of which one changes both rows: 20 variants. `simulated/tables.py` makes the answers:
the same recipes but for the first difference, which costs Random 5 points (`--points`). Of Avg: how often the 95 %
interval holds the true number, by part; in how many tables some difference without effect is marked (corrected p below
0.05); and how often the one with an effect is. The last line is one JSON object.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prunegrid.experiment import layout
from prunegrid.experiment.ladder import Ladder
from prunegrid.experiment.locate import read_folder
from prunegrid.results import collect
from prunegrid.statistics.ladder import PLACE, Decomposition, line, seeds_to_find
from prunegrid.statistics.ladder_answers import Answers, read_answers
from prunegrid.statistics.ladder_terms import Term, terms
from prunegrid.statistics.question import done_scores
from simulated import tables

DIFFERENCES = 10  # that are corrected together in `--results`


def ladder() -> Ladder:
    """Differences d0 to d5 of Random, d6 of Q-Tuning, d7 of both."""
    changed = [["random"]] * 6 + [["qtuning"], ["qtuning", "random"]]
    rows = {"qtuning": {"method": "qtuning"}, "random": {"method": "random+random"}}
    differences = {
        f"d{i}": {"label": f"d{i}", "rows": {row: {"training": {"weight_decay": 0.1 * (i + 1)}} for row in names}}
        for i, names in enumerate(changed)
    }
    return Ladder.model_validate({"gap": ["qtuning", "random"], "rows": rows, "differences": differences})


def applied(variant: str) -> set[str]:
    """The differences of a variant, by its name."""
    row, _, state = variant.partition("-")
    every = {name for name, one in ladder().differences.items() if row in one.rows}
    if state.startswith("paper"):
        return set(state.split("+")[1:])
    return every - set(state.split("-")[1:])


def measures(kind: str, seeds: int, points: float, number: int, seed: int = 0) -> dict[str, Any]:
    """Coverage by part, false marks and true ones, in percent of the tables."""
    subject, rng = ladder(), np.random.default_rng(seed)
    variants, asked = list(subject.variants), terms(ladder(), subject.gap, tables.BENCHMARKS)
    effects = tuple(-points if v.startswith("random") and "d0" in applied(v) else 0.0 for v in variants)
    setting = tables.Setting(kind, seeds, effects, (1.0,) * len(variants))
    truth = _truth(asked, variants, tables.recipe_scores(setting))
    covered, marks = [], []
    for _ in range(number):
        found = Decomposition(asked, range(seeds), _answers(setting, variants, rng)).parts()
        average = [part for part in found if part.benchmark == "Avg" and part.effect]
        covered.append([abs(p.effect.delta - t) <= p.noise.interval(0)[1] for p, t in zip(average, truth, strict=True)])
        marks.append([part.p_adjusted < 0.05 for part in average if part.term.part == "contribution"])
    parts = np.array([term.part for term in asked])
    coverage = 100 * np.array(covered).mean(axis=0)
    marked = np.array(marks)
    return {
        "coverage": {part: [round(float(x), 1) for x in coverage[parts == part]] for part in dict.fromkeys(parts)},
        "false_marks": round(100 * float(marked[:, 1:].any(axis=1).mean()), 1),
        "found": round(100 * float(marked[:, 0].mean()), 1),
    }


def _truth(asked: list[Term], variants: list[str], scores_BE: Any) -> list[float]:
    of = {(name, v): scores_BE[b, e] for b, name in enumerate(tables.BENCHMARKS) for e, v in enumerate(variants)}
    return [
        float(np.mean([sum(w * of[name, v] for (v, _), w in term.weights[name].items()) for name in tables.BENCHMARKS]))
        for term in asked
    ]


def _answers(setting: tables.Setting, variants: list[str], rng: np.random.Generator) -> dict[str, Answers]:
    table = zip(tables.BENCHMARKS, tables.simulate(setting, rng), strict=True)
    return {
        name: Answers(
            {
                (variant, name, seed): part.answers_ESI[index, seed].astype(float)
                for index, variant in enumerate(variants)
                for seed in range(setting.seeds)
            },
            part.passage_I,
            [name],
        )
        for name, part in table
    }


def planned(directory: Path, points: float) -> dict[str, Any]:
    """By the number of rows that a difference changes: what the table's seeds find, and the seeds for `points`."""
    experiment, frame = read_folder(directory), collect.read(directory / layout.RESULTS)
    names = [variant.name for variant in experiment.variants]
    benchmarks, rng = list(experiment.evaluation.benchmarks), np.random.default_rng(0)
    scores = done_scores(experiment, frame)
    done = {cell: scores[cell] for cell in scores if cell.variant in names}
    result = {}
    for rows in (1, 2):
        asked = [
            Term(
                "contribution",
                f"d{i}",
                "",
                {b: {(v, b): 0.5 * (-1) ** j for j, v in enumerate(drawn)} for b in benchmarks},
            )
            for i, drawn in enumerate(rng.permutation(names)[: 4 * rows] for _ in range(200))
        ]
        parts = Decomposition(asked, experiment.seeds, read_answers(directory, asked, done)).parts()
        lines = pd.DataFrame([dict.fromkeys(PLACE, "") | line(part) for part in parts])
        level = 1 - 0.95 ** (1 / DIFFERENCES)
        found, seeds = seeds_to_find(lines.assign(level=level, n_family=DIFFERENCES), points)
        result[f"{rows} row"] = {"seeds now": len(experiment.seeds), "found now": round(found, 2), "seeds": seeds}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--points", type=float, default=5.0)
    parser.add_argument("--kind", choices=list(tables.KINDS), default="sandbox")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--detect", type=float, default=2.0)
    options = parser.parse_args()
    if options.results:
        print(
            json.dumps(
                {"benchmark": "ladder", "detect": options.detect, "planned": planned(options.results, options.detect)}
            )
        )
        return
    start = time.perf_counter()
    found = measures(options.kind, options.seeds, options.points, options.tables)
    for part, values in found["coverage"].items():
        print(f"{part:14s} covered in {min(values):.1f} to {max(values):.1f} % of {options.tables} tables")
    print(f"some difference without effect is marked in {found['false_marks']:.1f} %")
    print(f"the difference of {options.points:g} points is found in {found['found']:.1f} %")
    print(
        json.dumps(
            {"benchmark": "ladder"}
            | {key: getattr(options, key) for key in ("tables", "seeds", "points", "kind")}
            | found
            | {"seconds": round(time.perf_counter() - start, 1)}
        )
    )


if __name__ == "__main__":
    main()
