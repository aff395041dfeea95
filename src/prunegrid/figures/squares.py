"""The places of `figures.heat_map`: the delta of Avg of every pair of pruners, and whether it exceeds the noise."""

from dataclasses import dataclass

import pandas as pd

from prunegrid import pruners
from prunegrid.experiment.names import AVERAGE
from prunegrid.experiment.variant import Budget
from prunegrid.figures import names, noise
from prunegrid.figures.model_results import ModelResults, is_joint, signed
from prunegrid.results import collect
from prunegrid.table.labels import titles

Titles = dict[str, str]  # of pruners, by name


@dataclass(frozen=True)
class Square:
    """One place: its delta (points; None if unknown), its text, and the detectable difference (None if unknown).

    `significant`: it differs, corrected over its rows.
    """

    delta: float | None
    text: str
    detectable: float | None = None
    significant: bool = False
    is_base: bool = False

    @property
    def within_noise(self) -> bool:
        """Whether its delta is not significant, and smaller than the detectable difference or of unknown noise."""
        if self.delta is None or self.is_base or self.significant:
            return False
        return self.detectable is None or abs(self.delta) < self.detectable


def axes(results: ModelResults) -> tuple[Titles, Titles]:
    """The sample pruners (rows) and the token pruners (columns) of the map, in the table's order."""
    kept = pair_variants(results)
    shown = [variant for variant in results.experiment.variants if variant.name in kept]
    pairs = [zip(pruners.pruner_names(variant.method), titles(variant), strict=True) for variant in shown]
    rows, columns = (dict(parts) for parts in zip(*pairs, strict=True))
    return {str(name): title for name, title in rows.items()}, {str(name): title for name, title in columns.items()}


def pair_variants(results: ModelResults) -> set[str]:
    """The variants in the map: plain pairs and their baselines."""
    pairs = {variant.name for variant in results.experiment.variants if names.is_plain_pair(variant)}
    return pairs | {results.baselines[name] for name in pairs}


def joint_variants(results: ModelResults) -> list[str]:
    """The variants of joint methods, which have a row of their own below the pairs."""
    return [variant.name for variant in results.experiment.variants if is_joint(variant)]


def squares(results: ModelResults, budget: Budget) -> dict[tuple[str, str], Square]:
    """The places of a budget: of pairs by (sample pruner, token pruner), of joint methods by (variant, "")."""
    rows = results.budget_rows(results.averages, budget)
    smallest, pairs = noise.detectable(results, budget), pair_variants(results)
    places = {}
    for variant, part in rows.groupby("variant", sort=False):
        name, first = str(variant), part.iloc[0]
        if name in pairs:
            places[str(first["sample_pruner"]), str(first["token_pruner"])] = _square(
                results, budget, name, part, smallest
            )
        elif name in joint_variants(results):
            places[name, ""] = _square(results, budget, name, part, smallest)
    return places


def _square(
    results: ModelResults, budget: Budget, variant: str, part: pd.DataFrame, smallest: dict[int, float]
) -> Square:
    if variant in results.baselines.values() and part["score"].notna().any():
        return Square(0.0, "base", is_base=True)
    deltas = part["delta"].dropna()
    if not len(deltas):
        worst = max(part["status"], key=collect.SEVERITY.index)
        return Square(None, "no base" if worst == "done" else worst)
    seeds = "" if len(deltas) == len(part) else f"\n({len(deltas)}/{len(part)})"
    significant = _is_significant(results, budget, variant)
    text = signed(deltas.mean()) + "*" * significant + seeds
    return Square(float(deltas.mean()), text, smallest.get(len(deltas)), significant)


def _is_significant(results: ModelResults, budget: Budget, variant: str) -> bool:
    """Whether the delta is significant after the correction over its rows."""
    if results.deltas is None:
        return False
    rows = results.budget_rows(results.deltas, budget)
    line = rows[(rows["variant"] == variant) & (rows["benchmark"] == AVERAGE)]
    return bool(line["significant"].eq(True).any())
