"""Run prunegrid's torch-free parts with the lowest versions that pyproject.toml allows (`make lowest`).

It makes an environment of its own (build/lowest, kept until a bound or a pin changes), where every dependency outside
torch's family has exactly its lower bound, imports every module of the package and runs the quick tests of those that
need no torch. A module may be missing from there only because one of torch's family is.
"""

import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parents[3]
FAMILY = ("accelerate", "deepspeed", "lm-eval", "peft", "torch", "transformers")  # gigabytes, so not installed
UNWANTED = (*FAMILY, "prunegrid")  # an extra of its own stands for that extra's packages
EXTRAS = ("train", "eval", "report", "select", "workflow")
TOOLS = ("hypothesis", "jsonschema", "lxml", "pylatexenc", "pytest")  # as pinned: the tests', not the package's
TESTS = (
    "experiment/config", "experiment/dynamic_config", "figures/parts", "plan/plan", "plan/workload",
    "pruners/called_pruners", "pruners/diversity", "pruners/length_and_loss", "pruners/match", "pruners/pruners",
    "pruners/qtuning", "pruners/token_first", "published/audit", "published/published", "results/collect",
    "results/comparability", "results/older_results", "selection/overlap", "selection/prune", "selection/shards",
    "statistics/deltas", "statistics/paired_items", "statistics/references", "status/reasons", "status/status",
    "table/comparison", "table/cost_columns", "table/html", "table/latex", "table/layout", "table/seeds",
    "table/task_data", "table/text",
)  # fmt: skip


def requirements() -> list[str]:
    """`name==bound` of each dependency of the workflow outside torch's family, and the tools' pins."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for extra in EXTRAS for line in project["optional-dependencies"][extra]]
    bounds = [line for line in [*project["dependencies"], *extras] if re.split(r"[<>=\[]", line)[0] not in UNWANTED]
    pins = (ROOT / "envs/requirements.txt").read_text().splitlines()
    return [line.replace(">=", "==") for line in bounds] + [pin for pin in pins if pin.partition("==")[0] in TOOLS]


def environment(folder: Path) -> Path:
    """The Python of an environment with the requirements, made where the last one has others."""
    wanted, record, python = "\n".join(requirements()), folder / "requirements.txt", folder / "bin/python"
    if not record.exists() or record.read_text() != wanted:
        venv.create(folder, clear=True, with_pip=True)
        pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--prefer-binary", *wanted.splitlines()], check=True)
        subprocess.run([*pip, "install", "--no-deps", "--editable", str(ROOT)], check=True)
        record.write_text(wanted)
    return python


def import_all() -> None:
    """Import each module of prunegrid; say which wait for torch's family, and fail for any other reason."""
    import prunegrid

    waiting, count = {}, 0
    for module in pkgutil.walk_packages(prunegrid.__path__, "prunegrid."):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing.replace("_", "-") not in FAMILY:
                raise
            waiting[module.name] = missing
        count += 1
    names = ", ".join(f"{name} ({missing})" for name, missing in waiting.items())
    print(f"{count - len(waiting)} of {count} modules imported; skipped for what they need: {names}", flush=True)


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest = project["requires-python"].removeprefix(">=")
    if oldest != f"{sys.version_info.major}.{sys.version_info.minor}":
        sys.exit(f"the lowest versions go with Python {oldest}, the lowest; this is {sys.version.split()[0]}")
    python = str(environment(ROOT / "build/lowest"))
    subprocess.run([python, __file__, "--import"], check=True)
    files = [str(ROOT / "tests/unit" / name.replace("/", "/test_")) + ".py" for name in TESTS]
    pytest = [python, "-m", "pytest", "--disable-warnings", "-m", "not slow"]
    sys.exit(subprocess.run([*pytest, *files], cwd=ROOT).returncode)


if __name__ == "__main__":
    import_all() if sys.argv[1:] == ["--import"] else main()
