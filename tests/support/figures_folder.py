"""A results folder made by hand with scores, selections and a tokenizer: what figures are drawn from."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from prunegrid.core import files
from prunegrid.experiment import grid
from prunegrid.experiment.config import Experiment
from prunegrid.pruners import Scores
from prunegrid.selection.prune import prune
from support import handmade_scores
from support.results_folder import an_experiment, finish, put, shared_files

DYNAMIC = {"random-dynamic": {"method": "random+random", "mode": "dynamic"}}
MANY = [
    "random+random",
    "random+ppl",
    "longest+random",
    {"q3": {"method": "qtuning", "bisection_steps": 3}},
    DYNAMIC,
    {"never": {"method": "random+ppl", "mode": "dynamic"}},
]
HALF = {"sample_ratio": 0.5, "token_ratio": 0.5}
BUDGET = "s0.5-t0.5"


def many(**changes: Any) -> Experiment:
    return an_experiment(**{"variants": MANY, "budgets": [HALF], **changes})


def byte_tokenizer() -> Tokenizer:
    """A token a byte: `é` is two of them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: n for n, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def write_ids(scores_dir: Path, given: Scores, tokenizer: Tokenizer, texts: list[str]) -> None:
    """Add token ids to `tokens.parquet`."""
    table = pq.read_table(scores_dir / "tokens.parquet")
    ids = [tokenizer.encode(text).ids for text in texts]
    assert [len(row) for row in ids] == given.response_tokens.tolist()
    prompt = tokenizer.encode("Why so?").ids
    table = table.append_column("prompt_ids", pa.array([prompt] * len(given), pa.list_(pa.int32())))
    files.write_parquet(scores_dir / "tokens.parquet", table.append_column("response_ids", pa.array(ids)))


def worked_scores() -> Scores:
    """The example of docs/reference/pruners.md: eight samples on the plane; responses of 6 to 13 tokens."""
    lengths = [6, 7, 8, 9, 12, 11, 10, 13]
    rng = np.random.default_rng(0)
    columns = {name: rng.permutation(sum(lengths)) / 10 for name in ("nll", "entropy", "fastv")}
    plane = {"ppl": [1, 2, 3, 4, 5, 6, 7, 8], "entropy": [8, 2, 3, 5, 4, 6, 7, 1]}
    return handmade_scores.scores(lengths, samples=plane, tokens=columns)


TEXTS = [
    "abcdef",
    "abcdefg",
    "abcdefgh",
    "abcdefghi",
    "No, it is 4.",
    "abcdefghijk",
    "abcdefghij",
    "A $5 b\u00e9t\n_x_",
]
KINDS = ["skill"] * 8  # of the samples, as the sandbox names them


def fill(root: Path) -> None:
    """All cells of `many` but those of longest+random (failed) and of `never`; random+ppl has one of two seeds."""
    experiment = many()
    put(root / "experiment.json", experiment.model_dump(mode="json"))
    shared_files(root, experiment)
    given = worked_scores()
    files.write_parquet(root / "data/world.parquet", pa.table({"sample_id": range(len(given)), "kind": KINDS}))
    scores_dir = handmade_scores.write(root / "scores/m", given)
    put(
        scores_dir / "meta.json",
        files.read_json(scores_dir / "meta.json") | {"left_out": {"sparsevlm": "one layer only"}},
    )
    tokenizer = byte_tokenizer()
    write_ids(scores_dir, given, tokenizer, TEXTS)
    (root / "models/m").mkdir(exist_ok=True)
    tokenizer.save(str(root / "models/m/tokenizer.json"))
    cells = {cell.path: cell for cell in grid.cells(experiment)}
    finish(root, cells["zero-shot"], 10, 20, experiment=experiment)
    for seed in (0, 1):
        finish(root, cells[f"full/seed{seed}"], 50, 60, experiment=experiment)
        finish(root, cells[f"{BUDGET}/random+random/seed{seed}"], 30, 40 + seed, experiment=experiment)
        for name in ("q3", "random-dynamic"):
            finish(root, cells[f"{BUDGET}/{name}/seed{seed}"], 33, 42, experiment=experiment)
    finish(root, cells[f"{BUDGET}/random+ppl/seed0"], 20, 31.25, experiment=experiment)
    put(root / f"logs/train/m/{BUDGET}/longest+random/seed0.log", "FAILED: out of memory\n")
    for cell in (cells[f"{BUDGET}/q3/seed{seed}"] for seed in (0, 1)):
        spec = grid.pruning_of(experiment, cell)
        prune(root / "scores/m", root / "pruned/m" / cell.path, spec, cell.seed or 0)
    for seed, ppl in enumerate((30.0, 50.0)):
        file = root / f"trained/m/{BUDGET}/random-dynamic/seed{seed}/training.json"
        probes = [{"step": 0, "ppl": 100.0, "entropy": 2.0}, {"step": 7, "ppl": ppl, "entropy": 1.0}]
        put(file, files.read_json(file) | {"probes": probes})


def deltas_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """A deltas frame with the columns that figures read."""
    shared = {"experiment": "tiny", "model": "m", "against": "random+random", "sample_ratio": 0.5, "token_ratio": 0.5}
    numbers = dict.fromkeys(("item_low", "item_high", "low", "high"), np.nan)
    return pd.DataFrame([shared | numbers | {"n_seeds": 2, "significant": None} | row for row in rows])


DELTAS = [
    {"variant": "q3", "benchmark": "A", "delta": 3.0, "item_low": 1.0, "item_high": 5.0, "low": 0.5, "high": 5.5},
    {"variant": "q3", "benchmark": "Avg", "delta": 2.25, "low": 1.0, "high": 4.0, "significant": True},
    {"variant": "random+ppl", "benchmark": "A", "delta": -10.0, "item_low": -12.0, "item_high": -8.0, "n_seeds": 1},
]
