"""The plan: which jobs there are, what they are said to take, and how a run's own times correct it."""

import copy
import json
import os
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

from prunegrid.core import files
from prunegrid.experiment import config, grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.evaluation import Benchmark
from prunegrid.models.architecture import Shape
from prunegrid.models.size import Size
from prunegrid.plan import counts, disk, gpu_rates
from prunegrid.plan.calibrate import calibrate, measured_seconds
from prunegrid.plan.jobs import Basis, PlannedJob, jobs, read_basis
from prunegrid.plan.report import report
from prunegrid.plan.workload import seconds
from prunegrid.scoring.writer import write_scores
from prunegrid.tasks.catalog import find_task
from support.conversations import conversations
from support.errors import refused
from support.plan_check import calibrated_by_all, estimate_by_default_rates
from support.results_folder import an_experiment, finish, put, shared_files
from support.snakemake_runs import DEFAULT, ROOT, planned

PAPER = config.load(yaml.safe_load((ROOT / "experiments/paper.yaml").read_text()))
TINY = Size(10_000, "known", Shape(10, 20, 10, 2, 100, tied=True))
TOKENS = counts.TokenCounts(640, 6400, 19_200, "known")


@pytest.fixture
def run(tmp_path: Path) -> tuple[Experiment, Path]:
    """A finished run: 2 seeds x 3 variants, full and zero-shot, 10 samples of 20 prompt and 30 response tokens."""
    experiment, root = an_experiment(), tmp_path / "results/tiny"
    shared_files(root, experiment)
    ids, prompts, responses = list(range(10)), [20] * 10, [30] * 10
    table = {"sample_id": ids, "prompt_tokens": prompts, "response_tokens": responses}
    files.write_parquet(root / "scores/m/samples.parquet", pa.table(table))
    for cell in grid.cells(experiment):
        finish(root, cell, 50.0, 60.0, experiment=experiment)
    put(root / "experiment.json", experiment.model_dump(mode="json"))
    return experiment, root


def write_benchmark(root: Path, job: PlannedJob, took: float) -> None:
    put(root / job.step.benchmark, json.dumps({"s": took, "max_rss": 700.0}) + "\n")


def trainings(experiment: Experiment, root: Path) -> list[PlannedJob]:
    """The training jobs, each with the steps that its report must tell to be counted."""
    actual = [job for job in jobs(read_basis(experiment, root)) if job.rule == "train"]
    for job in actual:
        report = root / layout.training(job.step.job)
        put(report, files.read_json(report) | {"steps": round(job.workload.steps)})
    return actual


def changed(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(DEFAULT) | changes


@pytest.mark.parametrize(
    "values",
    [
        changed(),
        changed(
            variants=["random+random", "ifd+rho1", {"d": {"method": "qtuning", "mode": "dynamic"}}],
            seeds=[0, 1],
            scoring={"shards": 3},
            references=["full", "shuffled-responses"],
        ),
    ],
    ids=["default", "extras-dynamic-shards"],
)
def test_jobs_are_those_of_snakemake(values: dict[str, Any], tmp_path: Path) -> None:
    actual = Counter(job.rule for job in jobs(read_basis(config.load(values), tmp_path)))
    assert actual == planned(tmp_path, config=values)


def test_jobs_of_the_papers_grid() -> None:
    """2 models x (3 budgets x 17 variants + full) = 104 trained cells, and 2 zero-shot ones."""
    actual = Counter(job.rule for job in jobs(read_basis(PAPER, Path("nowhere"), 70_000, 550)))
    assert (actual["train"], actual["evaluate"], actual["prune"], actual["score"]) == (104, 106, 102, 2)


def test_benchmark_size_of_a_new_task_is_assumed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else its KeyError would end the workflow, which asks for minutes (`needs`)."""
    known_one = counts.benchmark_size(an_experiment(), "A", tmp_path)
    task = find_task("harness", "arc_easy")
    del task.metadata["tokens"]
    monkeypatch.setattr(Benchmark, "find_task", lambda *_: task)
    added = counts.benchmark_size(an_experiment(), "A", tmp_path)
    assert added._asdict().items() >= counts.ITEM_TOKENS.items()
    assert added.items == known_one.items


def test_benchmark_size_is_counted_in_its_file_else_as_stated(tmp_path: Path) -> None:
    section = {"task": "arc_easy", "items": 77, "tokens": {"prompt": 11}, "data": {"path": str(tmp_path / "x.jsonl")}}
    values = an_experiment().model_dump(mode="json")
    values["evaluation"]["benchmarks"]["A"] = section
    stated = counts.benchmark_size(Experiment.model_validate(values), "A", tmp_path)
    assert (stated.items, stated.prompt, stated.options, stated.assumed) == (77, 11, 0, False)
    (tmp_path / "x.jsonl").write_text('{"question": "?"}\n' * 3)
    assert counts.benchmark_size(Experiment.model_validate(values), "A", tmp_path).items == 3


def test_repeats_multiply_the_items_that_are_asked(tmp_path: Path) -> None:
    values = an_experiment().model_dump(mode="json")
    section = {"task": "gsm8k", "items": 70, "limit": 20, "data": {"path": str(tmp_path / "x.jsonl")}}
    for repeats, items in ((1, 20), (4, 80)):
        values["evaluation"]["benchmarks"]["A"] = section | {"repeats": repeats, "gen_kwargs": {"temperature": 1}}
        assert counts.benchmark_size(Experiment.model_validate(values), "A", tmp_path).items == items


def test_jobs_are_done_if_their_files_exist(run: tuple[Experiment, Path]) -> None:
    experiment, root = run
    done = {job.step.log: job.done for job in jobs(read_basis(experiment, root))}
    assert done["logs/train/m/full/seed0.log"] and done["logs/evaluate/m/zero-shot.log"] and not done["logs/table.log"]
    (root / "evaluation/m/full/seed0/B.json").unlink()
    (root / "trained/m/full/seed1/model").rmdir()
    repeated = {job.step.log: job.done for job in jobs(read_basis(experiment, root))}
    assert {name for name, was in done.items() if was and not repeated[name]} == {
        "logs/evaluate/m/full/seed0.log",
        "logs/train/m/full/seed1.log",
    }


def test_jobs_with_deleted_weights_are_done(run: tuple[Experiment, Path]) -> None:
    """Until the cell must be evaluated again: then it must be trained again, too."""
    _, root = run
    (root / "trained/m/full/seed0/model").rmdir()
    scores = an_experiment(runtime={"retention": "scores"})
    assert {job.step.log: job.done for job in jobs(read_basis(scores, root))}["logs/train/m/full/seed0.log"]
    (root / "evaluation/m/full/seed0/B.parquet").unlink()
    assert not {job.step.log: job.done for job in jobs(read_basis(scores, root))}["logs/train/m/full/seed0.log"]


def test_count_tokens_reads_the_scores(run: tuple[Experiment, Path]) -> None:
    experiment, root = run
    tokens = counts.count_tokens(experiment, "m", root)
    assert (tokens.samples, tokens.prompt, tokens.response, tokens.counted) == (10, 200, 300, True)
    selection = root / "pruned/selection.parquet"
    files.write_parquet(selection, pa.table({"sample_id": [3, 4, 5]}))
    assert counts.selected_tokens(tokens, "random+ppl", 0.125, selection) == (60, 90)


def test_selected_tokens_of_longest_are_more() -> None:
    tokens = counts.TokenCounts(4, 40, 100, "known", True, {0: (10, 10), 1: (10, 20), 2: (10, 30), 3: (10, 40)})
    assert counts.selected_tokens(tokens, "longest+ppl", 0.5, Path("none")) == (20, 70)
    assert counts.selected_tokens(TOKENS, "longest+ppl", 0.25, Path("none")) == (1600, 9600)
    assert counts.selected_tokens(TOKENS, "random+ppl", 0.25, Path("none")) == (1600, 4800)


def test_conversations_are_samples_and_end_with_their_last_kept_answer(tmp_path: Path) -> None:
    rows = conversations([3, 1, 2])
    values = {name: np.ones(rows.response_offsets[-1], np.float32) for name in ("nll", "entropy")}
    write_scores(tmp_path / layout.scores("m"), rows, values, {})
    tokens = counts.count_tokens(an_experiment(), "m", tmp_path)
    assert (tokens.samples, tokens.total) == (3, rows.length_N.sum())
    lengths = rows.length_N.tolist()
    context, answers = tokens.selected([1, 20])  # the second answer of the first conversation, the first of the third
    assert context + answers == lengths[0] + lengths[1] + lengths[4]
    assert answers == rows.response_N[[1, 4]].sum()


def test_count_tokens_estimates_from_the_source_file(tmp_path: Path) -> None:
    """Of 16 and 40 characters, 4 a token; the mean of 14 tokens is within the cut-off."""
    source = tmp_path / "d.jsonl"
    source.write_text(3 * (json.dumps({"prompt": "p" * 16, "response": "r" * 40}) + "\n"))
    experiment = an_experiment(dataset={"name": "world", "path": str(source), "max_samples": 2})
    tokens = counts.count_tokens(experiment, "m", tmp_path)
    assert (tokens.samples, tokens.prompt, tokens.response, tokens.counted) == (2, 8, 20, False)


def test_count_tokens_of_absent_data_must_be_stated(tmp_path: Path) -> None:
    with refused("dataset.hub", PAPER.dataset.hub, fix="--samples N --tokens-per-sample T"):
        read_basis(PAPER, tmp_path)
    tokens = counts.count_tokens(PAPER, "LLaMA2-7B", tmp_path, 1000, 400)
    assert (tokens.total, tokens.response) == (400_000, 300_000)
    assert counts.count_tokens(PAPER, "LLaMA2-7B", tmp_path, 10, 5000).total == 10 * 2048, "the cut-off"


def test_benchmark_size_of_known_data_needs_no_file(tmp_path: Path) -> None:
    actual = {name: counts.benchmark_size(PAPER, name, tmp_path).items for name in PAPER.evaluation.benchmarks}
    assert actual == {"ARC-E": 567, "ARC-C": 295, "GSM8K": 1319, "SQuAD": 11_873, "TriviaQA": 17_944}
    put(tmp_path / "data/benchmarks/GSM8K.jsonl", 7 * "{}\n")
    assert counts.benchmark_size(PAPER, "GSM8K", tmp_path).items == 7


def test_calibrate_without_benchmark_files_has_no_factors(run: tuple[Experiment, Path]) -> None:
    level = calibrate(run[1], jobs(read_basis(*run)), "cpu")
    assert level.factors == {}


def test_calibrate_sees_a_slow_run_and_ignores_a_stalled_job(run: tuple[Experiment, Path]) -> None:
    """Seven of the eight trainings take twice the default seconds, one, stalled, forty times: the factor is 2."""
    actual = trainings(*run)
    assert len(actual) == 8
    for number, job in enumerate(actual):
        write_benchmark(run[1], job, (40 if number == 3 else 2) * seconds(job.rule, job.workload, "cpu"))
    level = calibrate(run[1], actual, "cpu")
    assert level.factors == {"train": pytest.approx(2)}
    assert level.files == {"train": 8}


def test_calibrate_counts_a_lasting_load_in_proportion(run: tuple[Experiment, Path]) -> None:
    """Half as long again in half of the jobs, of nearly equal work: 1.25, within the promise of 30 %."""
    for number, job in enumerate(actual := trainings(*run)):
        write_benchmark(run[1], job, (1.5 if number % 2 else 1) * seconds(job.rule, job.workload, "cpu"))
    assert calibrate(run[1], actual, "cpu").factors["train"] == pytest.approx(1.25, abs=0.05)
    predicted, took = calibrated_by_all(*run)
    assert predicted == pytest.approx(took)
    assert estimate_by_default_rates(*run)[0] / took == pytest.approx(1 / 1.25, abs=0.05)


@pytest.mark.parametrize("told", [{"steps": 99}, {"resumed": [7]}], ids=["other settings", "resumed"])
def test_calibrate_ignores_other_settings_and_partial_jobs(told: dict[str, Any], run: tuple[Experiment, Path]) -> None:
    job = trainings(*run)[0]
    write_benchmark(run[1], job, 50.0)
    assert measured_seconds(run[1], job) == 50.0
    file = run[1] / layout.training(job.step.job)
    put(file, files.read_json(file) | told)
    assert measured_seconds(run[1], job) is None


def paper_basis(experiment: Experiment) -> Basis:
    return read_basis(experiment, Path("nowhere"), 70_000, 550)


def test_disk_of_104_cells_of_seven_billion() -> None:
    """Adapters of 2 bytes x about 20 million and a tokenizer of 4 MB; 52 x 2 x (6.74 + 7.24) GB as whole models."""
    actual = paper_basis(PAPER)
    kept = {retention: disk.retained_weight_bytes(actual, retention) for retention in disk.RETENTIONS}
    assert kept["all"] == kept["adapters"] == pytest.approx(104 * (2 * 20.2e6 + 4e6), rel=0.05)
    assert kept["scores"] == 0
    assert disk.whole_model_bytes(PAPER, actual) == 52 * 2 * (6_738_415_616 + 7_241_732_096)
    whole = paper_basis(PAPER.model_copy(update={"training": PAPER.training.model_copy(update={"method": "full"})}))
    assert (
        disk.retained_weight_bytes(whole, "all") == disk.whole_model_bytes(PAPER, actual) + 104 * disk.TOKENIZER_BYTES
    )
    assert disk.retained_weight_bytes(whole, "adapters") == 0
    assert disk.checkpoint_bytes(whole) == 3 * 14 * 7_241_732_096, "Adam 8, master 4, weights 2 bytes a parameter"


def test_gpu_rates_file_is_read_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All weights of a 7B fit no card: where they were not measured, LoRA's rate stands for them."""
    models = [{"parameters": 7 * 10**9, "forward": 5e14, "lora": 4e14, "float32": 6e13}]
    rest = {"layer_s": 5e-4, "step_s": 0.02, "decode_bytes_s": 1e12, "start_s": 7.0}
    put(tmp_path / "gpu_rates.json", {"source": "measured on a card", "models": models, **rest})
    monkeypatch.setattr(gpu_rates, "FILE", tmp_path / "gpu_rates.json")
    gpu_rates.gpu_rates.cache_clear()
    try:
        assert gpu_rates.measured()
        assert gpu_rates.gpu_rates().operations("full", 10**9, bf16=True) == 4e14
        assert "measured on a card; 7.0e9 parameters: 5.0e14 operations a second forward" in report(paper_basis(PAPER))
    finally:
        gpu_rates.gpu_rates.cache_clear()


def test_report_names_assumptions() -> None:
    llama = PAPER.models["LLaMA2-7B"].model_copy(update={"parameters": None})
    text = report(paper_basis(PAPER.model_copy(update={"models": {"LLaMA2-7B": llama}})))
    assert "7,000,000,000 parameters (assumed; give models.LLaMA2-7B.parameters)" in text
    assert "70,000 samples, 38,500,000 tokens (stated)" in text
    assert "estimated, not measured: an H100 at its limits" in text


def test_report_parts_sum_to_the_total() -> None:
    lines = report(paper_basis(PAPER)).splitlines()
    totals = [line.split()[:3] for line in lines if line.startswith("total")]
    assert totals == [["total", "329", "0"]] * 2
    parts = [line.split() for line in lines if line.startswith(("s0.", "zero-shot", "full", "shared"))]
    assert sum(int(next(word for word in line if word.isdigit())) for line in parts) == 329


def plan(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "importtime", "-m", "prunegrid.cli", "plan", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=os.environ, check=False)


def test_plan_command_imports_nothing_heavy() -> None:
    done = plan("experiments/paper.yaml", "--samples", "70000", "--tokens-per-sample", "550")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "106 are evaluated on 5 benchmarks each" in done.stdout
    assert not [
        line for line in done.stderr.splitlines() if line.split("|")[-1].strip() in ("torch", "pandas", "transformers")
    ]


@pytest.mark.parametrize(
    ("name", "evaluations", "items"),
    [
        ("paper_v2", "208 are evaluated on 5 benchmarks", "GSM8K 1,319"),
        ("paper_math", "159 are evaluated on 2 benchmarks", "GSM8K 1,319, MATH 5,000"),
        ("paper_openhermes", "104 are evaluated on 5 benchmarks", "GSM8K 1,319"),
    ],
)
def test_plan_command_counts_the_v2_experiments(name: str, evaluations: str, items: str) -> None:
    done = plan(f"experiments/{name}.yaml", "--samples", "1000", "--tokens-per-sample", "100")
    assert done.returncode == 0, done.stderr[-2000:]
    assert evaluations in done.stdout
    assert items in done.stdout
    assert "assumed; give models" not in done.stdout


def test_plan_command_takes_a_results_folder(run: tuple[Experiment, Path]) -> None:
    done = plan(str(run[1]))
    assert done.returncode == 0, done.stderr[-2000:]
    assert "counted in" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["experiments/paper.yaml"], "give --samples N"),
        (["experiments/paper.yaml", "--samples", "5"], "give both or neither"),
        (["experiments/none.yaml"], "cannot be read"),
        (["tests"], "has no experiment.json"),
    ],
)
def test_plan_command_refuses(arguments: list[str], message: str) -> None:
    done = plan(*arguments)
    assert done.returncode == 1
    assert message in done.stderr


def test_docs_show_the_report() -> None:
    page = (ROOT / "docs/how-to/plan.md").read_text()
    assert textwrap.indent(report(paper_basis(PAPER)), "    ") in page
