"""Texts of a config and files from outside run no code; what a model brings is in test_model_code.py."""

import ast
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_json
from prunegrid.data.rows import stream_rows
from prunegrid.experiment.config import load
from prunegrid.experiment.dataset import DataRef
from prunegrid.experiment.model import Source
from support.errors import refused
from support.hostile_texts import TEXTS, Key, keep_one_source, placed, text_keys
from support.results_folder import put
from support.snakemake_runs import CORES, ROOT, planned, snakemake
from support.tiny_llama import TEMPLATE

SOURCE = {
    "hub": "org/name",
    "revision": "main",
    "path": "tiny",
    "wheel": {"package": "p", "version": "1", "sha256": "0" * 64, "file": "f.gguf"},
}
DATA = {"hub": "org/name", "config": "default", "split": "train", "revision": "main", "path": "rows.jsonl"}
TEMPLATES = {"chat_template": "t", "chat_template_kwargs": {"k": "v"}}
FULL: dict[str, Any] = {
    "experiment": "toy",
    "note": "",
    "data_mirror": "mirror",
    "models": {"m": SOURCE | TEMPLATES | {"reference": SOURCE | TEMPLATES}},
    "dataset": DATA | {"name": "d", "carry": ["kind"], "fields": {"system": "s"}, "ignore": ["i"]},
    "budgets": [{"sample_ratio": 0.5, "token_ratio": 0.5}],
    "variants": [{"name": "v", "method": "qtuning", "options": {"neighbor_lambda": 0.5}}],
    "training": {"lora": {"target_modules": ["q_proj"]}},
    "evaluation": {"benchmarks": {"A": {"task": "arc_easy", "data": DATA}}},
}
KEYS = list(text_keys())
SMALL = keep_one_source(FULL)
ITEM = {"data": DATA, "prompt": "{{ question }}", "answer": "{{ answer }}", "cluster": []}
OTHER_BENCHMARKS: dict[str, dict[str, Any]] = {
    "gen_kwargs": {"task": "gsm8k", "data": DATA, "gen_kwargs": {"until": []}},
    "examples": {"task": "gsm8k", "data": DATA, "examples": {"data": DATA, "rows": [0]}},
    "choices": ITEM | {"kind": "choice", "metric": "acc", "choices": ["a", "b"]},
    "labels": ITEM | {"kind": "choice", "metric": "acc", "choices": ["a", "b"], "labels": ["A", "B"]},
    **dict.fromkeys(
        ("prompt", "answer", "stop", "cluster", "extract"),
        ITEM | {"kind": "generate", "metric": "exact_match", "stop": []},
    ),
}

LADDER: dict[str, Any] = {
    "gap": ["a", "b"],
    "rows": {"a": {"method": "qtuning"}, "b": {"method": "random+random"}},
    "differences": {
        "d": {"label": "D", "base": "e", "rows": {"a": {"neighbor_lambda": 0.0}}},
        "e": {"label": "E", "rows": {"b": {"removal": "drop"}}},
    },
    "columns": {"c": {"label": "C", "columns": {"A": "B"}}},
}


def full(key: Key) -> dict[str, Any]:
    """`FULL`, or where that cannot hold the key a config that can."""
    if key[0] == "contrasts":
        contrast = {"variants": ["v"], "against": "w", "benchmarks": ["A"], "models": ["m"]}
        return FULL | {
            "variants": [*FULL["variants"], {"name": "w", "method": "random+random"}],
            "contrasts": {"c": contrast},
        }
    if key[0] == "ladder":
        benchmark = FULL["evaluation"]["benchmarks"]["A"]
        return FULL | {"ladder": LADDER, "evaluation": {"benchmarks": {"A": benchmark, "B": benchmark}}}
    if key[:3] == ("variants", 0, "training"):
        return FULL | {"variants": [FULL["variants"][0] | {"training": {"optim": "sgd"}}]}
    if key[0] == "query":
        return FULL | {"query": FULL["dataset"] | {"name": "q", "sha256": "0" * 64}}
    if key[0] == "scores":
        id_of = {"row": "i"} if len(key) > 3 else "i"
        return FULL | {"scores": {"s": {"file": "s.parquet", "column": "c", "id": id_of, "source": "x"}}}
    if key[:2] == ("scoring", "extra"):
        return FULL | {"scoring": {"extra": ["hidden_mean"]}}
    if key[:2] == ("evaluation", "tasks"):
        return FULL | {"evaluation": FULL["evaluation"] | {"tasks": []}}
    if key[:2] == ("evaluation", "benchmarks") and key[-1] != "*name" and key[3] in OTHER_BENCHMARKS:
        return FULL | {"evaluation": {"benchmarks": {"A": OTHER_BENCHMARKS[str(key[3])]}}}
    return FULL


def accepted(key: Key, text: str) -> bool:
    """Whether the config may hold the text there; a refusal is a line that names the key."""
    try:
        load(placed(full(key), key, text))
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
    load(keep_one_source(full(key), key))
    refused = {name for name, text in TEXTS.items() if not accepted(key, text)}
    if key[-1] == "extract":
        refused -= {"spaces"}  # bare words are a misspelt name, not a regular expression
    kind = [set(), {"newline", "braces"}, {"newline", "braces", "climbing"}, set(TEXTS)].index(refused)
    assert key[-1] not in ("config", "split") or kind == 2
    if key[-2:] == ("id", "*name"):
        return  # what the user's file calls its id, as free as the text of a column
    assert (key[-1] not in ("name", "*name", "hub", "package", "version") and key != ("experiment",)) or kind == 3


def everywhere(folder: Path, text: str) -> dict[str, Any]:
    """The text in every key that may hold it, and the files where their paths now say they are."""
    config = FULL
    for key in reversed([key for key in KEYS if full(key) is FULL]):  # of a text or texts, the text is set last
        if accepted(key, text):
            config = placed(config, key, text, alone=False)
    config = keep_one_source(config) | {"scoring": {"max_length": 200}}
    model, mirror = f"m {text}", f"mirror {text}"
    shutil.copytree(folder / "tiny", folder / model, dirs_exist_ok=True)
    template = TEMPLATE + "{# k " + text + " #}"  # k: a variable of `TEMPLATES`
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
    plain = {
        "benchmark_items",
        "collect",
        "dataset",
        "evaluate",
        "figures",
        "model",
        "prune",
        "record",
        "report",
        "score",
    }
    assert set(planned(folder, config=everywhere(folder, text))) == plain | {"gather_scores", "table", "train"}
    assert not list(folder.parents[2].rglob("owned"))


TARGETS = ["experiment.json", "data/d.parquet", "data/benchmarks/A.jsonl", "scores/m/meta.json"]


@pytest.mark.slow
def test_a_free_text_reaches_no_shell(folder: Path) -> None:
    """The jobs that use them run, and do what they do for harmless ones."""
    note = ON_ONE_LINE + "\n{x} {{y}}\ntouch owned"
    config = everywhere(folder, ON_ONE_LINE) | {"note": note, "training": FULL["training"]}  # modules must be real
    done = snakemake(folder, "--cores", CORES, *(f"results/toy/{target}" for target in TARGETS), config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    root = folder / "results/toy"
    assert read_json(root / "experiment.json")["note"] == config["note"]
    assert ON_ONE_LINE in pq.read_schema(root / "data/d.parquet").names
    assert read_json(root / "models/m.json")["source"]["trust_remote_code"] == ON_ONE_LINE
    assert read_json(root / "scores/m/meta.json")["samples"] == 9
    assert not list(folder.parents[2].rglob("owned"))


@pytest.mark.parametrize("text", ["it's", "$(touch owned)", "`touch owned`", "\\", "one\ntouch owned"])
def test_command_line_refuses_what_a_jobs_shell_reads(folder: Path, text: str) -> None:
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


DANGEROUS = {
    "eval", "exec", "compile", "os.system", "os.popen", "__import__", "pickle.load", "pickle.loads", "torch.load",
    "joblib.load", "marshal.loads", "shelve.open", "yaml.unsafe_load", "yaml.full_load",
    "pd.read_pickle", "dill.load", "dill.loads",
}  # fmt: skip


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


SOURCES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "workflow").rglob("*.py")])


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_nothing_is_unpickled_evaluated_or_given_to_a_shell(path: Path) -> None:
    for name, call in calls(ast.parse(path.read_text())):
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert name not in DANGEROUS, f"{path}:{call.lineno}: {name}"
        assert keywords.get("shell") != "True" and keywords.get("allow_pickle") != "True", f"{path}:{call.lineno}"
        assert keywords.get("trust_remote_code") != "True", f"{path}:{call.lineno}"
        if name == "yaml.load":
            assert keywords["Loader"].startswith(("_loader(", "loader")), f"{path}:{call.lineno}"  # a SafeLoader
        if name.endswith(".from_pretrained") and "gguf_file" not in keywords and "Peft" not in name:
            assert keywords["trust_remote_code"].startswith("may_run_code("), f"{path}:{call.lineno}"
        if name in ("load_dataset", "snapshot_download"):
            assert "revision" in keywords, f"{path}:{call.lineno}"


def test_rules_run_scripts_not_shells() -> None:
    for path in [ROOT / "workflow/Snakefile", *(ROOT / "workflow/rules").glob("*.smk")]:
        assert not re.search(r"^\s*(shell|run):|\bshell\(", path.read_text(), re.MULTILINE), path


def test_data_of_another_hash_is_not_read(folder: Path) -> None:
    rows = folder / "rows.jsonl"
    digest = hashlib.sha256(rows.read_bytes()).hexdigest()
    assert len(list(stream_rows(DataRef(path=str(rows), sha256=digest), str(rows)))) == 9
    rows.write_text(rows.read_text().replace("What", "Who"))
    with refused(rows, digest, fix="fetch it again"):
        next(stream_rows(DataRef(path=str(rows), sha256=digest), str(rows)))
    with refused("org/name", "sha256", fix="pin revision"):
        next(stream_rows(DataRef(hub="org/name", sha256=digest), None))


def test_keys_that_are_not_used_leave_old_results_valid() -> None:
    source, data = Source(path="m").model_dump(), DataRef(path="d").model_dump()
    assert "trust_remote_code" not in source and "sha256" not in data
