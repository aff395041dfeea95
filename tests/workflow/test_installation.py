"""The light installation: the wheel in an environment of its own scores, prunes and exports, from any folder.

pip takes torch from wherever this machine's pip looks; PyPI's for Linux is the CUDA build, of several GB.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from prunegrid.core.extras import MODULES
from support.snakemake_runs import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """bin/ of an environment into which pip installed the wheel: with pinned versions, without extras."""
    folder = tmp_path_factory.mktemp("light")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", folder, folder], check=True)
    venv.create(folder / "venv", with_pip=True)
    (wheel,) = folder.glob("prunegrid-*.whl")
    install = [folder / "venv/bin/pip", "install", "--quiet", "--constraint", ROOT / "envs/requirements.txt", wheel]
    subprocess.run(install, check=True, env=alone())
    yield folder / "venv/bin"
    shutil.rmtree(folder / "venv")  # more than a GB


def alone() -> dict[str, str]:
    """The environment without what would let a program find the repository's modules."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PRUNEGRID_DATA")}


def run(program: Path, *arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *map(str, arguments)], cwd=folder, env=alone(), capture_output=True, text=True)


@pytest.fixture
def mine(tmp_path: Path, tiny_model: Path) -> Path:
    """A folder with `model` and `mine.json`, an array of twelve rows."""
    (tmp_path / "model").symlink_to(tiny_model)
    rows = [{"instruction": f"What is {i} + 1?", "input": "", "output": f"{i} + 1 = {i + 1}."} for i in range(12)]
    (tmp_path / "mine.json").write_text(json.dumps(rows))
    return tmp_path


def test_light_installation_has_no_package_of_an_extra(light: Path, tmp_path: Path) -> None:
    modules = [module for modules in MODULES.values() for module in modules]
    code = f"import importlib.util as u; print([m for m in {modules} if u.find_spec(m)])"
    assert run(light / "python", "-c", code, folder=tmp_path).stdout == "[]\n"
    assert run(light / "pip", "check", folder=tmp_path).returncode == 0


def test_light_installation_prunes_a_file(light: Path, mine: Path) -> None:
    program = light / "prunegrid"
    for line in (
        "score --model model --data mine.json --out scores --threads 1",
        "prune --scores scores --pair qtuning --sample-ratio 0.5 --token-ratio 0.5 --out pruned",
        "export pruned --to jsonl --out exported",
        "show pruned",
    ):
        done = run(program, *line.split(), folder=mine)
        assert done.returncode == 0, done.stderr
    (file,) = (mine / "exported").glob("*.jsonl")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(rows) == 6
    assert all(len(row["labels"]) == len(row["input_ids"]) for row in rows)


def test_light_installation_prunes_in_python(light: Path, mine: Path) -> None:
    code = """
import prunegrid as pg
scores = pg.score(pg.load("mine.json"), "model", "scores")
pruned = pg.prune(scores, "qtuning", samples=0.5, tokens=0.5, out="pruned")
pg.export(pruned, "trl", "exported")
print(len(pruned.to_datasets()), len(pruned.to_pandas()))
"""
    done = run(light / "python", "-c", code, folder=mine)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["6 6"]), done.stderr
    assert (mine / "exported/train.parquet").exists()


@pytest.mark.parametrize(
    ("line", "module", "extra"),
    [
        ("table results", "scipy", "report"),
        ("verify results", "scipy", "report"),
        ("compare results", "scipy", "report"),
        ("figures results", "matplotlib", "report"),
        ("report results", "scipy", "report"),
        ("merge --model model --adapter adapter --out merged", "peft", "train"),
    ],
)
def test_light_installation_says_which_extra_a_command_needs(
    light: Path, mine: Path, line: str, module: str, extra: str
) -> None:
    (mine / "adapter").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (mine / "adapter" / name).write_text("{}")
    done = run(light / "prunegrid", *line.split(), folder=mine)
    command = line.partition(" ")[0]
    assert done.stderr.splitlines()[-1] == (
        f'prunegrid {command}: {module}: is not installed; run pip install "prunegrid[{extra}]"'
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_light_installation_examines_the_machine(light: Path, tmp_path: Path) -> None:
    done = run(light / "prunegrid", "doctor", folder=tmp_path)
    assert done.returncode == 0
    assert "extras     none; no train (deepspeed, peft, tensorboardX)" in done.stdout
    assert "!!" not in done.stdout
