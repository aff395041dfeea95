"""The wheel in an environment of its own: light, it scores, prunes and exports; whole, it runs the workflow.

pip takes torch from wherever this machine's pip looks; PyPI's for Linux is the CUDA build, of several GB.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from prunegrid.core.extras import MODULES
from support.snakemake_runs import ROOT

pytestmark = pytest.mark.slow
PARTS = (
    *("CHANGELOG.md", "CITATION.cff", "LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py"),
    *("Snakefile", "config.yaml", "envs", "experiments", "src", "workflow"),
)
JUNK = ("results", "tests/docs", "docs", ".ci", "profiles")  # of the checkout, which no distribution holds


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, made from a copy of the checkout, and the wheel, made from the sdist."""
    folder = tmp_path_factory.mktemp("distributions")
    checkout = folder / "checkout"
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
        else:
            checkout.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, checkout / name)
    for name in JUNK:
        (checkout / name).mkdir(parents=True)
        (checkout / name / "file.py").write_text("")
    build = f"from setuptools.build_meta import build_sdist; build_sdist({str(folder)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=checkout, check=True, stdout=subprocess.DEVNULL)
    (sdist,) = folder.glob("prunegrid-*.tar.gz")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", folder, sdist], check=True)
    return folder


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    (file,) = distributions.glob("prunegrid-*.whl")
    return file


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Iterator[Path]:
    """bin/ of an environment into which pip installed the wheel: with pinned versions, without extras."""
    folder = tmp_path_factory.mktemp("light")
    venv.create(folder / "venv", with_pip=True)
    install = [folder / "venv/bin/pip", "install", "--quiet", "--constraint", ROOT / "envs/requirements.txt", wheel]
    subprocess.run(install, check=True, env=alone())
    yield folder / "venv/bin"
    shutil.rmtree(folder / "venv")  # more than a GB


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """bin/ of an environment with the wheel, in which the packages of this one are seen, but not its prunegrid."""
    folder = tmp_path_factory.mktemp("whole")
    venv.create(folder)
    packages = folder / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, wheel], check=True, env=alone())
    return folder / "bin"


def alone() -> dict[str, str]:
    """The environment without what would let a program find the repository's modules."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PRUNEGRID_DATA")}


def run(program: Path, *arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """The program's run in `folder`, which is its user's home, too."""
    line, environment = [program, *map(str, arguments)], alone() | {"HOME": str(folder)}
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def mine(tmp_path: Path, tiny_model: Path) -> Path:
    """A folder with `model` and `mine.json`, an array of twelve rows."""
    (tmp_path / "model").symlink_to(tiny_model)
    rows = [{"instruction": f"What is {i} + 1?", "input": "", "output": f"{i} + 1 = {i + 1}."} for i in range(12)]
    (tmp_path / "mine.json").write_text(json.dumps(rows))
    return tmp_path


def test_sdist_holds_what_a_wheel_is_built_from(distributions: Path) -> None:
    (file,) = distributions.glob("prunegrid-*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {name for part in JUNK for name in names if f"{name}/".startswith(f"{part}/")} == set()
    for part in ("config.yaml", "workflow/Snakefile", "experiments/paper.yaml", "src/prunegrid/py.typed"):
        assert part in names


def test_wheel_holds_the_workflow_and_is_small(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for part in ("workflow", "experiments", "config.yaml", "envs/prunegrid.yaml"):
        files = [ROOT / part] if (ROOT / part).is_file() else (ROOT / part).rglob("*.*")
        for file in (file for file in files if "__pycache__" not in file.parts):
            assert f"prunegrid/_workflow/{file.relative_to(ROOT)}" in names
    assert "prunegrid/_workflow/workflow/Snakefile" in names
    assert wheel.stat().st_size < 3e6


def test_whole_installation_runs_the_workflow_in_a_folder_that_init_made(whole: Path, tmp_path: Path) -> None:
    where = "import prunegrid as p; print(p.__file__, p.workflow_files(), p.__version__, sep='\\n')"
    found = run(whole / "python", "-c", where, folder=tmp_path).stdout.splitlines()
    assert all(Path(path).is_relative_to(whole.parent) for path in found[:2])
    assert run(whole / "prunegrid", "--version", folder=tmp_path).stdout.strip() == found[2]
    done = run(whole / "prunegrid", "init", "grid", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    grid = tmp_path / "grid"
    shutil.copy(ROOT / ".test/config.yaml", grid / "config.yaml")
    done = run(whole / "python", "-m", "snakemake", "--cores", "2", folder=grid)
    assert done.returncode == 0, done.stdout + done.stderr
    table = (grid / "results/test/table/table.md").read_text()
    assert "Q-Tuning" in table and f"table by prunegrid {found[2]}, no git checkout" in table
    assert (grid / "results/test/report.html").stat().st_size > 1e5
    done = run(whole / "prunegrid", "status", "config.yaml", folder=grid)
    assert done.returncode == 0 and "2 cells" in done.stdout, done.stdout + done.stderr


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
