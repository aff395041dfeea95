"""A very small sandbox experiment, run once undisturbed, and copies of its folder for misfortunes to befall."""

import ast
import copy
import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest
import yaml

from prunegrid.experiment.layout import EVALUATION_CACHE
from support.snakemake_runs import DEFAULT, command, environment

FAULTY = Path(__file__).parent / "faulty"

R = "results/faulty"
TARGETS = ("all", "audit", "published")
NUMBERS = ["variant", "benchmark", "score", "delta", "realised_sample_ratio", "realised_token_ratio", "status"]

CONFIG: dict[str, Any] = copy.deepcopy(DEFAULT)
CONFIG |= {"experiment": "faulty", "references": ["zero-shot"]}
CONFIG["variants"] = [
    "random+random",
    {"judged": {"method": "diverse+ppl", "score": "quality"}},  # reads a vector and an imported column
    {"dynamic": {"method": "qtuning", "mode": "dynamic"}},
]
CONFIG["models"] = {"m": {"pretrain": {"seed": 0, "steps": 4, "hidden_size": 32, "layers": 2}}}
CONFIG["dataset"]["max_samples"] = 48
CONFIG["query"] = {"name": "questions", "hub": "sandbox/gsm8k", "config": "main", "split": "train", "max_samples": 4}
CONFIG["scores"] = {"quality": {"file": "judge.jsonl", "id": "row"}}
CONFIG["contamination"] = True
CONFIG["scoring"] |= {"max_length": 128, "shards": 2}
CONFIG["training"] |= {"num_train_epochs": 1, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1}
CONFIG["runtime"] = {"save_steps": 1, "report_to": []}
CONFIG["evaluation"]["benchmarks"] = {
    name: CONFIG["evaluation"]["benchmarks"][name] | {"limit": 4} for name in ("ARC-E", "ARC-C")
}


class Run(NamedTuple):
    """What a Snakemake run came to. `ran`: how many jobs of each rule it finished."""

    code: int
    text: str

    @property
    def messages(self) -> dict[str, str]:
        """The line of each step that failed, by its log."""
        lines = re.findall(r"^prunegrid: ((\S+?)(?::| ).*?)(?: \(log: (.*)\))?$", self.text, re.MULTILINE)
        return {log or first: message for message, first, log in lines if first != "a"}

    @property
    def job_counts(self) -> dict[str, int]:
        return _counts(self.text)


def _counts(text: str) -> dict[str, int]:
    stats = text.partition("Job stats:")[2].partition("\n\n")[0]
    jobs = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", stats, re.MULTILINE)}
    return {name: count for name, count in jobs.items() if name not in ("all", "total")}


def run(folder: Path, *arguments: str, cores: int = 2, **faulty: Any) -> Run:
    """The real Snakemake on the copy. `faulty`: warm, keep, jobs (see tests/support/faulty/sitecustomize.py)."""
    line = command(folder, "--cores", str(cores), "--notemp", *arguments)
    done = subprocess.run(line, capture_output=True, text=True, env=faulty_environment(**faulty), check=False)
    return Run(done.returncode, done.stdout + done.stderr)


def faulty_environment(**faulty: Any) -> dict[str, str]:
    variables = environment()
    variables["PYTHONPATH"] = os.pathsep.join([str(FAULTY), *filter(None, [variables.get("PYTHONPATH")])])
    for name, value in faulty.items():
        variables[f"FAULTY_{name.upper()}"] = json.dumps(value) if name == "jobs" else str(value)
    return variables


def digest(folder: Path) -> str:
    """Of the numbers of `results.parquet`."""
    rows = pq.read_table(folder / R / "results.parquet", columns=NUMBERS).to_pylist()
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


class Captured(NamedTuple):
    """A job of the undisturbed run as Snakemake started it: the very script, with what was unpickled into it."""

    script: Path
    rule: str
    inputs: list[str]
    outputs: list[str]
    log: str
    wildcards: dict[str, str]


def captured_jobs(folder: Path) -> list[Captured]:
    return [_captured(script) for script in sorted(folder.glob("*.py"))]


def _captured(script: Path) -> Captured:
    (line,) = [line for line in script.read_text().splitlines() if "pickle.loads(" in line]
    dumped = re.search(r"pickle\.loads\((b.*?)\);from", line)
    assert dumped
    job = pickle.loads(ast.literal_eval(dumped[1]))
    return Captured(script, job.rule, [*job.input], [*job.output], job.log[0], dict(job.wildcards.items()))


GROUPS = (
    ("table", "figures", "report"),
    ("collect", "query_score"),
    ("prune", "train", "audit"),
    ("extra_score", "vector_score", "imported_column", "train_dynamic"),
    ("gather_scores", "contamination"),
    ("score", "evaluate"),
    ("dataset", "benchmark_items", "model"),
    ("world", "world_option", "record", "published"),
)
"""Rules none of which needs another of its group: one run disturbs all of a group. What is made last comes first."""

RULES = [rule for group in GROUPS for rule in group]
SHARD_RULES = ("choose", "cut", "gather_selection")  # in place of `prune`, where `pruning.shards` says so
FIRST = {"model": "m", "cell": "s0.125-t0.5/random+random/seed0", "scatteritem": "1-of-2", "benchmark": "ARC-E"}
FIRST |= {"column": "quality", "part": "00001-of-00002"}
FIRST_OF = {
    **{rule: {"cell": "s0.125-t0.5/judged/seed0"} for rule in ("prune", *SHARD_RULES)},
    "extra_score": {"extra": "ifd"},
    "train_dynamic": {"cell": "s0.125-t0.5/dynamic/seed0"},
    "evaluate": {"cell": "zero-shot"},
}


def disturbed_jobs(jobs: list[Captured]) -> dict[str, Captured]:
    """The job of each rule that misfortunes befall."""
    return {job.rule: job for job in jobs if _is_first(job)}


def _is_first(job: Captured) -> bool:
    wanted = FIRST | FIRST_OF.get(job.rule, {})
    return all(wanted.get(name, value) == value for name, value in job.wildcards.items())


def replay(job: Captured, folder: Path, **faulty: Any) -> Run:
    """The job's own script once more in a copy of the folder, without Snakemake."""
    line = [sys.executable, str(job.script)]
    done = subprocess.run(
        line, capture_output=True, text=True, env=faulty_environment(**faulty), cwd=folder, check=False
    )
    return Run(done.returncode, done.stdout + done.stderr)


def descendants(jobs: list[Captured], of: list[str]) -> dict[str, int]:
    """How many jobs of each rule make the files `of`, or anything that is made of them."""
    made, actual = set(of), set()
    while more := {n for n, job in enumerate(jobs) if made & {*job.inputs, *job.outputs}} - actual:
        consumers = {n for n in more if made & set(jobs[n].inputs) or set(of) & set(jobs[n].outputs)}
        if not consumers:
            break
        actual |= consumers
        made |= {name for n in consumers for name in jobs[n].outputs}
    return dict(Counter(jobs[n].rule for n in actual))


def remove_files(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def copy_run(source: Path, to: Path) -> Path:
    """With times and Snakemake's own records: nothing is to be done there."""
    subprocess.run(["cp", "-a", str(source), str(to)], check=True)
    return to


def files_of(folder: Path, inputs: list[str]) -> list[str]:
    """The files that the inputs come to: of a model's folder its own."""
    actual: list[str] = []
    for name in inputs:
        path = folder / name
        inner = (
            sorted(str(file.relative_to(folder)) for file in path.iterdir() if file.is_file()) if path.is_dir() else []
        )
        actual += inner or [name]
    return [name for name in actual if not Path(name).name.startswith(".snakemake")]


class Whole(NamedTuple):
    """The undisturbed run."""

    folder: Path
    jobs: list[Captured]
    warm: Path
    digest: str

    @property
    def jobs_by_rule(self) -> dict[str, Captured]:
        return disturbed_jobs(self.jobs)


@contextmanager
def warm_workflows(socket: Path) -> Iterator[None]:
    """Workflows that start in the block have their jobs run by the server of this socket."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in faulty_environment(warm=socket).items():
            patch.setenv(name, value)
        yield


def undisturbed(folder: Path, kept: Path, warm: Path) -> Whole:
    """The experiment from nothing. `warm`: the socket of a server of warm jobs."""
    (folder / "experiment.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False))
    judged = [{"row": row, "quality": row % 7} for row in range(2000)]  # as many as the world has
    (folder / "judge.jsonl").write_text("".join(json.dumps(score) + "\n" for score in judged))
    done = run(folder, *TARGETS, warm=warm, keep=kept)
    assert done.code == 0, done.text[-6000:]
    return Whole(folder, captured_jobs(kept), warm, digest(folder))


@contextmanager
def on_a_small_disk(source: Path, scratch: Path) -> Iterator[Path]:
    """A copy whose results have a disk of their own, which can be filled; where mounting is refused, a plain copy."""
    folder = scratch / "run"
    (folder / "results").mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder / "results"]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    subprocess.run(["cp", "-a", f"{source}/.", folder], check=True)
    yield folder
    if mounted:
        subprocess.run(["umount", "--lazy", folder / "results"], check=True)


@contextmanager
def disk_full(folder: Path) -> Iterator[None]:
    """To its last page."""
    filler = folder / "results/filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while file.write(b"x" * size) == size:
                    pass
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def outputs_removed(folder: Path, job: Captured, source: Path) -> Iterator[None]:
    """The job's outputs are not there, nor what an evaluation keeps to go on from."""
    cache = [str(Path(job.outputs[0]).parent / EVALUATION_CACHE)] if job.rule == "evaluate" else []
    remove_files(folder, [*job.outputs, *cache])
    try:
        yield
    finally:
        restore([*job.outputs, *cache], source, folder)


def restore(names: list[str], source: Path, folder: Path) -> None:
    for name in names:
        if not (folder / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-a", source / name, folder / name], check=True)


def targets(jobs: list[Captured]) -> list[str]:
    return [next(name for name in job.outputs if Path(name).suffix) for job in jobs]


def output(job: Captured, name: str) -> str:
    return next(each for each in job.outputs if Path(each).name == name)


def script(job: Captured) -> str:
    return job.script.suffixes[-2].removeprefix(".")


def kill_plan(jobs: list[Captured]) -> dict[str, list[Any]]:
    """Of a training job a rank, at its second checkpoint; of an evaluation, when the first benchmark starts."""
    extras = ("extra_score", "vector_score", "imported_column")
    one_file = ("record", "report", "world_option", "benchmark_items", "contamination", *extras, *SHARD_RULES)
    ours = dict.fromkeys(one_file, 1) | {"evaluate": 5, "query_score": 3}
    scripts = {script(job): ours.get(job.rule, 2) for job in jobs}
    ranks = {"worker": ["killed", 2, ".saving"]} if scripts.pop("train", None) else {}
    return {name: ["killed", number] for name, number in scripts.items()} | ranks


def files(folder: Path) -> set[str]:
    """All that is below the results, but what a run may leave: logs, times, and what a rerun goes on from."""
    left_out = {"logs", "benchmarks", "checkpoints", EVALUATION_CACHE, "filler", ".snakemake_timestamp"}
    actual = [path.relative_to(folder) for path in (folder / "results").rglob("*") if not path.is_dir()]
    return {str(path) for path in actual if not left_out & set(path.parts)}
