"""`pg.prune` and what it returns."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prunegrid as pg
from prunegrid import pruners
from prunegrid.cli import app
from prunegrid.core import files
from support import handmade_scores
from support.errors import refused

METHODS = ["random+random", "random+ppl", "qtuning", "infobatch-original"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return handmade_scores.write(
        tmp_path / "scores", handmade_scores.random_scores(60), meta={"digests": {"data": "d"}}
    )


def test_import_loads_no_library_and_names_the_interface() -> None:
    program = "import sys, prunegrid as pg; print(*dir(pg)); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names, modules = (line.split() for line in run.stdout.splitlines())
    assert names == sorted(pg.__all__)
    assert not {"torch", "transformers", "pyarrow", "numpy", "pandas", "pydantic", "datasets"} & set(modules)
    assert [name for name in names if not hasattr(pg, name)] == []


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="prunes"):
        _ = pg.prunes


def test_a_room_that_is_imported_hides_no_function() -> None:
    import prunegrid.exporters
    import prunegrid.pruners
    import prunegrid.scoring.reader
    import prunegrid.selection.prune  # noqa: F401

    assert [name for name in pg.__all__ if name != "__version__" and not callable(getattr(pg, name))] == []


@pytest.mark.parametrize("method", METHODS)
def test_prune_equals_the_command_byte_for_byte(folder: Path, tmp_path: Path, method: str) -> None:
    pg.prune(folder, method, samples=0.25, tokens=0.5, seed=3, out=tmp_path / "python")
    ratios = ["--samples", "25%", "--tokens", "0.5", "--seed", "3"]
    app.main(["prune", "--scores", str(folder), "--pair", method, *ratios, "--out", str(tmp_path / "command")])
    for name in ("selection.parquet", "selection.json"):
        assert (tmp_path / "python" / name).read_bytes() == (tmp_path / "command" / name).read_bytes()


@pytest.mark.parametrize("method", METHODS)
def test_prune_of_arrays_keeps_what_select_keeps(folder: Path, method: str) -> None:
    scores = handmade_scores.random_scores(60)
    kept = pg.prune(scores, method, samples=0.25, tokens=0.5, seed=3)
    arrays = pruners.select(scores, handmade_scores.spec(method, 0.25, 0.5), pruners.Draw(3))
    frame = kept.to_pandas()
    assert kept.sample_ids == frame["sample_id"].tolist() == arrays.sample_id.tolist()
    assert np.concatenate(frame["kept"].tolist()).tolist() == arrays.positions.tolist()
    from_folder = pg.prune(folder, method, samples=0.25, tokens=0.5, seed=3)
    assert from_folder.summary().n_kept_samples == len(kept)


def test_temporary_folder_lives_as_long_as_its_selection(folder: Path) -> None:
    kept = pg.prune(folder, "random+ppl", samples=0.5)
    place = kept.folder
    assert len(pg.Selection.open(place, folder)) == len(kept) == 30
    del kept
    assert not place.exists()


def test_match_is_a_selection_or_its_folder(folder: Path, tmp_path: Path) -> None:
    first = pg.prune(folder, "qtuning", samples=0.25, tokens=0.5, out=tmp_path / "first")
    for match in (first, tmp_path / "first", tmp_path / "first/selection.json"):
        control = pg.prune(folder, "random+random", match=match)
        assert control.summary().kept_tokens == first.summary().kept_tokens


def test_overlap_by_hand() -> None:
    scores = handmade_scores.scores([4, 4, 4], samples={"nll": [3, 2, 1]}, tokens={"nll": [*range(8), 3, 2, 1, 0]})
    first = pg.prune(scores, "infobatch+ppl", samples=2, tokens=0.5)  # samples 0, 1: positions 0, 3
    second = pg.prune(scores, "loss+ppl", samples=2, tokens=0.75, options={"loss": "lowest"})  # 1, 2: 0, 1, 3
    assert first.overlap(second)[:3] == (1 / 3, 2 / 3, 1)
    assert first.overlap(first)[:3] == (1, 1, 2)
    third = pg.prune(scores, "loss+ppl", samples=1, tokens=0.5)
    assert len(third) == 3, "1 is all"


def test_overlap_without_a_common_sample_has_no_tokens() -> None:
    scores = handmade_scores.scores([4, 4, 4, 4], samples={"nll": [4, 3, 2, 1]}, tokens={"nll": range(16)})
    first, second = (pg.prune(scores, "loss+ppl", samples=2, options={"loss": loss}) for loss in ("highest", "lowest"))
    assert first.overlap(second)[:3] == (0, None, 0)


def test_overlap_with_other_data_is_refused(folder: Path, tmp_path: Path) -> None:
    other = handmade_scores.write(
        tmp_path / "other", handmade_scores.random_scores(60), meta={"digests": {"data": "e"}}
    )
    first, second = (pg.prune(path, "random+ppl", out=tmp_path / path.name / "p") for path in (folder, other))
    with refused(tmp_path / "other/p", "another data"):
        first.overlap(second)
    smaller = handmade_scores.write(tmp_path / "smaller", handmade_scores.random_scores(50))
    third = pg.prune(smaller, "random+ppl", out=tmp_path / "third")
    with refused(tmp_path / "third", 50, 60):
        first.overlap(third)


def test_selection_says_what_it_is(folder: Path) -> None:
    kept = pg.prune(folder, "random+ppl", samples=15, tokens="50%")
    assert f"{kept.folder}: random+ppl, 15 of 60 samples" in repr(kept)
    assert str(kept.summary()).startswith("Kept 15 of 60 samples (25%, requested 15)")
    limited = pg.prune(folder, "random+ppl", samples="25%", tokens=100)
    assert limited.summary().budget == {"tokens": "100"} and "requested at most 100)" in str(limited)
    assert kept.summary().model_dump()["budget"] == {"samples": "15"}


def test_no_selection_is_refused(tmp_path: Path) -> None:
    with refused(tmp_path / "selection.json", "no such file"):
        pg.Selection.open(tmp_path)


def test_selection_records_its_scores(folder: Path, tmp_path: Path) -> None:
    pg.prune(folder, "random+ppl", out=tmp_path / "deep/er")
    recorded = files.read_json(tmp_path / "deep/er/selection.json")["scores"]
    assert (tmp_path / "deep/er" / recorded).resolve() == folder.resolve()


@pytest.mark.parametrize(
    ("arguments", "where", "what"),
    [
        ({"unit": "row"}, "unit", "'row'"),
        ({"seed": -1}, "seed", "-1"),
        ({"seed": "a"}, "seed", "'a'"),
        ({"seed": 0.5}, "seed", "0.5"),
        ({"samples": 61}, "samples", "60 samples"),
        ({"tokens": "1.5"}, "tokens", "1.5"),
        ({"options": {"lamda": 1}}, "random+ppl", "lamda"),
    ],
)
def test_bad_arguments_are_one_line(folder: Path, arguments: Any, where: str, what: str) -> None:
    with refused(where, what):
        pg.prune(folder, "random+ppl", **arguments)
