"""What a variant's own `training: {...}` replaces survives `prunegrid plan`, `status` and `verify` of its cells."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prunegrid.cli.app import main
from prunegrid.core import files
from prunegrid.core.text import byte_size
from prunegrid.experiment import config, grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.plan.memory import peak_mb
from prunegrid.table.build import build
from prunegrid.verification.verify import verify
from support.finished_folder import edit_json, make_cell, write_finished

OWN: dict[str, dict[str, Any]] = {
    "wide": {"batch_tokens": 65_536, "learning_rate": 5e-5},
    "padded": {"packing": False, "per_device_train_batch_size": 4},
}
Say = Callable[..., tuple[Any, str]]


def with_variants(root: Path, own: dict[str, dict[str, Any]]) -> Experiment:
    """Give the folder's experiment these variants beside its own two."""
    record = files.read_json(root / layout.EXPERIMENT)
    plain = [variant for variant in record["variants"] if variant["name"] not in own]
    added = [{name: {"method": "random+ppl", "training": training}} for name, training in own.items()]
    experiment = config.load(record | {"variants": [*plain, *added]})
    files.write_json(root / layout.EXPERIMENT, experiment.model_dump(mode="json"))
    return experiment


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    root = write_finished(home)
    experiment = with_variants(root, OWN)
    for cell in grid.cells(experiment):
        if cell.variant in OWN:
            make_cell(root, experiment, cell)
    build(root)
    return home


@pytest.fixture
def root(home: Path, tmp_path: Path) -> Path:
    root = tmp_path / "results/whole"
    shutil.copytree(home / "results/whole", root, symlinks=True)
    return root


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    def say(*arguments: str) -> tuple[Any, str]:
        try:
            main([*arguments])
            code: Any = 0
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr().out

    return say


def test_finished_cells_are_done_and_verified(root: Path, say: Say) -> None:
    code, text = say("status", str(root))
    counts = dict(line.split() for line in text.splitlines() if len(line.split()) == 2)
    assert code == 0 and (counts["done"], counts["stale"]) == ("6", "0")
    assert say("verify", str(root))[0] == 0
    verification = verify(root)
    assert verification.problems == []
    assert verification.columns and verification.columns[0] == 5, "two plain, two of their own training, Full"


def test_the_plan_has_their_jobs_and_their_memory(root: Path, say: Say) -> None:
    code, text = say("plan", str(root))
    assert code == 0
    (line,) = [line.split() for line in text.splitlines() if line.startswith("train ")]
    assert line[1:3] == ["5", "5"], "five jobs, all done"
    experiment = config.load(files.read_json(root / layout.EXPERIMENT))
    record = experiment.model_dump(mode="json")
    wide = config.load(record | {"training": record["training"] | OWN["wide"]})
    plain = config.load(record | {"variants": ["random+random", "random+ppl"]})
    memory = [peak_mb("train", each, root=root) for each in (plain, experiment, wide)]
    assert memory[0] < memory[1] == memory[2]
    assert " ".join(line).endswith(byte_size(memory[1] * 2**20))


@pytest.mark.parametrize(
    ("name", "changes", "stale"),
    [
        ("wide", {"batch_tokens": 1024}, "training.batch_tokens"),
        ("padded", {"packing": True}, "training.packing"),
        ("padded", {"batch_tokens": 1024}, None),
    ],
)
def test_a_change_is_seen_in_its_own_cells(
    name: str, changes: dict[str, Any], stale: str | None, root: Path, say: Say
) -> None:
    """Passes that are padded have no `batch_tokens`, so that its change makes nothing again."""
    with_variants(root, OWN | {name: OWN[name] | changes})
    code, text = say("status", str(root))
    assert (code == 0) is (stale is None)
    lines = [line for line in text.splitlines() if f"/{name}/" in line or "training." in line]
    assert (stale in "\n".join(lines)) if stale else not lines
    other = "padded" if name == "wide" else "wide"
    assert f"/{other}/" not in text


def test_a_record_of_other_settings_is_found(root: Path, say: Say) -> None:
    path = next(root.glob("trained/m/*/wide/seed0/training.json"))
    edit_json(path, training=files.read_json(path)["training"] | {"learning_rate": 1e-4})
    code, text = say("status", str(root))
    assert code != 0 and "training.learning_rate" in text
