"""A finished results folder of made-up answers: 104 cells a seed, each on five benchmarks, as evaluations leave it.

104 cells: 2 models x 3 budgets x 17 variants, and Full. Questions are made-up words, of the usual lengths; answers are
right more often where the item is easy and the cell good; SQuAD's scores are shares of words; ARC's answers are the
options' log-probabilities.
"""

import json
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from prunegrid import pruners
from prunegrid.core import files
from prunegrid.core.ragged import Floats
from prunegrid.experiment import config, grid, layout
from prunegrid.experiment.config import Experiment
from prunegrid.experiment.grid import Cell

MODELS, BUDGETS = ("m1", "m2"), ((0.125, 0.5), (0.125, 0.7), (0.25, 0.5))
SAMPLE_PRUNERS, TOKEN_PRUNERS = ("random", "longest", "infobatch", "entropy"), ("random", "ppl", "fastv", "sparsevlm")
VARIANTS = [*(f"{sample}+{token}" for sample, token in product(SAMPLE_PRUNERS, TOKEN_PRUNERS)), "qtuning"]
SYLLABLES = ("ka lo mi ste ra vu ne thi", "r l nd st m", "a en o ing ed is y ous er ly")
WORDS = ["".join(parts) for parts in product(*(each.split() for each in SYLLABLES))]
OPTIONS = 4
DIGESTS = {"model": "m", "data": "d"}


class Kind(NamedTuple):
    """A benchmark: its task, items, words of a question, an answer, and a passage that `group` items share."""

    task: str
    metric: str
    filter: str
    items: int
    question: int
    answer: int
    group: int = 1
    passage: int = 0


KINDS = {
    "ARC-E": Kind("arc_easy", "acc", "none", 2376, 20, 4),
    "ARC-C": Kind("arc_challenge", "acc", "none", 1172, 22, 5),
    "GSM8K": Kind("gsm8k", "exact_match", "strict-match", 1319, 46, 1),
    "SQuAD": Kind("squadv2", "f1", "none", 11873, 10, 3, 10, 130),
    "TriviaQA": Kind("triviaqa", "exact_match", "remove_whitespace", 17944, 14, 2),
}


def write_grid(root: Path, seeds: int = 3, share: float = 1.0) -> Experiment:
    """Write the folder, with `share` of each benchmark's items; `experiment.json` says what it is."""
    data = {name: {"task": kind.task, "data": {"path": f"{name}.jsonl"}} for name, kind in KINDS.items()}
    experiment = config.load(
        {
            "experiment": "made-up",
            "models": {model: {"path": model} for model in MODELS},
            "dataset": {"name": "data", "path": "data.jsonl"},
            "budgets": [{"sample_ratio": samples, "token_ratio": tokens} for samples, tokens in BUDGETS],
            "variants": VARIANTS,
            "references": ["full"],
            "seeds": list(range(seeds)),
            "evaluation": {"benchmarks": data},
        }
    )
    files.write_json(root / layout.EXPERIMENT, experiment.model_dump(mode="json"))
    _write_shared(root, experiment)
    cells = grid.cells(experiment)
    for cell in cells:
        _write_training(root, experiment, cell)
    for number, (name, kind) in enumerate(KINDS.items()):
        items = Items(kind, max(20, round(share * kind.items)), np.random.default_rng(number))
        items.write(root / layout.benchmark_items(name))
        for place, cell in enumerate(cells):
            _write_answers(root, cell, name, items, np.random.default_rng([number, place]))
    return experiment


def _write_shared(root: Path, experiment: Experiment) -> None:
    for model in MODELS:
        (root / layout.base_model(model)).mkdir(parents=True)
        files.write_json(root / layout.manifest(model), {"source": experiment.sources[model].model_dump(mode="json")})
        files.write_json(root / layout.scores_meta(model), {"max_length": 2048, "dtype": "float32", "digests": DIGESTS})
        for name in (layout.SAMPLES, layout.TOKENS):
            (root / layout.scores(model) / name).touch()
    files.write_json(root / layout.dataset_counts("data"), {"source": experiment.dataset.model_dump(mode="json")})
    (root / layout.dataset("data")).touch()


def _write_training(root: Path, experiment: Experiment, cell: Cell) -> None:
    """What pruning and training of a cell report."""
    if cell.budget:
        variant, ratios = experiment.variant(cell.variant), dict(cell.budget)
        selection = {
            "method": variant.method,
            "options": pruners.complete_options(variant.method, variant.options),
            "match": None,
            "nominal": {"samples": ratios["sample_ratio"], "tokens": ratios["token_ratio"]},
            "seeds": {"cell": cell.seed},
            "realised": {"samples": ratios["sample_ratio"], "all_tokens": 0.3},
            "realised_token_ratio": ratios["token_ratio"],
        }
        files.write_json(root / grid.selection_summary(experiment, cell), selection)
    report = {
        "training": grid.training_of(experiment, cell).model_dump(mode="json"),
        "seed": cell.seed,
        "digests": DIGESTS,
        "trained_tokens": 1_000_000,
        "seconds": 100.0,
        "steps": 500,
    }
    files.write_json(root / layout.training(cell.name), report)
    (root / layout.weights(cell.name)).mkdir()


class Items:
    """A benchmark's items: their columns that all cells share, what is right and wrong, and how difficult each is."""

    def __init__(self, kind: Kind, count: int, rng: np.random.Generator) -> None:
        shares = 1 / np.arange(1, len(WORDS) + 1)  # Zipf's law

        def texts(number: int, words: int) -> list[str]:
            drawn = rng.choice(WORDS, (number, words), p=shares / shares.sum())
            return [" ".join(row) for row in drawn]

        passages = [text + "\n\n" for text in texts(-(-count // kind.group), kind.passage)] if kind.passage else [""]
        self.kind, self.count = kind, count
        self.words = texts(count, kind.question)
        prompts = zip(range(count), self.words, strict=True)
        self.questions = [
            f"{passages[i // kind.group % len(passages)]}Question: {text}\nAnswer:" for i, text in prompts
        ]
        self.said = np.stack([texts(count, kind.answer) for _ in range(OPTIONS)])  # the first is right
        self.right = rng.integers(0, OPTIONS, count)
        self.difficulty = rng.normal(0, 2, count)
        self.hashes = [files.sha256(text, str(i)) for i, text in enumerate(self.questions)]
        groups = [f"passage {i // kind.group}" for i in range(count)]
        self.clusters = list(map(files.sha256, groups)) if kind.group > 1 else self.hashes

    @property
    def columns(self) -> dict[str, Any]:
        """Of an item file, but for the answers and their scores."""
        return {
            "doc_id": pa.array(range(self.count), pa.int64()),
            **dict.fromkeys(("doc_hash", "prompt_hash", "target_hash"), self.hashes),
            "filter": [self.kind.filter] * self.count,
            "cluster": self.clusters,
            "question": self.questions,
            "gold": self.said[0].tolist(),
        }

    def write(self, path: Path) -> None:
        """The file of the items, which the page reads the options of ARC from."""
        rows = []
        for number in range(self.count):
            options = self.said[1:, number].tolist()
            options.insert(int(self.right[number]), str(self.said[0, number]))
            choices = {"text": options, "label": list("ABCD")}
            rows.append({"question": self.words[number], "choices": choices, "answerKey": "ABCD"[self.right[number]]})
        files.write_text(path, "".join(json.dumps(row) + "\n" for row in rows))

    def answers(self, ability: float, rng: np.random.Generator) -> tuple[list[str], Floats]:
        """A cell's answers and their scores."""
        chance = 1 / (1 + np.exp(self.difficulty - ability))
        value = (rng.random(self.count) < chance).astype(float)
        if self.kind.metric == "acc":
            nats = np.round(rng.normal(-8, 2, (self.count, OPTIONS)), 6)
            chosen = np.where(value == 1, self.right, (self.right + rng.integers(1, OPTIONS, self.count)) % OPTIONS)
            nats[np.arange(self.count), chosen] = -np.abs(rng.normal(1, 0.5, self.count))
            return list(map(json.dumps, nats.tolist())), value
        said = np.where(value == 1, 0, rng.integers(1, OPTIONS, self.count))
        if self.kind.metric == "f1":
            partly = (value == 0) & (rng.random(self.count) < 0.3)
            value[partly] = 2 / rng.integers(3, 12, int(partly.sum()))
        return self.said[said, np.arange(self.count)].tolist(), value


def _write_answers(root: Path, cell: Cell, name: str, items: Items, rng: np.random.Generator) -> None:
    responses, value = items.answers(rng.normal(0.5, 0.2), rng)
    file = root / layout.answers(cell.name, name)
    files.write_parquet(file, pa.table(items.columns | {"response": responses, "value": value}))
    record = {
        "benchmark": name,
        "protocol": "harness",
        "task": items.kind.task,
        "metric": items.kind.metric,
        "filter": items.kind.filter,
        "score": 100 * float(value.mean()),
        "n_items": len(value),
        "limit": None,
        "dtype": "float32",
        "schema": 2,
        "task_hash": "t",
        "task_version": 1,
        "data_hash": files.sha256(root / layout.benchmark_items(name)),
        "versions": {"lm_eval": "0.4.13", "torch": "2.13.0"},
        "digests": {"model": "m", "template": "p", "weights": cell.name},
        "items_hash": files.sha256(file),
    }
    files.write_json(root / layout.score(cell.name, name), record)
