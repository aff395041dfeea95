"""The results that one model's figures are drawn from, and the words that figures share."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from prunegrid import pruners
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.names import AVERAGE, REFERENCES
from prunegrid.experiment.variant import Budget, Variant
from prunegrid.results import collect
from prunegrid.table.document import TIMES, Unit
from prunegrid.table.labels import label, titles

SEPARATOR = " \N{MIDDLE DOT} "  # of the parts of a title


class NothingToShow(Exception):
    """Why a figure has nothing to show: the text that replaces it."""


@dataclass(frozen=True)
class ModelResults:
    """One model's part of a results folder: the results `frame`, and the `deltas` from the baseline, if any.

    `unit` is the table's unit of costs.
    """

    root: Path
    experiment: Experiment
    model: str
    frame: pd.DataFrame
    deltas: pd.DataFrame | None
    unit: Unit

    @property
    def averages(self) -> pd.DataFrame:
        """The Avg rows."""
        return self.frame[self.frame["benchmark"] == AVERAGE]

    @property
    def baselines(self) -> dict[str, str]:
        """The variant that each variant's deltas are against."""
        return collect.baselines(self.experiment)

    def budget_rows(self, frame: pd.DataFrame, budget: Budget) -> pd.DataFrame:
        """The rows of `frame` at `budget`."""
        rows = (frame["sample_ratio"] == budget.sample_ratio) & (frame["token_ratio"] == budget.token_ratio)
        return frame[rows]

    def order(self, budget: Budget) -> list[str]:
        """The variants at `budget` in the table's order: pairs, then joint methods."""
        names = set(self.budget_rows(self.frame, budget)["variant"])
        variants = [v for v in self.experiment.variants if v.name in names]
        return [v.name for v in sorted(variants, key=is_joint)]

    def is_qtuning(self, variant: str) -> bool:
        """Whether the variant is Q-Tuning, under any name and options."""
        return variant not in REFERENCES and self.experiment.variant(variant).method == "qtuning"

    def subject(self, budget: Budget | None = None, extent: str = "") -> str:
        """What a figure is of, for its title: model, data, budget and `extent`, by default all seeds and items."""
        data = dict.fromkeys(self.frame["dataset"].dropna())
        parts = [self.model, *data, heading(budget) if budget else "", extent or self._extent()]
        return SEPARATOR.join(filter(None, parts))

    def _extent(self) -> str:
        seeds, items = len(self.experiment.seeds), sum(self.items().values())
        return ", ".join([count(seeds, "seed"), *([count(items, "item")] if items else [])])

    def items(self) -> dict[str, int]:
        """The number of items by benchmark, of those that any cell has answered; Avg is none."""
        done = self.frame[self.frame["n_items"].notna()]
        return {str(name): int(n) for name, n in done.groupby("benchmark", sort=False)["n_items"].max().items()}

    def label(self, variant: str) -> str:
        """A variant's name in figures: a plain one's method, else its own name."""
        if variant in REFERENCES:
            return label(variant)
        chosen = self.experiment.variant(variant)
        parts = [part for part in pruners.pruner_names(chosen.method) if part]
        return " + ".join(titles(chosen)) if variant == "+".join(parts) else variant


def heading(budget: Budget) -> str:
    """A budget as panels show it, in percent of samples and of tokens."""
    return f"{percent(budget.sample_ratio)} samples {TIMES} {percent(budget.token_ratio)} tokens"


def is_joint(variant: Variant) -> bool:
    """Whether one method prunes both samples and tokens: such rows stand below the pairs."""
    return len([part for part in pruners.pruner_names(variant.method) if part]) == 1


def count(n: int, noun: str) -> str:
    """`1 seed`, `1,250 items`."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def percent(ratio: float) -> str:
    return f"{100 * ratio:.6g} %"


def signed(points: float, decimals: int = 1) -> str:
    """A delta with its sign, a true minus; zero has no sign."""
    text = f"{points:+.{decimals}f}".replace("-", "\N{MINUS SIGN}")
    return text[1:] if float(f"{points:.{decimals}f}") == 0 else text
