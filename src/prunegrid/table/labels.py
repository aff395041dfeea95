"""The labels of the table's rows: methods by what their options make of them, variants by names of their own."""

from typing import Any

import pandas as pd

from prunegrid import pruners
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.names import FULL, REFERENCES, SHUFFLED, ZERO_SHOT
from prunegrid.experiment.variant import Variant
from prunegrid.pruners import Pruner
from prunegrid.table.document import RowKind

# Rows that no pruner makes: reference cells, and methods of published tables. Pruners declare their label.
OTHERS = {
    ZERO_SHOT: "Zero-Shot",
    FULL: "Full Dataset",
    SHUFFLED: "Full, Responses Shuffled",
    "alpagasus": "Alpagasus",
    "deita": "Deita",
    "ds2": "DS2",
    "less": "LESS",
}
USUAL = {"mode": "static", "removal": "mask"}
UNUSUAL = {"mode": "dynamic", "removal": "drop"}
SENTENCES = {
    "mode": "Every mini-batch is pruned with the current weights (mode: dynamic).",
    "removal": "Pruned tokens leave the input (removal: drop).",
}


def label(name: str) -> str:
    """What tables and figures call a pruner, a reference cell or a published method; its name if it has no label."""
    return OTHERS.get(name) or pruners.label(name) or name


def published_label(name: str) -> str:
    """What the published tables call it."""
    return OTHERS.get(name) or pruners.published_label(name) or name


class Labels:
    """What a table calls the rows of an experiment; without one, those of a published table.

    `published` has the labels that the published tables have another name for, with that name. A label under options
    that are of no reading of the paper is not among them: no published table can mean it.
    """

    def __init__(self, experiment: Experiment | None = None) -> None:
        self.titles: dict[str, list[str]] = {}
        self.published: dict[str, str] = {}
        for variant in experiment.variants if experiment else ():
            self.titles[variant.name] = titles(variant)
            for pruner, title in zip(pruners.find_pruners(variant.method), titles(variant), strict=True):
                if title != published_label(pruner.name) and title in _titles_of_readings(pruner):
                    self.published[title] = published_label(pruner.name)

    def method(self, variant: str, sample: str, token: Any) -> str:
        """`Random + PPL`, or `Q-Tuning` for a joint method, which has no token pruner."""
        return " + ".join(self._parts(variant, sample, token))

    def row(self, variant: str, sample: str, token: Any) -> tuple[RowKind, str, str]:
        """(kind, first column, second column); a variant not named after its method shows its name, then its method."""
        pair = not pd.isna(token)
        kind: RowKind = "reference" if variant in REFERENCES else "pair" if pair else "joint"
        if variant != (f"{sample}+{token}" if pair else sample):
            return kind, variant, self.method(variant, sample, token)
        first, *second = self._parts(variant, sample, token)
        return kind, first, "".join(second)

    def _parts(self, variant: str, sample: str, token: Any) -> list[str]:
        if variant in self.titles:
            return self.titles[variant]
        return [published_label(part) for part in ([sample] if pd.isna(token) else [sample, token])]


def titles(variant: Variant) -> list[str]:
    """The labels of a variant's pruners under its options."""
    options = pruners.complete_options(variant.method, variant.options)
    return [pruner.title(options) for pruner in pruners.find_pruners(variant.method)]


def _titles_of_readings(pruner: Pruner) -> set[str]:
    """The labels of the pruner as the paper, or another source of it, is read."""
    readings = [{}, *pruner.readings.values()]
    return {pruner.title(pruner.options.complete(values, pruner.name)) for values in readings}


def unusual_settings(frame: pd.DataFrame, row: Any) -> list[str]:
    """The row's mode and removal where they are unusual and not shared by all pruned rows."""
    mixed = [name for name in USUAL if len(_kinds(frame, name)) > 1 and not pd.isna(row.sample_ratio)]
    return [getattr(row, name) for name in mixed if getattr(row, name) != USUAL[name]]


def shared_settings(frame: pd.DataFrame) -> str:
    """The sentences about an unusual mode or removal that all pruned rows share."""
    return " ".join(SENTENCES[name] for name in USUAL if _kinds(frame, name) == {UNUSUAL[name]})


def _kinds(frame: pd.DataFrame, name: str) -> set[str]:
    return set(frame.loc[frame["sample_ratio"].notna(), name].dropna())
