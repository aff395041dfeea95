"""Whether a sandbox world is sensitive: Full above Random + Random above Zero-Shot, and Full above shuffled responses.

    python benchmarks/sandbox.py OUT [--answers long] [--seed 0]

Runs these four cells of the default experiment (or of experiments/sandbox_long.yaml) in the folder OUT with Snakemake,
on one core; what is finished there is not run again. It ends with status 1 if an average breaks the order, and the last
line is one JSON object. No claim about speed.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import fmean

import yaml

ROOT = Path(__file__).parents[1]
CONFIGS = {"short": ROOT / "config.yaml", "long": ROOT / "experiments" / "sandbox_long.yaml"}
ORDER = [("full", "random+random"), ("random+random", "zero-shot"), ("full", "shuffled-responses")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--answers", choices=sorted(CONFIGS), default="short")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    scores = run(CONFIGS[arguments.answers], arguments.out, arguments.seed)
    for cell, columns in scores.items():
        print(f"{cell:20}" + "".join(f"{name:>10} {value:6.2f}" for name, value in columns.items()))
    broken = [f"{upper} is not above {lower}" for upper, lower in ORDER if scores[upper]["Avg"] <= scores[lower]["Avg"]]
    print(json.dumps({"benchmark": "sandbox", "answers": arguments.answers, "scores": scores, "broken": broken}))
    sys.exit(bool(broken))


def run(config: Path, out: Path, seed: int) -> dict[str, dict[str, float]]:
    """Each cell's scores in percent, by benchmark, and their mean, `Avg`."""
    experiment = yaml.safe_load(config.read_text())
    folder = Path("results") / experiment["experiment"] / "evaluation" / next(iter(experiment["models"]))
    budget = experiment["budgets"][0]
    pair = f"s{budget['sample_ratio']}-t{budget['token_ratio']}/random+random/seed{seed}"
    cells = {"zero-shot": "zero-shot", "random+random": pair}
    cells |= {name: f"{name}/seed{seed}" for name in ("full", "shuffled-responses")}
    names = list(experiment["evaluation"]["benchmarks"])
    command = ["snakemake", "--snakefile", ROOT / "Snakefile", "--directory", out, "--cores", "1", "--quiet", "all"]
    command += ["--configfile", config, "--config", f"seeds=[{seed}]"]
    command += ["references=[zero-shot,full,shuffled-responses]", "variants=[random+random]", "--"]
    out.mkdir(parents=True, exist_ok=True)
    subprocess.run([*command, *[folder / cell / f"{names[0]}.json" for cell in cells.values()]], check=True)
    scores = {}
    for cell, path in cells.items():
        columns = {name: json.loads((out / folder / path / f"{name}.json").read_text())["score"] for name in names}
        scores[cell] = columns | {"Avg": fmean(columns.values())}
    return scores


if __name__ == "__main__":
    main()
