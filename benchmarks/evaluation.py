"""Cost of evaluating a model on several benchmarks: one process of ours against lm-eval's command line.

    python benchmarks/evaluation.py results/sandbox [--limit 20] [--tasks ARC-E ARC-C] [--model DIR] [--repeat 1]
                                                    [--device cuda]

Reads an experiment's folder: `experiment.json`, its (first) model, its benchmarks' items. All sides run the
same tasks (ours, given to lm-eval with `--include_path`) on the same items, offline, and write scores and item files:
    ours      what the rule's script does: import, load once, all tasks
    commands  one `lm_eval` command a task
    command   one `lm_eval` command with all tasks
lm-eval's and the data sets' caches are filled beforehand. Seconds are by the clock and of CPU, start to exit, each the
least of `--repeat` runs, between which the sides take turns. A task's seconds are by the clock: for `ours` without
start and loading (the record's `seconds`), for `commands` start to exit; `command` has none. All metrics of all tasks
must be equal; otherwise the script names those that differ and exits with 1. The last line is one JSON object.

lm_eval has no request for tasks that are `scored_by` whole strings (ARC by the protocol `paper`): they are refused.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from children import cpu_seconds
from prunegrid.evaluation.items import read_items
from prunegrid.experiment.dataset import DataRef
from prunegrid.tasks.catalog import TASKS, find_task
from prunegrid.tasks.task import WHOLE_STRING

PROGRAMS = Path(__file__).with_name("programs")
SIDES = ("ours", "commands", "command")
Scores = dict[str, dict[str, float]]


class Setting(NamedTuple):
    """The inputs of every side; `items` and `tasks` are in the temporary folder `work`."""

    work: Path
    model: Path
    evaluation: dict[str, Any]
    benchmarks: dict[str, dict[str, Any]]
    options: argparse.Namespace
    counts: dict[str, int]


class Run(NamedTuple):
    """A side's scores, its seconds by the clock and of CPU, and the seconds by the clock of each task, if known."""

    scores: Scores
    spent: tuple[float, float]
    tasks: dict[str, float]


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as work:
        setting = prepare(Path(work), options)
        os.environ |= environment(setting)
        fill_caches(setting)
        runs = [{name: run(name, setting) for name in SIDES} for _ in range(options.repeat)]
    best = {name: least([sides[name] for sides in runs]) for name in SIDES}
    show(setting, best)
    different = [line for sides in runs for line in differences({name: sides[name].scores for name in SIDES})]
    print("\n".join(different) or "scores: identical")
    print(json.dumps(summary(setting, best, not different)))
    sys.exit(bool(different))


def least(runs: list[Run]) -> Run:
    """The least of each of the runs' seconds."""
    wall, cpu = (min(run.spent[unit] for run in runs) for unit in range(2))
    return Run(runs[0].scores, (wall, cpu), {name: min(run.tasks[name] for run in runs) for name in runs[0].tasks})


def show(setting: Setting, best: dict[str, Run]) -> None:
    total = sum(setting.counts.values())
    print(f"{'side':10}{'task':>14}{'items':>8}{'seconds':>10}{'items/s':>10}{'cpu':>10}{'items/cpu':>10}")
    for side, (_, (wall, cpu), tasks) in best.items():
        for name, seconds in tasks.items():
            count = setting.counts[name]
            print(f"{side:10}{name:>14}{count:8}{seconds:10.1f}{count / seconds:10.1f}")
        print(f"{side:10}{'total':>14}{total:8}{wall:10.1f}{total / wall:10.1f}{cpu:10.1f}{total / cpu:10.1f}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="an experiment's folder with a model and benchmark items")
    parser.add_argument("--model", type=Path, help="folder of another model")
    parser.add_argument("--tasks", nargs="+", help="names of benchmarks; default: all")
    parser.add_argument("--limit", type=int, help="the first N items of each; default: all")
    parser.add_argument("--batch-tokens", type=int, default=8192, help="of ours")
    parser.add_argument("--batch-size", type=int, default=32, help="rows, of lm_eval")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    return parser.parse_args()


def prepare(work: Path, options: argparse.Namespace) -> Setting:
    """Write the items as every side reads them, and the tasks as lm_eval reads them."""
    experiment = json.loads((options.results / "experiment.json").read_text())
    evaluation = experiment["evaluation"]
    names = options.tasks or list(evaluation["benchmarks"])
    benchmarks = {name: evaluation["benchmarks"][name] | {"limit": options.limit} for name in names}
    for name, benchmark in benchmarks.items():
        refuse_unsupported(name, evaluation["protocol"], benchmark["task"])
    model = options.model or options.results / "models" / next(iter(experiment["models"]))
    setting = Setting(work, model.resolve(), evaluation, benchmarks, options, {})
    tasks = work / "tasks"
    tasks.mkdir()
    protocol = evaluation["protocol"]
    shutil.copyfile(TASKS / protocol / "utils.py", tasks / "utils.py")
    for name, benchmark in benchmarks.items():
        source = options.results / "data" / "benchmarks" / f"{name}.jsonl"
        ref = DataRef.model_validate(benchmark["data"])
        docs = read_items(source, find_task(protocol, benchmark["task"]), ref).docs
        setting.counts[name] = len(docs[: options.limit])
        items(setting, name).write_text("".join(json.dumps(doc) + "\n" for doc in docs))
        text = (TASKS / protocol / f"{benchmark['task']}.yaml").read_text()
        data = f"dataset_path: json\ndataset_kwargs: {{data_files: {{test: {items(setting, name)}}}}}\n"
        (tasks / f"{name}.yaml").write_text(re.sub(r"(?m)^task: .*$", f"task: {peer(name)}", text) + data)
    return setting


def refuse_unsupported(name: str, protocol: str, task: str) -> None:
    scored_by = find_task(protocol, task).metadata.get("scored_by")
    if scored_by in WHOLE_STRING:
        sys.exit(
            f"{name}: {protocol}'s {task} is scored_by {scored_by}, for which lm_eval has no request; "
            "leave it out: name the others with --tasks"
        )


def items(setting: Setting, name: str) -> Path:
    return setting.work / f"{name}.jsonl"


def peer(name: str) -> str:
    """The benchmark's task name for lm_eval, which has an arc_easy of its own."""
    return f"prunegrid_{name}"


def environment(setting: Setting) -> dict[str, str]:
    return {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(setting.work / "cache"),
        "OMP_NUM_THREADS": str(setting.options.threads),
        "TRANSFORMERS_VERBOSITY": "error",
    }


def fill_caches(setting: Setting) -> None:
    """Read each benchmark's items once the way lm_eval does, and compile its modules."""
    files = [str(items(setting, name)) for name in setting.benchmarks]
    subprocess.run([sys.executable, PROGRAMS / "load_items.py", *files], check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "lm_eval", "ls", "tasks"], check=True, capture_output=True)


def run(side: str, setting: Setting) -> Run:
    with tempfile.TemporaryDirectory(dir=setting.work) as folder:
        out = Path(folder)
        names, tasks = list(setting.benchmarks), {}
        cpu, wall = cpu_seconds(), time.perf_counter()
        if side == "ours":
            call([sys.executable, str(PROGRAMS / "evaluate_benchmarks.py"), json.dumps(job(setting, out))], out)
        elif side == "command":
            call(lm_eval(setting, names, out), out)
        else:
            tasks = {name: call(lm_eval(setting, [name], out), out) for name in names}
        spent = (time.perf_counter() - wall, cpu_seconds() - cpu)
        print(f"{side}: {spent[0]:.1f} s, {spent[1]:.1f} s of CPU", file=sys.stderr, flush=True)
        if side == "ours":
            records = {name: json.loads((out / f"{name}.json").read_text()) for name in names}
            return Run(our_scores(records), spent, {name: record["seconds"] for name, record in records.items()})
        return Run(peer_scores(out), spent, tasks)


def job(setting: Setting, out: Path) -> dict[str, Any]:
    return {
        "model": str(setting.model),
        "out": str(out),
        "log": str(out / "log"),
        "threads": setting.options.threads,
        "benchmarks": setting.benchmarks,
        "data": {name: str(items(setting, name)) for name in setting.benchmarks},
        "protocol": setting.evaluation["protocol"],
        "batch_tokens": setting.options.batch_tokens,
        "dtype": setting.evaluation["dtype"],
        "device": setting.options.device,
    }


def lm_eval(setting: Setting, names: list[str], out: Path) -> list[str]:
    limit = [] if setting.options.limit is None else ["--limit", str(setting.options.limit)]
    model = f"pretrained={setting.model},dtype={setting.evaluation['dtype']},softmax_dtype=float32"
    return [
        *(sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--model_args", model),
        *("--device", setting.options.device),
        *("--tasks", ",".join(peer(name) for name in names), "--include_path", str(setting.work / "tasks")),
        *("--batch_size", str(setting.options.batch_size), "--output_path", str(out), "--log_samples", *limit),
    ]


def call(command: list[str], out: Path) -> float:
    """The command's seconds by the clock."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, cwd=out, check=False)
    if done.returncode:
        log = out / "log"
        sys.exit((log.read_text() if log.exists() else "") + done.stdout[-2000:] + done.stderr[-4000:])
    return time.perf_counter() - start


def our_scores(records: dict[str, Any]) -> Scores:
    return {
        name: {metric: result["score"] / 100 for metric, result in record["metrics"].items()}
        for name, record in records.items()
    }


def peer_scores(out: Path) -> Scores:
    scores: Scores = {}
    for file in out.rglob("results_*.json"):
        for task, result in json.loads(file.read_text())["results"].items():
            metrics = {key: value for key, value in result.items() if "," in key and "_stderr," not in key}
            scores[task.removeprefix(peer(""))] = metrics
    return scores


def differences(scores: dict[str, Scores]) -> list[str]:
    """A line for each metric in which a side differs from ours, or which it lacks."""
    lines = []
    for side in SIDES[1:]:
        for name, metrics in scores["ours"].items():
            for metric, value in metrics.items():
                other = scores[side].get(name, {}).get(metric)
                if other is None or abs(other - value) > 1e-9:
                    lines.append(f"{name} {metric}: ours {value}, {side} {other}")
    return lines


def summary(setting: Setting, best: dict[str, Run], identical: bool) -> dict[str, Any]:
    ratios = {
        f"{side}_over_ours_by_{unit}": round(best[side].spent[place] / best["ours"].spent[place], 2)
        for side in SIDES[1:]
        for place, unit in enumerate(("seconds", "cpu_seconds"))
    }
    options = setting.options
    facts = {"model": setting.model.name, "tasks": list(setting.benchmarks), "limit": options.limit}
    sizes = {"batch_tokens": options.batch_tokens, "batch_size": options.batch_size, "threads": options.threads}
    sizes |= {} if options.device == "cpu" else {"device": options.device}
    load = [round(value, 2) for value in os.getloadavg()]
    sides = {name: [round(value, 2) for value in side.spent] for name, side in best.items()}
    speeds = {"items": setting.counts, **rates(setting, best)}
    measured = {"identical": identical, "load": load, "sides": sides}
    return {"benchmark": "evaluation", **facts, **sizes, **ratios, **speeds, **measured}


def rates(setting: Setting, best: dict[str, Run]) -> dict[str, dict[str, Any]]:
    """Items per second by the clock (also by task, if known) and per CPU second."""
    counts, total = setting.counts, sum(setting.counts.values())
    by_clock = {
        side: {name: round(counts[name] / seconds, 2) for name, seconds in run.tasks.items()}
        | {"total": round(total / run.spent[0], 2)}
        for side, run in best.items()
    }
    by_cpu = {side: round(total / run.spent[1], 2) for side, run in best.items()}
    return {"items_per_second": by_clock, "items_per_cpu_second": by_cpu}


if __name__ == "__main__":
    main()
