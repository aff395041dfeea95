"""A finished results folder in seconds: data, base model, scores, selections, items and table by the real steps.

Only training is imitated: a model's weights are those of the base with a little noise, and its report is as a training
of two epochs writes it. So nothing but what training itself does is not real.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from prunegrid import __version__
from prunegrid.core import file_sums, files
from prunegrid.data.datasets import write_benchmark, write_dataset
from prunegrid.evaluation.evaluate import evaluate
from prunegrid.experiment import config, grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell
from prunegrid.models import expected_digests, file_sizes, materialise, weights_digest
from prunegrid.scoring.score import score
from prunegrid.selection.prune import prune
from prunegrid.table.build import build
from support.tiny_llama import write_tiny_model
from support.toy_tasks import ITEMS, write_jsonl

BENCHMARKS = {"A": "arc_easy", "T": "triviaqa"}
EPOCHS = 2
RANDOM, PPL = "m/s0.5-t0.5/random+random/seed0", "m/s0.5-t0.5/random+ppl/seed0"


def an_experiment(home: Path) -> Experiment:
    sources = {name: str(home / f"{task}.jsonl") for name, task in BENCHMARKS.items()}
    values = {
        "experiment": "whole",
        "models": {"m": {"path": str(home / "model")}},
        "dataset": {"name": "d", "path": str(home / "rows.jsonl")},
        "budgets": [{"sample_ratio": 0.5, "token_ratio": 0.5}],
        "variants": ["random+random", "random+ppl"],
        "references": ["zero-shot", "full"],
        "seeds": [0],
        "scoring": {"max_length": 200},
        "training": {"num_train_epochs": EPOCHS, "method": "full"},
        "evaluation": {
            "benchmarks": {name: {"task": task, "data": {"path": sources[name]}} for name, task in BENCHMARKS.items()}
        },
    }
    return config.load(values)


def write_finished(home: Path) -> Path:
    """`home` gets the sources and, in `results/whole`, all that a finished run leaves; return that folder."""
    root = home / "results/whole"
    write_tiny_model(home / "model")
    words = ["milk", "water", "fish and milk", "cats"]
    rows = [{"prompt": f"What do {i} cats drink?", "response": f"{i} cats drink {words[i % 4]}."} for i in range(24)]
    write_jsonl(home / "rows.jsonl", rows)
    for task in BENCHMARKS.values():
        write_jsonl(home / f"{task}.jsonl", ITEMS[task])
    experiment = an_experiment(home)
    files.write_json(root / layout.EXPERIMENT, experiment.model_dump(mode="json"))
    _make_shared(root, experiment)
    for cell in grid.cells(experiment):
        make_cell(root, experiment, cell)
    build(root)
    return root


def _make_shared(root: Path, experiment: Experiment) -> None:
    data = root / layout.dataset("d")
    write_dataset(experiment.dataset, experiment.dataset.path, data, root / layout.dataset_counts("d"))
    for name, benchmark in experiment.evaluation.benchmarks.items():
        assert benchmark.data
        write_benchmark(benchmark.data, benchmark.data.path, root / layout.benchmark_items(name))
    model, manifest = root / layout.base_model("m"), root / layout.manifest("m")
    materialise("m", experiment.sources["m"], model, manifest)
    score(model, data, root / layout.scores("m"), experiment.scoring)


def make_cell(root: Path, experiment: Experiment, cell: Cell, selected: bool = False) -> None:
    """What the cell's steps leave; a cell that is `selected` is trained on the selection that is there."""
    base, manifest = root / layout.base_model("m"), root / layout.manifest("m")
    if cell.pruned and not selected:
        spec, out = grid.pruning_of(experiment, cell), root / layout.pruned(cell.name)
        digests = expected_digests(manifest, root / layout.dataset("d"))
        prune(root / layout.scores("m"), out, spec, 0, expected_digests=digests, root=root)
    if cell.trained:
        _imitate_training(root, experiment, cell)
    trained = root / layout.weights(cell.name) if cell.trained else base
    report = [root / layout.training(cell.name)] if cell.trained else []
    evaluate(
        trained,
        root / layout.evaluation(cell.name),
        benchmarks=experiment.evaluation.benchmarks,
        data={name: root / layout.benchmark_items(name) for name in experiment.evaluation.benchmarks},
        digests=files.read_json(manifest)["digests"] | {"weights": weights_digest(trained)},
        inputs=file_sums.relative_sums(file_sums.hash_files(report), root),
    )


def _imitate_training(root: Path, experiment: Experiment, cell: Cell) -> None:
    folder, path = root / layout.weights(cell.name), root / layout.training(cell.name)
    scores = root / layout.scores("m")
    read = [scores / layout.SAMPLES, scores / layout.TOKENS]
    lengths = {row["sample_id"]: row for row in files.read_parquet(read[0]).to_pylist()}
    kept, selection = [range(row["response_tokens"]) for row in lengths.values()], None
    rows = [*lengths.values()]
    if cell.pruned:
        made = root / layout.pruned(cell.name)
        read += [made / layout.SELECTION, made / layout.SUMMARY]
        table = files.read_parquet(made / layout.SELECTION, ["sample_id", "kept"])
        kept, selection = table["kept"].to_pylist(), files.sha256(made / layout.SELECTION)
        rows = [lengths[sample_id] for sample_id in table["sample_id"].to_pylist()]
    ends = [
        row["response_tokens"] - 1 in positions and not row["truncated"]
        for row, positions in zip(rows, kept, strict=True)
    ]
    _write_weights(root / layout.base_model("m"), folder, f"{cell.name} {selection}")
    own = file_sums.hash_files(folder / name for name in file_sizes(folder))
    report: dict[str, Any] = {
        "steps": 2,
        "steps_per_epoch": 1,
        "epochs": float(EPOCHS),
        "trained_tokens": EPOCHS * sum(map(len, kept)),
        "sample_passes": EPOCHS * len(kept),
        "end_tokens": EPOCHS * sum(ends),
        "seconds": 5.5,
        "seed": cell.seed,
        "versions": {"prunegrid": __version__},
        "training": grid.training_of(experiment, cell).model_dump(mode="json"),
        "inputs": file_sums.relative_sums(file_sums.hash_files(read), root),
        "digests": files.read_json(scores / layout.META)["digests"],
        "selection": selection,
        "weights": weights_digest(folder),
        "files": file_sizes(folder),
        "sha256": file_sums.relative_sums(own, path.parent),
    }
    files.write_json(path, report)


def _write_weights(base: Path, folder: Path, seed: str) -> None:
    """The base's files, with noise on its weights."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base, folder)
    torch.manual_seed(int(files.sha256(seed)[:8], 16))
    weights = load_file(base / "model.safetensors")
    (folder / "model.safetensors").unlink()
    noisy = {name: tensor + 0.1 * torch.randn_like(tensor) for name, tensor in weights.items()}
    save_file(noisy, folder / "model.safetensors", {"format": "pt"})


def edit_json(path: Path, **changes: Any) -> None:
    """As somebody with an editor would."""
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(content, indent=1))
