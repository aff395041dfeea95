"""Output folders that lm-eval itself writes: its dummy model, asked two tasks of local items."""

import json
import os
from pathlib import Path
from typing import Any

import yaml

CHOICE, GENERATE = "tiny_choice", "tiny_generate"


def write_logs(folder: Path, names: tuple[str, ...] = ("a", "b")) -> dict[str, Path]:
    """A folder for each name, as `lm_eval --log_samples --output_path` writes it.

    Each has logs of `tiny_choice` (30 items in 10 topics; acc and acc_norm, at random) and `tiny_generate` (20 items;
    exact_match under the filters strict, where none is right, and loose, where every second one is).
    """
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    tasks = TaskManager(include_path=str(_write_tasks(folder / "tasks")), include_defaults=False)
    for seed, name in enumerate(names):
        tracker = EvaluationTracker(output_path=str(folder / name))
        results: Any = simple_evaluate(
            model="dummy",
            tasks=[CHOICE, GENERATE],
            task_manager=tasks,
            log_samples=True,
            bootstrap_iters=0,
            random_seed=seed + 1,
        )
        samples = results.pop("samples")
        tracker.save_results_aggregated(results=results, samples=samples)
        for task in samples:
            tracker.save_results_samples(task_name=task, samples=samples[task])
    return {name: folder / name for name in names}


def log_of(folder: Path, task: str) -> Path:
    (file,) = folder.rglob(f"samples_{task}_*.jsonl")
    return file


def _write_tasks(folder: Path) -> Path:
    folder.mkdir(parents=True)
    choices = [
        {"q": f"Question {i}?", "choices": ["yes", "no"], "gold": i % 2, "about": {"topic": i // 3}} for i in range(30)
    ]
    texts = [{"q": f"Say {i}.", "a": "lol" if i % 2 else str(i)} for i in range(20)]
    for name, rows in {"choices": choices, "texts": texts}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    regex = {"function": "regex", "regex_pattern": r"(\d+)"}
    first = {"function": "take_first"}
    _write_task(
        folder,
        CHOICE,
        "choices",
        output_type="multiple_choice",
        doc_to_target="gold",
        doc_to_choice="choices",
        metric_list=[{"metric": "acc"}, {"metric": "acc_norm"}],
    )
    _write_task(
        folder,
        GENERATE,
        "texts",
        output_type="generate_until",
        doc_to_target="{{a}}",
        generation_kwargs={"until": ["\n"]},
        metric_list=[{"metric": "exact_match"}],
        filter_list=[{"name": "strict", "filter": [regex, first]}, {"name": "loose", "filter": [first]}],
    )
    return folder


def _write_task(folder: Path, name: str, rows: str, **values: Any) -> None:
    config = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / f"{rows}.jsonl")}},
        "test_split": "test",
        "doc_to_text": "{{q}}",
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(config | values))
