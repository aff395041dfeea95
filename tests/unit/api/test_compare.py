"""`pg.compare` and `prunegrid stats`: what they take, refuse and print."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import prunegrid as pg
from prunegrid.cli import main
from prunegrid.evaluation.item_logs import read_item_log
from support.errors import refused
from support.item_files import cell, item_rows, write_items
from support.lm_eval_logs import CHOICE, GENERATE, log_of
from support.snakemake_runs import ROOT
from support.toy_tasks import write_jsonl

Logs = dict[str, Path]
RIGHT = [1, 0] * 10
BETTER = [1, 1, 1, 0] * 5


def rows(values: list[int], ids: range | None = None, **columns: Any) -> list[dict[str, Any]]:
    return [{"id": i, "score": value, **columns} for i, value in zip(ids or range(len(values)), values, strict=True)]


def test_all_forms_of_a_log_give_the_same(tmp_path: Path) -> None:
    paths = [write_jsonl(tmp_path / f"{name}.jsonl", rows(x)) for name, x in (("a", RIGHT), ("b", BETTER))]
    frames = [pd.DataFrame(rows(x)) for x in (RIGHT, BETTER)]
    forms = [paths, list(map(str, paths)), frames, [frame["score"] for frame in frames], [RIGHT, BETTER]]
    forms += [[np.array(RIGHT), np.array(BETTER)], [read_item_log(path) for path in paths], [[path] for path in paths]]
    found = [pg.compare(*form)[0] for form in forms]
    assert {(x.delta, x.item_low, x.item_high, x.item_p) for x in found} != {(0.0, 0.0, 0.0, 1.0)}
    assert len({(x.delta, x.won, x.lost, x.n_items) for x in found}) == 1
    assert found[0].delta == pytest.approx(25) and (found[0].won, found[0].lost) == (5, 0)


def test_rows_in_another_order_are_paired_by_id(tmp_path: Path) -> None:
    first = write_jsonl(tmp_path / "a.jsonl", rows(RIGHT))
    second = write_jsonl(tmp_path / "b.jsonl", rows(BETTER)[::-1])
    assert (pg.compare(first, second)[0].won, pg.compare(first, second)[0].lost) == (5, 0)


def test_frame_has_a_row_for_each_difference(lm_eval_logs: Logs) -> None:
    comparison = pg.compare(*lm_eval_logs.values(), metric="acc,exact_match", filter=["none", "loose"])
    frame = comparison.to_pandas()
    assert frame["task"].tolist() == [CHOICE, GENERATE, "Avg"] and frame["name"].tolist() == ["b"] * 3
    assert frame["delta"].iloc[2] == pytest.approx(frame["delta"].iloc[:2].mean())
    assert frame["n_items"].tolist() == [30, 20, 50]


def test_items_that_not_all_have_are_counted_or_refused(tmp_path: Path) -> None:
    first = write_jsonl(tmp_path / "a.jsonl", rows(RIGHT))
    second = write_jsonl(tmp_path / "b.jsonl", rows(BETTER, range(3, 23)))
    with refused(f"{first} and {second}", "20, 20 items, of which 17 are in all", "0, 1, 2", fix="--common"):
        pg.compare(first, second)
    comparison = pg.compare(first, second, common=True)
    assert comparison[0].n_items == 17
    assert comparison.notes == [f"items left out, since some logs lack them: 3 of 20 in {first}, 3 of 20 in {second}"]


def test_tasks_that_not_all_have_are_named(lm_eval_logs: Logs, tmp_path: Path) -> None:
    a, choices = lm_eval_logs["a"], {"metric": "acc,exact_match", "filter": "none,loose"}
    (tmp_path / "b").symlink_to(log_of(lm_eval_logs["b"], CHOICE).parent)
    only = log_of(lm_eval_logs["b"], CHOICE)
    with refused("a and b", f"some have no log of {GENERATE}", fix="--common"):
        pg.compare(a, only, names=["a", "b"], **choices)  # type: ignore[arg-type]
    comparison = pg.compare(a, only, names=["a", "b"], common=True, **choices)  # type: ignore[arg-type]
    assert [row.task for row in comparison] == [CHOICE] and GENERATE in comparison.notes[0]


@pytest.mark.parametrize("column", ["prompt_hash", "target_hash"])
def test_other_questions_or_answers_are_refused(lm_eval_logs: Logs, tmp_path: Path, column: str) -> None:
    log = log_of(lm_eval_logs["b"], CHOICE)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    lines[4][column] = "another"
    other = write_jsonl(tmp_path / log.name, lines)
    first = log_of(lm_eval_logs["a"], CHOICE)
    with refused(f"{first} and {other}", f"1 of 30 items differ in {column.removesuffix('_hash')}"):
        pg.compare(first, other, metric="acc")
    if column == "prompt_hash":
        assert pg.compare(first, other, metric="acc", any_prompt=True).notes == ["1 of 30 items differ in prompt"]


def test_other_metrics_and_names_are_refused(lm_eval_logs: Logs) -> None:
    a, b = (log_of(lm_eval_logs[name], CHOICE) for name in "ab")
    logs = read_item_log(a, "acc"), read_item_log(b, "acc_norm")
    with refused(f"{a} and {b}", "metrics are acc and acc_norm", fix="--metric"):
        pg.compare(*logs)
    with refused("against", "is c, not one of a, b"):
        pg.compare(a, b, names=["a", "b"], against="c", metric="acc")
    with refused("names", "1 for 2 logs"):
        pg.compare(a, b, names=["a"], metric="acc")
    with refused("runs", "A has 3, B has 2"):
        pg.compare([RIGHT] * 3, [BETTER] * 2)
    with refused("compare", "1 log is given"):
        pg.compare(a)


def test_clusters_that_differ_are_refused() -> None:
    frames = [pd.DataFrame(rows(x)).assign(cluster=[i // k for i in range(20)]) for x, k in ((RIGHT, 2), (BETTER, 4))]
    with refused("A and B", "clusters differ"):
        pg.compare(*frames)


def test_numbers_with_gaps_and_tables_of_numbers_are_refused() -> None:
    with refused("B", "1 of 20 items have no finite score, the first at B: item 3"):
        pg.compare(RIGHT, [*BETTER[:3], None, *BETTER[4:]])
    with refused("A", "more than one dimension"):
        pg.compare(np.ones((3, 20)), BETTER)
    with refused("A", "holds no rows"):
        pg.compare([], BETTER)
    assert pg.compare(np.array(RIGHT, bool).tolist(), list(np.array(BETTER, bool)))[0].won == 5


def test_against_turns_the_difference() -> None:
    forth, back = pg.compare(RIGHT, BETTER)[0], pg.compare(RIGHT, BETTER, against="B")[0]
    assert (forth.delta, forth.won, forth.name) == (-back.delta, back.lost, back.against)


def test_command_prints_both_questions(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Three runs a recipe, in results folders."""
    rng = np.random.default_rng(0)
    folders: dict[str, list[str]] = {"random+random": [], "qtuning": []}
    for seed in range(3):
        for name, shares in (("random+random", 0.4), ("qtuning", 0.8)):
            items = item_rows(list((rng.random(60) < shares).astype(float)))
            folders[name].append(str(write_items(tmp_path, cell(name, seed), "B", items).parent))
    main(["stats", *(f"{name}={','.join(paths)}" for name, paths in folders.items())])
    text = capsys.readouterr().out
    assert "B, acc: 60 items, 3 runs" in text and "random+random" in text and "(baseline)" in text
    assert "do these models differ (items): +" in text and "does the recipe differ (runs and items): +" in text
    assert "items won" in text and "60 items and 3 runs find a true difference of" in text


def test_command_prints_all_numbers_as_json(capsys: pytest.CaptureFixture[str], lm_eval_logs: Logs) -> None:
    logs = [str(log_of(path, CHOICE)) for path in lm_eval_logs.values()]
    main(["stats", *logs, "--metric", "acc", "--json", "--cluster", "about.topic"])
    (row,) = json.loads(capsys.readouterr().out)["differences"]
    found = pg.compare(*logs, metric="acc", cluster="about.topic")[0]
    assert row["delta"] == found.delta and row["item_p"] == found.item_p and row["n_clusters"] == 10
    assert (row["name"], row["against"], row["p"]) == ("b", "a", None)


def test_command_with_one_log_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["stats", "a.jsonl"])
    assert "give at least two" in str(stop.value)


def test_page_shows_what_the_command_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The published example of docs/how-to/compare-models.md."""
    counts = (794, 150, 86, 570)
    for name, kinds in (("first", (1, 1, 0, 0)), ("second", (1, 0, 1, 0))):
        (tmp_path / name).mkdir()
        write_jsonl(tmp_path / name / "approval.jsonl", rows(np.repeat(kinds, counts).tolist()))
    main(["stats", str(tmp_path / "first"), str(tmp_path / "second")])
    assert capsys.readouterr().out in (ROOT / "docs/how-to/compare-models.md").read_text()
