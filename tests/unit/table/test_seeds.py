"""Means over seeds, deltas with their intervals, what they are against, and what the legend says of it."""

import io

import pandas as pd
import pytest

from prunegrid.table import csv, html, markdown, text
from prunegrid.table.document import TIMES, Table
from prunegrid.table.legend import BOLD, SINGLE, SINGLE_SEED, TWO_SEEDS, legend
from support.table_frames import cell, delta, deltas, entry, laid_out, seeded, three_seed_interval, two_seed_interval


def test_seeds_are_averaged_score_and_delta() -> None:
    table = laid_out(
        *(cell("random+random", score, seed=seed) for seed, score in enumerate((10, 20, 30))),
        *(cell("random+ppl", score, seed=seed) for seed, score in enumerate((11, 20, 35))),
    )
    shown = entry(table, "Random+PPL", "A")
    assert (shown.score, shown.delta, shown.n_done, shown.n_seeds) == (22, 2, 3, 3)
    assert (shown.sd, entry(table, "Random+Random", "A").sd) == (12.12, 10)  # sqrt((11^2 + 2^2 + 13^2) / 2)
    assert "Means ± standard deviations over 3 seeds." in legend(table)
    assert "(3/3)" not in markdown.render(table)
    assert "**22.00** ±12.12 ↑2.00 |" in markdown.render(table)


def test_a_mean_that_lacks_seeds_says_so_and_is_never_best() -> None:
    table = laid_out(
        *(cell("random+random", score, seed=seed) for seed, score in enumerate((10, "failed", 30))),
        *(cell("random+ppl", score, seed=seed) for seed, score in enumerate((12, 50, "missing"))),
        *(cell("entropy+ppl", score, seed=seed) for seed, score in enumerate((1, 2, 3))),
    )
    assert [entry(table, label, "A").best for label in ("Random+PPL", "Entropy+PPL")] == [False, True]
    assert "Means ± standard deviations over 3 seeds; (k/3): k of them." in legend(table)
    rendered = markdown.render(table)
    assert "20.00   ±14.14 (2/3 failed)" in rendered
    assert "31.00   ±26.87 (2/3) ↑2.00 (1/3)" in rendered
    assert "**2.00** ± 1.00 ↓18.00 (2/3)" in rendered
    assert '<span class="sd">±14.14 (2/3 failed)</span>' in html.render(table)
    read = pd.read_csv(io.StringIO(csv.render(table)))
    assert read["m A seeds"].tolist() == [2, 2, 3]
    assert read["m A planned seeds"].tolist() == [3, 3, 3]
    assert read["m A delta seeds"].tolist()[1:] == [1, 2]
    assert read["m A sd"].tolist() == [14.14, 26.87, 1]


def test_partial_means_show_the_worst_other_status() -> None:
    assert [entry(seeded(), "Longest+PPL", name).status for name in "AB"] == ["stale", "running"]
    sentences = legend(seeded())
    assert "Worst status of the other seeds: stale (†), running (…), failed (a footnote)." in sentences
    assert {"stale", "running", "failed", "missing"} <= {sentence.partition(":")[0] for sentence in sentences}
    shown = text.seeds_note(entry(seeded(), "Longest+PPL", "A")), text.seeds_note(entry(seeded(), "Entropy+PPL", "A"))
    assert shown == ("(1/3 †)", "(1/3)")
    assert '<span class="seeds">(1/3 †)</span>' in html.render(seeded())
    assert '<span class="seeds">(1/3)</span>' in html.render(seeded())


def test_partial_means_name_a_failure_without_a_footnote() -> None:
    tables = {
        word: laid_out(cell("random+ppl", 10), cell("random+ppl", word, seed=1)) for word in ("missing", "failed")
    }
    shown = {word: text.seeds_note(entry(table, "Random+PPL", "A")) for word, table in tables.items()}
    assert shown == {"missing": "(1/2)", "failed": "(1/2 failed)"}
    assert legend(tables["missing"])[-2:] == [
        *("Worst status of the other seeds: missing (no sign).", "missing: not computed yet.")
    ]
    assert "Worst status of the other seeds: failed." in legend(tables["failed"])


def test_one_done_seed_of_several_has_no_deviation() -> None:
    table = laid_out(cell("random+random", 10), cell("random+random", "failed", seed=1))
    assert entry(table, "Random+Random", "A").sd is None
    assert "Means over 2 seeds; (k/2): k of them." in legend(table)


def single_seed_table(*lines: dict[str, object]) -> Table:
    cells = cell("random+random", 10, 20), cell("random+ppl", 13, 19), cell("full", 50, 60)
    return laid_out(*cells, deltas=deltas(*lines))


def test_deltas_are_those_of_the_deltas_frame_alone() -> None:
    table = single_seed_table(delta("random+ppl", "A", 3.004))
    assert [entry(table, "Random+PPL", benchmark).delta for benchmark in "AB"] == [3, None]
    assert entry(table, "Random+Random", "A").delta is None


def test_one_seed_has_the_items_interval_and_no_mark() -> None:
    table = single_seed_table(delta("random+ppl", "A", 3), delta("random+ppl", "B", -1))
    shown = entry(table, "Random+PPL", "A")
    assert (shown.low, shown.high, shown.p_adjusted, shown.significant) == (1, 5, None, None)
    assert SINGLE_SEED in legend(table)
    assert not [sentence for sentence in legend(table) if "Asterisk" in sentence]
    assert "↑3.00*" not in markdown.render(table)
    tooltip = "95 % interval +1.00 to +5.00 points, item noise only; against Random + Random"
    assert f'title="{tooltip}">↑3.00</span>' in html.render(table)


def test_legend_without_deltas_frame_says_nothing_of_noise() -> None:
    assert legend(laid_out(cell("random+random", 10), cell("random+ppl", 13)))[1:] == [
        "Arrows: points above or below Random + Random at the same model, budget and seed.",
        BOLD,
    ]


FEW = {"item_low": None, "item_high": None}


def test_legend_tells_few_items_from_one_seed() -> None:
    seeds = [cell(name, 10 + seed, 20, seed=seed) for name in ("random+random", "random+ppl") for seed in (0, 1, 2)]
    three = [delta("random+ppl", name, 1, n_seeds=3, **FEW) for name in ("A", "Avg")]
    sentences = legend(laid_out(*seeds, deltas=deltas(*three)))
    assert sentences[2:4] == [
        "No interval: fewer than 10 clusters of items.",
        "Means ± standard deviations over 3 seeds.",
    ]
    one_more = deltas(*three, delta("random+ppl", "B", 1, **three_seed_interval(0, 2, 0.06)))
    assert legend(laid_out(*seeds, deltas=one_more))[3:5] == [
        *(SINGLE, "No interval for A and so for Avg: fewer than 10 clusters of items.")
    ]


def test_one_seed_is_called_so_without_an_interval_too() -> None:
    table = single_seed_table(delta("random+ppl", "A", 3, **FEW), delta("random+ppl", "B", -1, **FEW))
    assert not table.intervals
    assert legend(table)[2:4] == [SINGLE_SEED, "No interval: fewer than 10 clusters of items."]
    assert "title=" not in html.render(table)
    some = single_seed_table(delta("random+ppl", "A", 3, **FEW), delta("random+ppl", "B", -1))
    assert legend(some)[2:4] == [SINGLE_SEED, "No interval for A: fewer than 10 clusters of items."]


def two_seeds(*lines: dict[str, object]) -> Table:
    cells = [cell(name, 10 + seed, 20, seed=seed) for name in ("random+random", "random+ppl") for seed in (0, 1)]
    return laid_out(*cells, deltas=deltas(*lines))


def test_two_seeds_have_the_interval_of_both_noises_and_no_test() -> None:
    table = two_seeds(delta("random+ppl", "A", 3, **two_seed_interval(-6, 12)))
    shown = entry(table, "Random+PPL", "A")
    assert (shown.low, shown.high, shown.p_adjusted, shown.significant) == (-6, 12, None, None)
    assert legend(table)[2] == TWO_SEEDS
    tooltip = "95 % interval -6.00 to +12.00 points, items and seeds; not tested; against Random + Random"
    assert f'title="{tooltip}">↑3.00</span>' in html.render(table)


def test_legend_covers_one_two_and_three_seeds_together() -> None:
    lines = delta("random+ppl", "A", 3), delta("random+ppl", "B", 1, **two_seed_interval(-6, 8))
    limited = ["Over one" + SINGLE_SEED.removeprefix("One"), "Over two" + TWO_SEEDS.removeprefix("Two")]
    assert legend(two_seeds(*lines))[2:4] == limited
    sentences = legend(two_seeds(*lines, delta("random+ppl", "Avg", 2, **three_seed_interval(1, 3, 0.01))))
    assert sentences[2:4] == limited
    assert sentences[4].startswith("Asterisk: the delta differs")
    assert sentences[5] == SINGLE


def test_several_seeds_have_intervals_and_a_mark() -> None:
    table = seeded()
    first, second = (entry(table, "Random+PPL", benchmark) for benchmark in "AB")
    assert (first.delta, first.low, first.high, first.p_adjusted, first.significant) == (3, 1.5, 4.5, 0.0123, True)
    assert (second.delta, second.low, second.high, second.significant) == (1, -1.25, 3.25, False)
    assert SINGLE_SEED not in legend(table)
    tooltip = "95 % interval +1.50 to +4.50 points, items and seeds; p = 0.0123, corrected; against Random + Random"
    assert f'title="{tooltip}"' in html.render(table)


def test_a_delta_over_one_of_several_seeds_is_not_tested() -> None:
    table = seeded()
    shown = entry(table, "Entropy+PPL", "A")
    assert (shown.n_compared, shown.low, shown.high, shown.significant) == (1, -12, -8, None)
    assert "Over one seed: deltas carry item noise only; no significance is claimed." in legend(table)
    assert "item noise only; against Random + Random" in html.render(table)


def test_the_legend_says_so_where_nothing_is_significant() -> None:
    cells = [cell(name, 10 + seed, seed=seed) for name in ("random+random", "random+ppl") for seed in (0, 1, 2)]
    table = laid_out(*cells, deltas=deltas(delta("random+ppl", "A", 0, **three_seed_interval(-1, 1, 1.0))))
    assert legend(table)[2:4] == [
        "Asterisk: the delta differs from 0 at 5 %, over items and seeds, corrected over the budget's rows of the "
        "column; none does here.",
        SINGLE,
    ]


def test_csv_has_every_interval_as_a_column() -> None:
    frame = pd.read_csv(io.StringIO(csv.render(seeded())))
    ppl = frame[(frame["sample_pruner"] == "Random") & (frame["token_pruner"] == "PPL")].iloc[0]
    names = ["sd", "seeds", "delta", "delta seeds", "low", "high", "p_adjusted", "significant"]
    assert ppl[["against", *(f"m A {name}" for name in names)]].tolist() == [
        *("Random + Random", 4, 3, 3, 3, 1.5, 4.5, 0.0123, True)
    ]
    line = frame[frame["sample_pruner"] == "Entropy"].iloc[0]
    assert line[["m A delta", "m A low", "m A high"]].tolist() == [-10, -12, -8]
    assert line[["m A p_adjusted", "m A significant"]].isna().all()


MANNERS = {"static": {"mode": "static", "removal": "mask"}, "dynamic": {"mode": "dynamic", "removal": "mask"}}
PLAIN = {"random+random": "static", "live": "dynamic"}


def mixed(*rows: tuple[str, str, str]) -> Table:
    """Static and dynamic rows, each (variant, manner, baseline) beside the baselines of both manners."""
    cells = [cell(name, 10, method="random+random", **MANNERS[manner]) for name, manner in PLAIN.items()]
    cells += [cell(name, 12, method="random+ppl", **MANNERS[manner]) for name, manner, _ in rows]
    return laid_out(*cells, deltas=deltas(*(delta(name, "A", 2, against=base) for name, _, base in rows)))


@pytest.mark.parametrize(
    ("rows", "description"),
    [
        ([("random+ppl", "static", "random+random")], "Random + Random"),
        ([("ppl-live", "dynamic", "live")], "live"),
        (
            [("random+ppl", "static", "random+random"), ("ppl-live", "dynamic", "live")],
            "the Random + Random row of the same mode",
        ),
        (
            [("random+ppl", "static", "live"), ("ppl-live", "dynamic", "random+random")],
            "the Random + Random row of the same mode (where there is none, of the experiment's own)",
        ),
    ],
)
def test_the_legend_says_what_deltas_are_against(rows: list[tuple[str, str, str]], description: str) -> None:
    table = mixed(*rows)
    assert f"Arrows: points above or below {description} at the same model, budget and seed." in legend(table)


def test_legend_of_a_reference_and_the_best_of_each_budget() -> None:
    cells = [cell("full", 50, seed=0), cell("random+ppl", 12), cell("random+fastv", 9)]
    against_full = laid_out(*cells, deltas=deltas(delta("random+ppl", "A", -38, against="full")))
    assert "Arrows: points above or below Full Dataset of the same model and seed." in legend(against_full)
    untrained = [cell("zero-shot", 5), *cells]
    against_none = laid_out(*untrained, deltas=deltas(delta("random+ppl", "A", 7, against="zero-shot")))
    assert "Arrows: points above or below Zero-Shot of the same model." in legend(against_none)
    assert next(row.baseline for row in against_full.rows if row.variant == "random+ppl") == "Full Dataset"
    other = {"sample_ratio": 0.25, "token_ratio": 0.7}
    cells += [[row | other for row in rows] for rows in cells[1:]]
    lines = [delta("random+ppl", "A", 3, against="random+fastv"), delta("random+fastv", "A", -3, against="random+ppl")]
    best = laid_out(*cells, deltas=deltas(lines[0], lines[1] | other))
    assert (
        f"Arrows: points above or below one row of each model and budget (m, 12.5 {TIMES} 50: Random + FastV; "
        f"m, 25 {TIMES} 70: Random + PPL) at the same seed."
    ) in legend(best)


def test_each_row_names_what_it_is_against() -> None:
    table = mixed(("random+ppl", "static", "random+random"), ("ppl-live", "dynamic", "live"))
    assert [row.baseline for row in table.rows] == ["", "", "Random + Random", "live"]
    assert "item noise only; against live" in html.render(table)
