"""Programs that train, in environments of their own: gigabytes, made once, under build/consumers."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import yaml

from support.snakemake_runs import ROOT

PACKAGES = {
    "llamafactory": ["--no-deps", "llamafactory==0.9.5"],
    "axolotl": [
        "--no-deps",
        "--ignore-requires-python",  # it asks for 3.12
        "axolotl==0.21.0",
        "axolotl-contribs-lgpl==0.0.7",
        "axolotl-contribs-mit==0.0.6",
    ],
}


def environment(consumer: str) -> Path:
    """The Python of the consumer's environment, made where there is none with these requirements."""
    folder, requirements = ROOT / "build/consumers" / consumer, ROOT / f"envs/{consumer}.txt"
    wanted = json.dumps([requirements.read_text(), PACKAGES[consumer]])
    record, python = folder / "requirements.json", folder / "bin/python"
    if not record.exists() or record.read_text() != wanted:
        venv.create(folder, clear=True, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", str(requirements)], check=True)
        subprocess.run([*pip, *PACKAGES[consumer]], check=True)
        if consumer == "llamafactory":  # it imports torchaudio for audio, which no row here has
            (audio := Path(_site_packages(python)) / "torchaudio").mkdir()
            (audio / "__init__.py").write_text('__version__ = "0"\n')
        record.write_text(wanted)
    return python


def _site_packages(python: Path) -> str:
    line = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()


def consumer_rows(consumer: str, export: Path, model: Path, **changes: Any) -> list[dict[str, list[int]]]:
    """The rows that the consumer would train on, by its own loader, with the export's `train.yaml`."""
    folder = export.parent / f"{export.name}-{consumer}"
    folder.mkdir()
    config = yaml.safe_load((export / "train.yaml").read_text())
    name = {"llamafactory": "model_name_or_path", "axolotl": "base_model"}[consumer]
    (folder / "train.yaml").write_text(yaml.safe_dump({**config, name: str(model), **changes}))
    program = ROOT / f"tests/support/programs/{consumer}_rows.py"
    line = [str(environment(consumer)), str(program), "train.yaml", "rows.json"]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    variables |= {"AXOLOTL_DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "home")}
    done = subprocess.run(line, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stdout[-2000:] + done.stderr[-4000:])
        raise AssertionError(f"{consumer} exits with {done.returncode}")
    rows: list[dict[str, list[int]]] = json.loads((folder / "rows.json").read_text())
    return rows
