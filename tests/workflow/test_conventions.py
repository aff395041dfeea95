"""What Snakemake's users expect of any workflow: a module, another folder, single keys, part of the work, marking."""

import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest
import yaml

from prunegrid.core.files import read_json
from support.results_folder import put
from support.snakemake_runs import DEFAULT, ROOT, planned, snakemake

SMALL = DEFAULT | {"experiment": "mine", "variants": ["random+random", "qtuning"], "seeds": [0, 1]}
TRAINED = {"train": 6, "prune": 4}

MODULE = """
configfile: "mine.yaml"

module prunegrid:
    snakefile: {snakefile!r}
    config: config
    {more}

use rule * from prunegrid as prunegrid_*

rule best:
    default_target: True
    input:
        table={table},
    output:
        "best.txt",
    run:
        shell("touch {{output}}")
"""


def module(folder: Path, *arguments: str, more: str = "", table: str = "rules.prunegrid_table.output.csv") -> Any:
    """A user's own Snakefile, which reads prunegrid's table; it does not stand beside prunegrid's."""
    put(folder / "mine.yaml", yaml.safe_dump(SMALL))
    put(folder / "Snakefile", MODULE.format(snakefile=str(ROOT / "workflow/Snakefile"), more=more, table=table))
    command = [sys.executable, "-m", "snakemake", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def jobs_of(output: str) -> dict[str, int]:
    stats = output.partition("Job stats:")[2].partition("\n\n")[0]
    lines = [line.split() for line in stats.splitlines()]
    return {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdigit()}


def test_module_of_another_workflow(tmp_path: Path) -> None:
    done = module(tmp_path, "-n")
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = jobs_of(done.stdout)
    assert (jobs["best"], jobs["prunegrid_table"], jobs["prunegrid_train"]) == (1, 1, TRAINED["train"])
    assert "prunegrid_figures" not in jobs


def test_jobs_of_a_module_run(tmp_path: Path) -> None:
    """Scripts, the package and the world's files are found from another folder."""
    done = module(tmp_path, "--cores", "1", "results/mine/data/sandbox-sft.parquet", "results/mine/experiment.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_json(tmp_path / "results/mine/experiment.json")["experiment"] == "mine"
    assert read_json(tmp_path / "results/mine/data/sandbox-sft.json")["samples"] > 0


def test_module_with_a_prefix(tmp_path: Path) -> None:
    done = module(tmp_path, "-n", more='prefix: "theirs"')
    assert done.returncode == 0, done.stdout + done.stderr
    assert "theirs/results/mine/table/table.csv" in done.stdout


@pytest.mark.slow
def test_snakedeploy_of_a_clone(tmp_path: Path) -> None:
    """A clone on disk: snakedeploy leaves the Snakefile's path relative to it."""
    venv.create(tmp_path / "venv", with_pip=True)
    subprocess.run([tmp_path / "venv/bin/pip", "install", "--quiet", "snakedeploy"], check=True)
    clone, folder = tmp_path / "clone", tmp_path / "mine"
    for name in ("config", "workflow"):
        shutil.copytree(ROOT / name, clone / name, symlinks=True)
    for name in ("LICENSE", "config.yaml"):
        shutil.copy(ROOT / name, clone / name)
    (clone / "profiles").symlink_to("workflow/profiles")
    deploy = [
        tmp_path / "venv/bin/snakedeploy",
        "deploy-workflow",
        clone,
        folder,
        "--name",
        "prunegrid",
        "--branch",
        "main",
    ]
    subprocess.run(deploy, check=True, capture_output=True)
    assert (folder / "config/config.yaml").read_bytes() == (ROOT / "config.yaml").read_bytes()
    text = (folder / "workflow/Snakefile").read_text()
    (folder / "workflow/Snakefile").write_text(text.replace('"workflow/Snakefile"', f'"{clone}/workflow/Snakefile"'))
    command = [sys.executable, "-m", "snakemake", "-n"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = jobs_of(done.stdout)
    assert (jobs["prune"], jobs["all"]) == (18, 1)
    assert "profiles/default" in done.stdout + done.stderr


def test_test_config_is_a_whole_small_experiment() -> None:
    command = [sys.executable, "-m", "snakemake", "-n", "--snakefile", "workflow/Snakefile", "--directory", ".test"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert jobs_of(done.stdout)["total"] == 18 or "Nothing to be done" in done.stdout


def test_module_with_a_bad_config_is_one_clear_line(tmp_path: Path) -> None:
    done = module(tmp_path, "-n", "--config", "device=tpu")
    assert done.returncode != 0
    assert "device: is 'tpu'" in done.stdout + done.stderr and "Traceback" not in done.stdout + done.stderr


def test_single_keys_and_another_folder(tmp_path: Path) -> None:
    """`--directory` and `--config` alone: the default experiment, with its own relative files."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(tmp_path)]
    arguments = ["--cores", "1", "results/mine/experiment.json", "--config", "experiment=mine", "seeds=[3, 4]"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    made = read_json(tmp_path / "results/mine/experiment.json")
    assert (made["seeds"], made["models"].keys()) == ([3, 4], DEFAULT["models"].keys())


def test_until(tmp_path: Path) -> None:
    jobs = planned(tmp_path, "--until", "prune", config=SMALL)
    assert jobs["prune"] == TRAINED["prune"] and not {"train", "evaluate", "table"} & set(jobs)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """Every output there, as an empty file; nothing says how it was made."""
    shown = snakemake(tmp_path, "--dry-run", config=SMALL).stdout
    for line in shown.splitlines():
        if line.strip().startswith("output: "):
            for name in line.partition("output: ")[2].split(", "):
                path = tmp_path / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch() if path.suffix else path.mkdir(exist_ok=True)
    return tmp_path


@pytest.mark.slow
def test_touch_then_forcerun(finished: Path) -> None:
    marked = snakemake(finished, "--touch", "--cores", "1")
    assert marked.returncode == 0, marked.stdout + marked.stderr
    assert planned(finished) == {}
    after = {"train": 6, "evaluate": 6, "collect": 1, "table": 1, "figures": 1, "report": 1}
    assert planned(finished, "--forcerun", "train") == after
    cell = "results/mine/trained/sandbox-1M/s0.125-t0.5/qtuning/seed1"
    assert planned(finished, "--forcerun", f"{cell}/training.json") == after | {"train": 1, "evaluate": 1}
    shutil.rmtree(finished / cell)
    assert planned(finished) == after | {"train": 1, "evaluate": 1}


def test_profile_is_where_snakemake_looks() -> None:
    assert (ROOT / "profiles/default/config.yaml").samefile(ROOT / "workflow/profiles/default/config.yaml")


def test_conda_file_names_a_python_of_the_package() -> None:
    conda = yaml.safe_load((ROOT / "envs/prunegrid.yaml").read_text())["dependencies"]
    (python,) = [line for line in conda if isinstance(line, str) and line.startswith("python ")]
    lowest = (ROOT / "pyproject.toml").read_text().partition('requires-python = ">=')[2].partition('"')[0]
    assert python == f"python ={lowest}"


def test_every_rule_has_its_environment() -> None:
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        text = path.read_text()
        assert text.count("    script:") == text.count('"../../envs/prunegrid.yaml"'), path
