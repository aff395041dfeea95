"""What rows are called: by what their options make of the pruners, with the published names in the legend."""

from typing import Any

import pytest

from prunegrid.experiment.variant import Variant
from prunegrid.pruners import AUTHORS
from prunegrid.published import frame as published
from prunegrid.table.labels import Labels, published_label, titles
from prunegrid.table.legend import legend
from support.results_folder import an_experiment
from support.table_frames import cell, delta, deltas, laid_out

COPY = {"reading": AUTHORS}


@pytest.mark.parametrize(
    ("method", "options", "expected"),
    [
        ("longest+random", {}, ["Longest removed", "Random"]),
        ("longest+random", {"keep": "longest"}, ["Longest kept", "Random"]),
        ("longest+ppl", COPY, ["Shortest instruction", "PPL (highest kept)"]),
        ("longest+ppl", COPY | {"keep": "longest", "ppl": "lowest"}, ["Longest instruction", "PPL"]),
        ("infobatch+fastv", {}, ["Top loss", "FastV"]),
        ("infobatch+fastv", COPY, ["InfoBatch (cut)", "FastV (all rows)"]),
        ("random+fastv", {"fastv": "original"}, ["Random", "FastV (original)"]),
        ("entropy+entropy", {}, ["Entropy", "Entropy"]),
        ("entropy+entropy", {"entropy": "instruction"}, ["Plainest instruction", "Entropy"]),
        ("entropy+sparsevlm", COPY, ["Plainest instruction", "SparseVLM (rank)"]),
        ("loss+random", {"loss": "lowest"}, ["Loss (lowest)", "Random"]),
        ("infobatch-original", {}, ["InfoBatch (original)"]),
        ("qtuning", COPY, ["Q-Tuning"]),
        ("all", {}, ["All"]),
        ("all", COPY, ["All but ends"]),
    ],
    ids=str,
)
def test_options_decide_the_label(method: str, options: dict[str, Any], expected: list[str]) -> None:
    assert titles(Variant(name="row", method=method, options=options)) == expected


def test_published_names_are_those_of_the_paper() -> None:
    names = ["random", "longest", "infobatch", "entropy", "ppl", "fastv", "sparsevlm", "qtuning", "full", "alpagasus"]
    expected = ["Random", "Longest", "InfoBatch", "Entropy", "PPL", "FastV", "SparseVLM", "Q-Tuning", "Full Dataset"]
    assert [published_label(name) for name in names] == [*expected, "Alpagasus"]
    assert {"Longest", "InfoBatch"} <= set(published.NAMES)
    rows = published.frame()
    assert set(rows["sample_pruner"]) >= {"longest", "infobatch"}


def test_the_legend_names_what_the_paper_calls_otherwise() -> None:
    """Not `Longest kept`, which no published table means. Rows of a published table keep its names."""
    variants = [
        "random+random",
        "longest+random",
        {"copy": {"method": "longest+ppl", **COPY}},
        {"kept": {"method": "longest+random", "keep": "longest"}},
        "infobatch+random",
    ]
    experiment = an_experiment(variants=variants)
    cells = [cell(v.name, 1, method=v.method) for v in experiment.variants]
    table = laid_out(*cells, labels=Labels(experiment))
    assert [(row.sample, row.token) for row in table.rows] == [
        ("Random", "Random"),
        ("Longest removed", "Random"),
        ("copy", "Shortest instruction + PPL (highest kept)"),
        ("kept", "Longest kept + Random"),
        ("Top loss", "Random"),
    ]
    names = "Longest removed = Longest, Shortest instruction = Longest, PPL (highest kept) = PPL, Top loss = InfoBatch"
    assert f"Published as: {names}." in legend(table)
    table = laid_out(*cells)
    assert [row.sample for row in table.rows] == ["Random", "Longest", "copy", "kept", "InfoBatch"]
    assert not any(sentence.startswith("Published") for sentence in legend(table))


def test_a_baseline_is_called_as_its_row() -> None:
    experiment = an_experiment(variants=["longest+random", "infobatch+random"])
    cells = [cell(v.name, 1) for v in experiment.variants]
    compared = deltas(delta("infobatch+random", "A", 1, against="longest+random"))
    table = laid_out(*cells, deltas=compared, labels=Labels(experiment))
    assert table.baseline.startswith("Longest removed + Random at")
    assert [row.baseline for row in table.rows] == ["", "Longest removed + Random"]
