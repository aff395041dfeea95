"""Layout: which rows stand where, what they are called, what is bold, which footnotes there are."""

from pathlib import Path

from prunegrid.experiment.grid import Cell
from prunegrid.results import collect
from prunegrid.status import FailedStep
from prunegrid.table import csv, html, latex, markdown
from prunegrid.table.build import write
from prunegrid.table.document import Entry
from prunegrid.table.layout import lay_out
from support.errors import refused
from support.table_frames import BUDGET, FAILED, NOTE, SMALL, cell, entry, laid_out


def test_the_note_stands_right_above_the_table() -> None:
    table = laid_out(*SMALL)
    assert f"> {NOTE}\n\n## m\n\n| Sample" in markdown.render(table)
    assert f'<p class="note">{NOTE}</p>\n<div class="wide">\n<table class="one">' in html.render(table)


def test_ties_are_all_bold_and_references_do_not_compete() -> None:
    third = cell("entropy+ppl", 9)
    table = laid_out(cell("random+random", 10.001), cell("random+ppl", 10.004), third, cell("full", 99))
    assert entry(table, "Random+Random", "A").best
    assert entry(table, "Random+PPL", "A").best
    assert not entry(table, "Full Dataset", "A").best


def test_a_column_of_equal_scores_has_no_bold() -> None:
    table = laid_out(cell("random+random", 0, 1), cell("random+ppl", 0, 2), cell("full", 99, 99))
    assert [row.entries["m", "A"].best for row in table.rows] == [False, False, False]
    assert [row.entries["m", "B"].best for row in table.rows] == [False, True, False]


def test_best_is_per_budget_and_model() -> None:
    other = [row | {"token_ratio": 0.7} for row in cell("random+random", 5)]
    model = [row | {"model": "n"} for row in cell("random+random", 7)]
    table = laid_out(cell("random+random", 10), other, model)
    assert [[row.entries["m", "A"].best for row in group.rows] for group in table.groups] == [[True], [True]]
    assert entry(table, "Random+Random", "A", "n").best
    assert table.groups[1].rows[0].entries["n", "A"] == Entry()


def test_a_failed_seed_beside_a_done_one_is_footnoted() -> None:
    failures = {Cell("m", "random+random", BUDGET, seed): FailedStep("evaluate", Path("x.log")) for seed in (0, 1)}
    table = laid_out(cell("random+random", 10), cell("random+random", "failed", seed=1), failures=failures)
    assert table.footnotes == ["m, s0.125-t0.5/random+random/seed1: evaluate failed, see x.log"]
    assert entry(table, "Random+Random", "A").marks == (1,)
    assert "10.00          (1/2) [1]" in markdown.render(table)


def test_a_done_benchmark_of_a_failed_cell_has_no_footnote() -> None:
    table = laid_out(cell("entropy+ppl", 10, "failed"), failures=FAILED)
    marks = [entry(table, "Entropy+PPL", benchmark).marks for benchmark in ("A", "B", "Avg")]
    assert marks == [(), (1,), (1,)]


def test_groups_are_pairs_then_joint_methods_then_full() -> None:
    wider = [row | {"token_ratio": 0.7} for row in cell("random+ppl", 5)]
    table = laid_out(cell("full", 9), cell("qtuning", 3), cell("random+ppl", 2), wider)
    labels = [[row.sample for row in group.rows] for group in table.groups]
    assert labels == [["Random", "Q-Tuning", "Full Dataset"], ["Random", "Full Dataset"]]


def test_a_variant_with_its_own_name_shows_it_beside_its_method() -> None:
    table = laid_out(cell("drop", 1, method="random+ppl"), cell("mine", 1, method="longest+other"))
    assert [(row.sample, row.token) for row in table.rows] == [
        ("drop", "Random + PPL"),
        ("mine", "Longest + other"),
    ]


def test_unusual_settings_stand_at_rows_or_in_the_note() -> None:
    usual = {"mode": "static", "removal": "mask"}
    mixed = laid_out(
        cell("random+ppl", 1, **usual),
        cell("mine", 1, method="random+ppl", **usual | {"removal": "drop"}),
        cell("qtuning", 1, **usual | {"mode": "dynamic", "removal": "drop"}),
    )
    assert [row.token for row in mixed.rows] == ["PPL", "Random + PPL, drop", "dynamic, drop"]
    assert mixed.note == NOTE
    dynamic = laid_out(cell("random+ppl", 1, **usual | {"mode": "dynamic"}), cell("full", 1, **usual))
    assert [row.token for row in dynamic.rows] == ["PPL", ""]
    assert dynamic.note == f"{NOTE} Every mini-batch is pruned with the current weights (mode: dynamic)."


def test_an_empty_frame_is_an_error() -> None:
    with refused("T", "no results", fix="collect an experiment"):
        laid_out()


def test_every_format_is_written(tmp_path: Path) -> None:
    frame = collect.tidy(cell("random+random", 1, 2))
    table = lay_out(frame, title="T", note=NOTE, footer=("Protocol: p.",))
    write(table, tmp_path / "table")
    assert table.footer == ("Protocol: p.",)
    for form, ending in ((markdown, "md"), (csv, "csv"), (latex, "tex"), (html, "html")):
        assert (tmp_path / f"table/table.{ending}").read_text() == form.render(table)
        assert ("Protocol: p." in form.render(table)) == (form is not csv)
