"""What dynamic mode's scoring costs in forwards, and what scoring less often (`training.rescore_every`) changes.

    python benchmarks/rescoring.py forwards --lengths FILE
    python benchmarks/rescoring.py every --model DIR --scores DIR --every 1 4 16 epoch

`forwards` counts the forward passes that score a step's candidates, packed and padded, on pairs of prompt and response
lengths (JSON: [[prompt, response], ...]). `every` trains one cell for each value and seed, and compares its selections
with those of the first value, and the trained models by the mean NLL of all samples. `control` is the first value with
a learning rate that is 1 % larger: scored as often, but other weights. The last line is one JSON object.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prunegrid.core.files import read_json, read_parquet
from prunegrid.experiment.training import Runtime, Training
from prunegrid.models import apply_adapter, is_adapter, load_model
from prunegrid.models.head import Head
from prunegrid.pruners import PruningSpec
from prunegrid.pruners.columns import HEAD_SCORES
from prunegrid.scoring.batches import batches_by_length
from prunegrid.scoring.forward import compute_in_batches
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.score import scorer
from prunegrid.scoring.writer import sample_means
from prunegrid.training import Job, train
from prunegrid.training.packed_passes import packed_passes

Row = dict[str, Any]
LENGTHS_DRAWN = 200


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("forwards", "every"))
    parser.add_argument("--lengths", type=Path, help="of forwards: JSON of [[prompt, response], ...]")
    parser.add_argument("--cut-off", type=int, default=2048, help="of forwards: tokens of a sample at most")
    parser.add_argument("--candidates", type=int, nargs="+", default=[8, 32], help="of forwards: of a step")
    parser.add_argument("--batch-tokens", type=int, default=8192)
    parser.add_argument("--model", type=Path, help="folder of a model")
    parser.add_argument("--scores", type=Path, help="folder of its scores")
    parser.add_argument("--every", nargs="+", default=["1", "4", "16", "epoch"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--method", default="qtuning")
    parser.add_argument("--sample-ratio", type=float, default=0.125)
    parser.add_argument("--token-ratio", type=float, default=0.5)
    parser.add_argument("--training", type=json.loads, default={}, help="JSON of other keys of `training`")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def forwards(options: argparse.Namespace) -> Row:
    """Mean forwards of `LENGTHS_DRAWN` random steps, and their mean tokens (padded: positions)."""
    length_N = np.array(json.loads(options.lengths.read_text())).sum(1).clip(max=options.cut_off)
    random, rows = np.random.default_rng(0), []
    for candidates in options.candidates:
        steps = [random.choice(length_N, candidates, replace=False) for _ in range(LENGTHS_DRAWN)]
        for name, divide in (("padded", batches_by_length), ("packed", packed_passes)):
            counts = [len(list(divide(step, options.batch_tokens))) for step in steps]
            tokens = float(np.mean([step.sum() for step in steps]))
            row = {"candidates": candidates, "side": name, "forwards": float(np.mean(counts))}
            rows.append(row | {"tokens_a_forward": tokens / row["forwards"]})
    print(pd.DataFrame(rows).round(1).to_markdown(index=False))
    return {"batch_tokens": options.batch_tokens, "cut_off": options.cut_off, "rows": rows}


def every(options: argparse.Namespace) -> Row:
    rows, rate = [], Training(**options.training).learning_rate
    for seed in options.seeds:
        runs = {value: run(options, value, seed, rate) for value in options.every}
        runs["control"] = run(options, options.every[0], seed, 1.01 * rate)
        rows += [{"every": name, "seed": seed, **compare(row, runs[options.every[0]])} for name, row in runs.items()]
    means = pd.DataFrame(rows).groupby("every").mean().drop(columns="seed").loc[[*options.every, "control"]]
    print(means.round(3).T.to_markdown())
    return {"method": options.method, "seeds": options.seeds, "means": means.round(4).to_dict("index"), "runs": rows}


def run(options: argparse.Namespace, value: str, seed: int, learning_rate: float) -> Row:
    every = int(value) if value.isdigit() else value
    settings = options.training | {"mode": "dynamic", "rescore_every": every, "learning_rate": learning_rate}
    ratios = {"sample_ratio": options.sample_ratio, "token_ratio": options.token_ratio}
    pruning = PruningSpec(method=options.method, **ratios).complete()
    given = {"model": options.model, "scores": options.scores, "device": options.device, "threads": options.threads}
    runtime = Runtime(save_steps=10**9, report_to=[])
    with tempfile.TemporaryDirectory() as work:
        job = Job(training=Training(**settings), runtime=runtime, pruning=pruning, seed=seed, **given)
        report = train(job, Path(work, "model"), Path(work, "training.json"))
        log = read_parquet(Path(work, "selection_log.parquet")).to_pandas()
        summary = read_json(Path(work, "selection.json"))
        loss = mean_nll(options, Path(work, "model"))
    return {"report": report, "log": log, "kept_tokens": summary["kept_tokens"], "nll": loss}


def mean_nll(options: argparse.Namespace, trained: Path) -> float:
    """Mean over all samples of the mean NLL of their responses, under the trained model."""
    whole = not is_adapter(trained)
    model = load_model(trained if whole else options.model, "float32", options.device)
    model = model if whole else apply_adapter(model, trained)
    rows, compute = ScoresFolder(options.scores).sequences(), scorer(model, Head(model), None)
    values, _ = compute_in_batches(rows, options.batch_tokens, model.device, HEAD_SCORES, compute, "trained model")
    return float(sample_means(values["nll"], rows).mean())


def compare(run: Row, base: Row) -> Row:
    """Shares of the base's kept samples that are not kept in the same step, or with other tokens than there."""
    key = ["step", "rank", "sample_id"]
    merged = base["log"].merge(run["log"], on=key, how="left", suffixes=("", "_now"))
    report = run["report"]
    return {
        "samples_that_differ": float(merged["kept_now"].isna().mean()),
        "token_numbers_that_differ": float((merged["kept_now"] != merged["kept"])[merged["kept_now"].notna()].mean()),
        "kept_tokens": run["kept_tokens"],
        "scoring_passes": report["scoring_passes"],
        "mean_nll_at_end": run["nll"],
        "loop_seconds": report["loop_seconds"],
    }


def main() -> None:
    options = arguments()
    results = {"forwards": forwards, "every": every}[options.part](options)
    print(json.dumps({"benchmark": "rescoring", "part": options.part, **results}))


if __name__ == "__main__":
    main()
