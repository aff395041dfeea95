"""What training costs: against TRL and a padded Trainer, per forwarded token of a budget, and in dynamic mode.

    python benchmarks/training.py peers --model DIR --data FILE
    python benchmarks/training.py marginal --model DIR --data FILE
    python benchmarks/training.py dynamic --model DIR --data FILE

`--device cuda` runs all sides on a GPU, in bf16; `peak_mb` is the GPU's memory then.

The samples, evenly spaced in the data, are scored once; all sides read the scores' token ids. Every run is a process
of its own (benchmarks/training_side.py), on one rank, in float32 on a CPU, with LoRA. Sides take turns in rounds of a
minute or less each. A run's first epoch is the warm-up; seconds are those of the training loop after it, so neither
start-up nor saving is in them. The last line is one JSON object.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch

from prunegrid.core.files import read_json, sha256sum, write_json
from prunegrid.data.datasets import write_dataset
from prunegrid.experiment.dataset import Dataset
from prunegrid.experiment.training import USUAL_DTYPE, Runtime, Scoring, Training
from prunegrid.pruners import PruningSpec
from prunegrid.scoring.score import score
from prunegrid.selection.prune import prune
from prunegrid.training import Job
from prunegrid.training.dynamic import PROBE_SAMPLES

SIDE = Path(__file__).with_name("training_side.py")
PEERS = ("ours", "trainer", "trl", "trl-packed")
BUDGETS = [{"sample_ratio": s, "token_ratio": t} for s, t in ((0.125, 0.5), (0.25, 0.5), (0.5, 0.7))]
Row = dict[str, Any]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("peers", "marginal", "dynamic"))
    parser.add_argument("--model", type=Path, required=True, help="folder of a model")
    parser.add_argument("--data", type=Path, required=True, help="JSONL or Parquet: prompt/response, messages, ...")
    parser.add_argument("--ignore", nargs="+", default=[], help="fields of the data that are not read")
    parser.add_argument("--samples", type=int, default=64, help="peers: divided among the rounds")
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8, help="candidate samples of an optimizer step")
    parser.add_argument("--batch-tokens", type=int, help="of one packed forward of ours; training.batch_tokens")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=1, help="timed ones")
    parser.add_argument("--sides", nargs="+", choices=PEERS, default=PEERS, help="of peers")
    parser.add_argument("--method", default="qtuning", help="of dynamic")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    return parser.parse_args()


class Bench:
    """The scored samples, and a folder for what the runs write."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        self.options, self.work, self.scores = options, work, work / "scores"
        everything, some = work / "all.parquet", work / "some.parquet"
        write_dataset(
            Dataset(name="data", path=str(options.data), ignore=options.ignore),
            str(options.data),
            everything,
            work / "data.json",
        )
        table = pq.read_table(everything)
        pq.write_table(table.take(np.linspace(0, len(table) - 1, min(options.samples, len(table))).astype(int)), some)
        torch.set_num_threads(options.threads)
        settings = Scoring(max_length=options.max_length, dtype=USUAL_DTYPE[options.device])
        meta = score(options.model, some, self.scores, settings, options.device)
        self.samples: int = meta["samples"]

    def part(self, number: int, parts: int) -> Path:
        """Every `parts`-th sample as scores of their own: the parts' samples differ, their lengths are alike."""
        out = self.work / f"scores-{number}"
        out.mkdir()
        for file in self.scores.glob("*.parquet"):
            table = pq.read_table(file)
            pq.write_table(table.take(np.arange(number, len(table), parts)), out / file.name)
        meta = read_json(self.scores / "meta.json")
        write_json(out / "meta.json", meta | {"sha256": {name: sha256sum(out / name) for name in meta["sha256"]}})
        return out

    def selection(self, method: str, budget: Row, seed: int) -> Path:
        out = self.work / "-".join(map(str, (method, *budget.values(), seed)))
        prune(self.scores, out, PruningSpec(method=method, **budget), seed)
        return out / "selection.parquet"

    def run(self, side: str, training: Row | None = None, epochs: int | None = None, **fields: Any) -> Row:
        """What one run measured of its timed `epochs`; `fields` are the job's."""
        options, epochs = self.options, epochs or self.options.epochs
        settings = {"per_device_train_batch_size": options.batch, "gradient_accumulation_steps": 1}
        settings |= {"batch_tokens": options.batch_tokens} if options.batch_tokens else {}
        settings |= {"bf16": True} if options.device == "cuda" else {}
        settings |= {"num_train_epochs": epochs + 1, **(training or {})}
        given = {"model": options.model, "scores": self.scores, "seed": 0, "threads": options.threads, **fields}
        given["device"] = options.device
        given["runtime"] = Runtime(save_steps=10**9, report_to=[])
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            spec = Path(folder, "job.json")
            spec.write_text(Job(training=Training(**settings), **given).model_dump_json())
            measured = last_line([str(SIDE), side, str(spec)], options.threads, options.device)
        per_run = ("trained_tokens", "forwarded_tokens")
        return measured | {name: round(measured[name] * epochs / (epochs + 1)) for name in per_run}


def last_line(command: list[str], threads: int, device: str) -> Row:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    environment["TRANSFORMERS_VERBOSITY"] = "error"
    if device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}:\n{done.stderr}")
    measured: Row = json.loads(done.stdout.splitlines()[-1])
    return measured


def rounds(bench: Bench, names: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """The number of each round, and the names in the round's order: another one begins each time."""
    for number in range(bench.options.rounds):
        shift = number % len(tuple(names))
        yield number, [*names][shift:] + [*names][:shift]
        print(f"round {number + 1} of {bench.options.rounds} done", file=sys.stderr, flush=True)


def peers(bench: Bench) -> Row:
    """Tokens per second of each side; the same samples and optimizer steps, or it stops."""
    rows, sides = [], bench.options.sides
    for number, names in rounds(bench, sides):
        scores = bench.part(number, bench.options.rounds)
        of_round = {side: bench.run(side, scores=scores) for side in names}
        require_equal(of_round, "trained_tokens", "forwarded_tokens")
        # A step of trl-packed is a whole number of packs, so it may have to take fewer, larger ones.
        require_equal({side: row for side, row in of_round.items() if side != "trl-packed"}, "timed_steps")
        rows += [{"round": number, "side": side, **row, **rates(row)} for side, row in of_round.items()]
    table = pd.DataFrame(rows)
    medians = table.groupby("side").median().drop(columns="round").loc[list(sides)].round(1)
    print(medians.T.to_markdown())
    by_side = table.pivot(index="round", columns="side")
    speeds = {unit: by_side[f"trained_tokens_per_{unit}"] for unit in ("second", "cpu_second")}
    ratios = {
        f"speed_ours_over_{side}_by_{unit}": round(float((speed["ours"] / speed[side]).median()), 3)
        for side in sides
        for unit, speed in speeds.items()
        if side != "ours"
    }
    return {**ratios, "sides": medians.to_dict("index"), "runs": records(rows)}


def require_equal(runs: dict[str, Row], *names: str) -> None:
    for name in names:
        counts = {run: row[name] for run, row in runs.items()}
        if len(set(counts.values())) > 1:
            sys.exit(f"the runs differ in {name}, so they cannot be compared: {counts}")


def rates(row: Row) -> Row:
    return {
        f"{tokens}_per_{unit}": row[tokens] / row[f"{unit}s"]
        for tokens in ("trained_tokens", "forwarded_tokens")
        for unit in ("second", "cpu_second")
    }


def marginal(bench: Bench) -> Row:
    """Seconds per forwarded token of each budget: on average, and the slope between a batch size and its double.

    Both take the same number of optimizer steps, the double with twice the tokens in each. So what every step costs,
    however little is left in it, is in the average and not in the slope.
    """
    rows, cells = [], {"full": None} | {name(budget): budget for budget in BUDGETS}
    for number, names in rounds(bench, cells):
        for cell in names:
            budget = cells[cell]
            selection = bench.selection("random+random", budget, number) if budget else None
            rows.append({"budget": cell, **slope(bench, selection)})
    medians = pd.DataFrame(rows).groupby("budget").median().loc[list(cells)]
    for column in ("average_ms", "average_ms_of_double", "slope_ms", "slope_cpu_ms"):
        medians[f"{column}_over_full"] = medians[column] / medians[column].to_numpy()[0]  # full's
    print(medians.round(3).T.to_markdown())
    return {"budgets": medians.round(4).to_dict("index"), "runs": records(rows)}


def slope(bench: Bench, selection: Path | None) -> Row:
    batch, epochs = bench.options.batch, bench.options.epochs
    runs = {
        f"batch {factor * batch}": bench.run(
            "ours",
            {"removal": "drop", "per_device_train_batch_size": factor * batch},
            epochs=factor * epochs,
            selection=selection,
        )
        for factor in (1, 2)
    }
    require_equal(runs, "timed_steps")
    single, double = runs.values()
    tokens = single["forwarded_tokens"]
    wall, cpu = (
        (double[unit] - single[unit]) / (double["forwarded_tokens"] - tokens) for unit in ("seconds", "cpu_seconds")
    )
    return {
        "forwarded_tokens": tokens,
        "seconds": single["seconds"],
        "average_ms": 1000 * single["seconds"] / tokens,
        "average_ms_of_double": 1000 * double["seconds"] / double["forwarded_tokens"],
        "slope_ms": 1000 * wall,
        "slope_cpu_ms": 1000 * cpu,
        "step_ms": 1000 * (single["seconds"] - wall * tokens) / single["timed_steps"],
    }


def dynamic(bench: Bench) -> Row:
    """Dynamic mode against its cost model: the scoring pass of all candidates, and the static run of what is kept."""
    rows, method = [], bench.options.method
    for number, names in rounds(bench, ("dynamic", "static", "forward")):
        for budget in BUDGETS:
            pruning = PruningSpec(method=method, **budget)
            makers = {
                "dynamic": partial(bench.run, "ours", {"mode": "dynamic"}, pruning=pruning),
                "static": partial(bench.run, "ours", selection=bench.selection(method, budget, number)),
                "forward": partial(bench.run, "forward"),
            }
            rows.append({"budget": name(budget), **compared({run: makers[run]() for run in names}, bench)})
    medians = pd.DataFrame(rows).groupby("budget").median().loc[[name(budget) for budget in BUDGETS]].round(3)
    print(medians.T.to_markdown())
    return {"method": method, "budgets": medians.to_dict("index"), "runs": records(rows)}


def compared(runs: dict[str, Row], bench: Bench) -> Row:
    """Measured over predicted; static is scaled to dynamic mode's forwarded tokens, since the two choose apart.

    In each epoch dynamic mode also scores a fixed choice of samples (`probe`), which is little only of large data.
    """
    measured, static, forward = (runs[run] for run in ("dynamic", "static", "forward"))
    scale = measured["forwarded_tokens"] / static["forwarded_tokens"]
    row = {"forwarded_tokens": measured["forwarded_tokens"], "static_forwarded_tokens": static["forwarded_tokens"]}
    for unit in ("seconds", "cpu_seconds"):
        scoring = bench.options.epochs * forward[unit]
        terms = {
            "forward": scoring,
            "probe": scoring * min(1, PROBE_SAMPLES / bench.samples),
            "static": scale * static[unit],
        }
        row |= {unit: measured[unit], **{f"{term}_{unit}": value for term, value in terms.items()}}
        row[f"measured_over_predicted_by_{unit}"] = measured[unit] / sum(terms.values())
    return row


def records(rows: list[Row]) -> list[Row]:
    return [{key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()} for row in rows]


def name(budget: Row) -> str:
    return " x ".join(f"{100 * ratio:g}" for ratio in budget.values())


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as work:
        results = {"peers": peers, "marginal": marginal, "dynamic": dynamic}[options.part](Bench(options, Path(work)))
    kept = ("part", "samples", "max_length", "batch", "batch_tokens", "rounds", "epochs", "threads")
    device = {} if options.device == "cpu" else {"device": torch.cuda.get_device_name()}
    facts = {"benchmark": "training"} | {key: getattr(options, key) for key in kept}
    print(json.dumps(facts | device | {"model": options.model.name} | results))


if __name__ == "__main__":
    main()
