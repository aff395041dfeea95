"""The labels of the table's rows: methods by their published names, variants with options by their own."""

from typing import Any

import pandas as pd

from prunegrid import pruners
from prunegrid.experiment.names import FULL, REFERENCES, SHUFFLED, ZERO_SHOT
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
    "mode": "Every mini-batch is pruned with the weights of the moment (mode: dynamic).",
    "removal": "Pruned tokens leave the input (removal: drop).",
}


def label(name: str) -> str:
    """What tables and figures call a pruner, a reference cell or a published method; its name if it has no label."""
    return OTHERS.get(name) or pruners.label(name) or name


def method_label(sample: str, token: Any) -> str:
    """`Random + PPL`, or `Q-Tuning` for a joint method, which has no token pruner."""
    return " + ".join(label(part) for part in ([sample] if pd.isna(token) else [sample, token]))


def variant_labels(variant: str, sample: str, token: Any) -> tuple[RowKind, str, str]:
    """(kind, first column, second column); a variant not named after its method shows its name, then its method."""
    pair = not pd.isna(token)
    kind: RowKind = "reference" if variant in REFERENCES else "pair" if pair else "joint"
    if variant != (f"{sample}+{token}" if pair else sample):
        return kind, variant, method_label(sample, token)
    return kind, label(sample), label(token) if pair else ""


def unusual_settings(frame: pd.DataFrame, row: Any) -> list[str]:
    """The row's mode and removal where they are unusual and not shared by all pruned rows."""
    mixed = [name for name in USUAL if len(_kinds(frame, name)) > 1 and not pd.isna(row.sample_ratio)]
    return [getattr(row, name) for name in mixed if getattr(row, name) != USUAL[name]]


def shared_settings(frame: pd.DataFrame) -> str:
    """The sentences about an unusual mode or removal that all pruned rows share."""
    return " ".join(SENTENCES[name] for name in USUAL if _kinds(frame, name) == {UNUSUAL[name]})


def _kinds(frame: pd.DataFrame, name: str) -> set[str]:
    return set(frame.loc[frame["sample_ratio"].notna(), name].dropna())
