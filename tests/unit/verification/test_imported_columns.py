"""A finished folder with a row that was pruned by imported scores: what `verify`, `trace` and `status` say of them."""

import json
import os
import shutil
from pathlib import Path

import pytest

from prunegrid import status
from prunegrid.core import files
from prunegrid.experiment import config, grid, layout
from prunegrid.scoring.score_file import import_scores
from prunegrid.status import Files
from prunegrid.table.build import build
from prunegrid.verification.trace import trace_score
from prunegrid.verification.verify import verify
from support.finished_folder import edit_json, make_cell, write_finished

JUDGED = "m/s0.5-t0.5/judged/seed0"
QUALITY = {"file": "judge-{model}.jsonl", "id": "row", "source": "a judge"}


def write_judge(home: Path, best: int) -> Path:
    path = home / "judge-m.jsonl"
    path.write_text("".join(json.dumps({"row": row, "quality": int(row == best)}) + "\n" for row in range(24)))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("finished")
    root = write_finished(home)
    record = files.read_json(root / layout.EXPERIMENT)
    judged = {**record["variants"][0], "name": "judged", "method": "imported+random", "options": {}}
    values = record | {"variants": [*record["variants"], judged], "scores": {"quality": QUALITY}}
    experiment = config.load(values)
    files.write_json(root / layout.EXPERIMENT, experiment.model_dump(mode="json"))
    write_judge(home, 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        settings = experiment.scores["quality"].model_copy(update={"file": "judge-m.jsonl"})
        import_scores("quality", root / layout.scores("m"), settings, root / layout.extra_score("m", "quality"))
    (cell,) = [cell for cell in grid.cells(experiment) if cell.variant == "judged"]
    make_cell(root, experiment, cell)
    build(root)
    return home


@pytest.fixture
def home(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, in which one is as where Snakemake was started."""
    home = tmp_path / "home"
    shutil.copytree(finished, home, symlinks=True)
    monkeypatch.chdir(home)
    return home


def stale_reasons(root: Path) -> dict[str, list[str]]:
    experiment = config.load(files.read_json(root / layout.EXPERIMENT))
    told = status.all_statuses(experiment, Files(root))
    return {cell.variant: [str(reason) for reason in actual.reasons] for cell, actual in told.items() if actual.reasons}


def test_verify_compares_the_file_that_was_imported(home: Path) -> None:
    verification = verify(home / "results/whole")
    assert (verification.problems, verification.walk.matched["imported scores"]) == ([], 1)


def test_verify_names_a_file_with_other_scores(home: Path) -> None:
    path = write_judge(home, 4)
    os.utime(path, (1, 1))  # so that `status`, which goes by times, sees nothing
    (problem,) = verify(home / "results/whole").problems
    assert problem.where == str(path)
    assert "was imported" in problem.what and "restore the original file" in problem.fix


def test_verify_says_that_a_file_is_elsewhere(home: Path) -> None:
    (home / "judge-m.jsonl").unlink()
    verification = verify(home / "results/whole")
    assert verification.problems == []
    assert str(home / "judge-m.jsonl") in map(str, verification.walk.elsewhere)
    assert verification.walk.matched["imported scores"] == 0


def test_trace_names_the_file_its_digest_and_who_made_it(home: Path) -> None:
    lines = trace_score(home / "results/whole", JUDGED, "A")
    digest = files.sha256sum(home / "judge-m.jsonl")[:12]
    assert f"  scores quality: from judge-m.jsonl, sha256 {digest}, a judge" in lines
    assert not any("scores quality" in line for line in trace_score(home / "results/whole", "m/full/seed0", "A"))


def test_status_of_a_file_with_other_scores_is_stale_for_its_readers_alone(home: Path) -> None:
    root = home / "results/whole"
    before = files.sha256sum(home / "judge-m.jsonl")
    assert stale_reasons(root) == {}
    path = write_judge(home, 4)
    newer = (root / layout.extra_score("m", "quality")).stat().st_mtime + 5
    os.utime(path, (newer, newer))
    assert stale_reasons(root) == {"judged": [f"judge-m.jsonl was {before[:12]}, now {files.sha256sum(path)[:12]}"]}


def test_status_of_a_file_that_is_read_otherwise_is_stale_and_of_another_maker_is_not(home: Path) -> None:
    root = home / "results/whole"
    scores = files.read_json(root / layout.EXPERIMENT)["scores"]
    edit_json(root / layout.EXPERIMENT, scores={"quality": scores["quality"] | {"source": "another judge"}})
    assert stale_reasons(root) == {}
    edit_json(root / layout.EXPERIMENT, scores={"quality": scores["quality"] | {"column": "other"}})
    (reason,) = stale_reasons(root)["judged"]
    assert reason == 'scores.quality.column was "quality", now "other"'
