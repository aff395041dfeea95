"""The labels of the table's rows: methods by their published names, variants with options by their own."""

from typing import Any

import pandas as pd

from prunegrid.results import collect
from prunegrid.table.document import RowKind

LABELS = {
    "random": "Random",
    "longest": "Longest",
    "infobatch": "InfoBatch",
    "infobatch-original": "InfoBatch (original)",
    "entropy": "Entropy",
    "ppl": "PPL",
    "fastv": "FastV",
    "sparsevlm": "SparseVLM",
    "loss": "Loss",
    "ifd": "IFD",
    "rho1": "Rho-1",
    "token-cleaning": "Token Cleaning",
    "qtuning": "Q-Tuning",
    "zero-shot": "Zero-Shot",
    "full": "Full Dataset",
    "shuffled-responses": "Full, Responses Shuffled",
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


def method_label(sample: str, token: Any) -> str:
    """`Random + PPL`, or `Q-Tuning` for a joint method, which has no token pruner."""
    return " + ".join(LABELS.get(part, part) for part in ([sample] if pd.isna(token) else [sample, token]))


def variant_labels(variant: str, sample: str, token: Any) -> tuple[RowKind, str, str]:
    """(kind, first column, second column); a variant not named after its method shows its name, then its method."""
    pair = not pd.isna(token)
    kind: RowKind = "reference" if variant in collect.REFERENCES else "pair" if pair else "joint"
    if variant != (f"{sample}+{token}" if pair else sample):
        return kind, variant, method_label(sample, token)
    return kind, LABELS.get(sample, sample), LABELS.get(token, token) if pair else ""


def unusual_settings(frame: pd.DataFrame, row: Any) -> list[str]:
    """The row's mode and removal where they are unusual and not shared by all pruned rows."""
    mixed = [name for name in USUAL if len(_kinds(frame, name)) > 1 and not pd.isna(row.sample_ratio)]
    return [getattr(row, name) for name in mixed if getattr(row, name) != USUAL[name]]


def shared_settings(frame: pd.DataFrame) -> str:
    """The sentences about an unusual mode or removal that all pruned rows share."""
    return " ".join(SENTENCES[name] for name in USUAL if _kinds(frame, name) == {UNUSUAL[name]})


def _kinds(frame: pd.DataFrame, name: str) -> set[str]:
    return set(frame.loc[frame["sample_ratio"].notna(), name].dropna())
