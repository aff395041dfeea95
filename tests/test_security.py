"""What is not trusted: texts of a config, files from outside, code that a model brings; and what is not told."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hostile import TEXTS, Key, one_source, placed, text_keys
from prunegrid.config import load
from prunegrid.errors import PrunegridError
from prunegrid.io import read_json
from results_folder import put
from snake import planned, snakemake
from tiny import TEMPLATE

SOURCE = {
    "hub": "org/name",
    "revision": "main",
    "path": "tiny",
    "wheel": {"package": "p", "version": "1", "sha256": "0" * 64, "file": "f.gguf"},
}
DATA = {"hub": "org/name", "config": "default", "split": "train", "revision": "main", "path": "rows.jsonl"}
FULL: dict[str, Any] = {
    "experiment": "toy",
    "note": "",
    "data_mirror": "mirror",
    "models": {"m": SOURCE | {"chat_template": "t", "reference": SOURCE | {"chat_template": "t"}}},
    "dataset": DATA | {"name": "d", "carry": ["kind"]},
    "budgets": [{"sample_ratio": 0.5, "token_ratio": 0.5}],
    "variants": [{"name": "v", "method": "qtuning", "options": {"neighbor_lambda": 0.5}}],
    "training": {"lora": {"target_modules": ["q_proj"]}},
    "evaluation": {"benchmarks": {"A": {"task": "arc_easy", "data": DATA}}},
}
KEYS = list(text_keys())
SMALL = one_source(FULL)


def accepted(key: Key, text: str) -> bool:
    """Whether the config may hold the text there; a refusal is a line that names the key."""
    try:
        load(placed(FULL, key, text))
    except PrunegridError as error:
        message = str(error)
        assert message.startswith("config.yaml: "), message
        return False
    return True


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Path) -> Path:
    """Where the files of `FULL` are; so deep that a path can climb out without leaving the test's own folder."""
    folder = tmp_path / "a/b/c"
    folder.mkdir(parents=True)
    rows = [{"prompt": f"What is {i} + 1?", "response": f"{i} + 1 = {i + 1}.", "kind": i} for i in range(9)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.copytree(tiny_model, folder / "tiny")
    return folder


@pytest.mark.parametrize("key", KEYS, ids=lambda key: ".".join(map(str, key)))
def test_a_text_is_refused_in_one_line_or_free(key: Key) -> None:
    """Every key that takes a text, a new one too: free, or a path that Snakemake reads, or a name."""
    load(one_source(FULL, key))
    refused = {name for name, text in TEXTS.items() if not accepted(key, text)}
    kind = [set(), {"newline", "braces"}, {"newline", "braces", "climbing"}, set(TEXTS)].index(refused)
    assert key[-1] not in ("config", "split") or kind == 2
    assert (key[-1] not in ("name", "*name", "hub", "package", "version") and key != ("experiment",)) or kind == 3


def everywhere(folder: Path, text: str) -> dict[str, Any]:
    """The text in every key that may hold it, and the files where their paths now say they are."""
    config = FULL
    for key in reversed(KEYS):  # of a text or a list of texts, the text is set last
        if accepted(key, text):
            config = placed(config, key, text, alone=False)
    config = one_source(config) | {"scoring": {"max_length": 200}}
    model, mirror = f"m {text}", f"mirror {text}"
    shutil.copytree(folder / "tiny", folder / model, dirs_exist_ok=True)
    template = TEMPLATE + "{# " + text + " #}"
    source = config["models"]["m"] | {"path": model, "chat_template": template}
    config["models"]["m"] = source | {"reference": source["reference"] | {"path": model, "chat_template": template}}
    (column,) = config["dataset"]["carry"]
    rows = (folder / "rows.jsonl").read_text().replace('"kind"', json.dumps(column))
    data = config["evaluation"]["benchmarks"]["A"]["data"]
    data["hub"] = data.pop("path") and "org/name"
    if config["data_mirror"] == text:
        config["data_mirror"] = mirror
        config["dataset"]["path"] = f"{text}.jsonl"
    item = {"id": "1", "question": "Why?", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "A"}
    put(folder / config["dataset"]["path"], rows)
    put(folder / config["data_mirror"] / data["hub"] / data["config"] / f"{data['split']}.jsonl", json.dumps(item))
    return config


ON_ONE_LINE = 'it\'s "q"; touch owned; $(touch owned) `touch owned` && touch owned'


@pytest.mark.slow
@pytest.mark.parametrize("text", [ON_ONE_LINE, TEXTS["newline"], TEXTS["braces"], TEXTS["climbing"]])
def test_a_free_text_changes_no_plan(folder: Path, text: str) -> None:
    plain = {"benchmark_items", "collect", "dataset", "evaluate", "figures", "model", "prune", "record", "score"}
    assert set(planned(folder, config=everywhere(folder, text))) == plain | {"gather_scores", "table", "train"}
    assert not list(folder.parents[2].rglob("owned"))


TARGETS = ["experiment.json", "data/d.parquet", "data/benchmarks/A.jsonl", "scores/m/meta.json"]


@pytest.mark.slow
def test_a_free_text_reaches_no_shell(folder: Path) -> None:
    """The jobs that use them run, and do what they do for harmless ones."""
    config = everywhere(folder, ON_ONE_LINE) | {"note": ON_ONE_LINE + "\n{x} {{y}}\ntouch owned"}
    done = snakemake(folder, "--cores", "2", *(f"results/toy/{target}" for target in TARGETS), config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    root = folder / "results/toy"
    assert read_json(root / "experiment.json")["note"] == config["note"]
    assert ON_ONE_LINE in pq.read_schema(root / "data/d.parquet").names
    assert read_json(root / "models/m.json")["source"]["trust_remote_code"] == ON_ONE_LINE
    assert read_json(root / "scores/m/meta.json")["samples"] == 9
    assert not list(folder.parents[2].rglob("owned"))


@pytest.mark.parametrize("text", ["it's", "$(touch owned)", "`touch owned`", "\\", "one\ntouch owned"])
def test_what_a_jobs_shell_would_read_is_refused_on_the_command_line(folder: Path, text: str) -> None:
    """Snakemake writes `--config` into the command of a cluster's job, quoted as Python quotes."""
    done = snakemake(folder, "-n", "--config", f"note={text}", config=SMALL)
    assert done.returncode == 1
    assert "which a job's shell would read; write such values into the file" in done.stdout + done.stderr
    assert not list(folder.parents[2].rglob("owned"))


def test_a_harmless_text_on_the_command_line(folder: Path) -> None:
    text = "two; touch owned && {x}"
    done = snakemake(folder, "--cores", "1", "results/toy/experiment.json", "--config", f'note="{text}"', config=SMALL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_json(folder / "results/toy/experiment.json")["note"] == text
    assert not list(folder.parents[2].rglob("owned"))
