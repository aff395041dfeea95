"""Two experiments on the page, or ours beside the published: rows, differences, and what differs in the configs."""

import shutil
from pathlib import Path
from typing import Any

from prunegrid.core import files
from prunegrid.experiment import grid, locate
from prunegrid.report.build import build
from prunegrid.report.compare_view import differences
from prunegrid.results import collect
from support.browser import opened
from support.results_folder import answer, put


def test_differences_name_each_key_and_both_values() -> None:
    ours = {"training": {"epochs": 5, "rate": 1e-4, "same": 0}, "seeds": [0], "note": ""}
    theirs = {"training": {"epochs": 3, "rate": 1e-4, "same": 0}, "seeds": [0, 1], "more": {"a": None}}
    assert list(differences(ours, theirs)) == [
        ("training.epochs", "5", "3"),
        ("seeds", "[0]", "[0, 1]"),
        ("note", "", "absent"),
        ("more", "absent", '{"a": null}'),
    ]


def rows_of(page: Any) -> list[list[str]]:
    cells = "[...row.querySelectorAll('.tabulator-cell')].filter((c) => c.offsetParent).map((c) => c.innerText)"
    rows = f"[...document.querySelectorAll('#view-compare .tabulator-row')].map((row) => {cells})"
    found: list[list[str]] = page.evaluate(rows)
    return found


def test_two_experiments_stand_side_by_side(folder: Path, tmp_path: Path, browser: Any) -> None:
    """The other has another name, and other answers in the cells of one variant."""
    other = shutil.copytree(folder, tmp_path / "other")
    experiment = files.read_json(other / "experiment.json")
    experiment["experiment"] = "other"
    put(other / "experiment.json", experiment)
    cells = [cell for cell in grid.cells(locate.read_folder(other)) if cell.variant == "q0"]
    for cell in cells:
        answer(other, cell, "A", [0.0] * 36 + [1.0] * 4)
    with opened(browser, build(folder, tmp_path / "page.html", other=other), "#compare?benchmark=A") as page:
        rows = {(row[0], row[1]): row for row in rows_of(page)}
        ours = collect.read(folder / "results.parquet").query("variant == 'q0' and benchmark == 'A'")
        mean = ours.groupby("sample_ratio")["score"].mean()[0.5]
        (row,) = [row for (budget, label), row in rows.items() if label.startswith("q0") and budget.startswith("50")]
        assert row[3:5] == [f"{mean:.2f} (2)", "10.00 (2)"]
        assert row[5].startswith(f"+{mean - 10:.2f} ")
        assert row[6] == "differs"
        config = page.locator(".differences tbody tr").all_inner_texts()
        assert config == ["experiment\ttiny\tother"]
