"""What `prunegrid plan` reckons with on a GPU, from a run's results.

python benchmarks/gpu rates DIR/results.json      # writes src/prunegrid/plan/gpu_rates.json
"""

import json
import sys
from pathlib import Path
from typing import Any

from gpu import limits
from gpu.processes import PROJECT, write_json

FILE = PROJECT / "src/prunegrid/plan/gpu_rates.json"
KINDS = {"lora": "full", "full": "full_all_weights"}  # of training: the side that measures it


def of_results(results: dict[str, Any]) -> dict[str, Any]:
    """The rates that these sections tell; a name whose sections did not run is missing.

    Of each model operations a second in bf16, of a forward, and of training LoRA's and all weights; of all of them in
    float32. `layer_s` is what a layer of a forward takes at least, `step_s` what an optimizer step takes beside its
    passes, `decode_bytes_s` the rate at which a step of 64 answers reads the weights with the faster of our caches,
    `start_s` the seconds until a process has its GPU.
    """
    sections = results["sections"]
    models = {name: measured for name in limits.SHAPES if (measured := _of_model(sections, name))}
    rates: dict[str, Any] = {"models": list(models.values())} if models else {}
    largest = next(iter(models), "")
    scoring, training = sections.get(f"scoring:{largest}", {}), sections.get(f"training:{largest}", {})
    generation = _generation(sections)
    if "layer_ms" in scoring:
        rates["layer_s"] = scoring["layer_ms"] / 1e3
    if {"full", "drop"} <= training.keys():
        rates["step_s"] = _step(training["full"], training["drop"])
    if {"best", "limit"} <= generation.keys():
        rates["decode_bytes_s"] = 1e12 * generation["limit"]["weights_gb"] / generation["best"]["step_ms"]
    if "device_start_s" in sections.get("facts", {}):
        rates["start_s"] = sections["facts"]["device_start_s"]
    return rates


def _generation(sections: dict[str, Any]) -> dict[str, Any]:
    """The section of the largest model of which there are rates."""
    largest = next((name for name in limits.SHAPES if _of_model(sections, name)), "")
    rates: dict[str, Any] = sections.get(f"generation:{largest}", {})
    return rates


def _of_model(sections: dict[str, Any], model: str) -> dict[str, float]:
    scoring, training = sections.get(f"scoring:{model}", {}), sections.get(f"training:{model}", {})
    sides = {"forward": scoring.get("sides", {}).get("ours"), "float32": scoring.get("float32")}
    sides |= {kind: training.get(name) for kind, name in KINDS.items()}
    rates = {
        kind: float(f"{side['tokens_s'] * side['operations_a_token']:.3g}")
        for kind, side in sides.items()
        if isinstance(side, dict) and "tokens_s" in side
    }
    return {"parameters": limits.SHAPES[model].parameters, **rates} if rates else {}


def _step(full: dict[str, Any], drop: dict[str, Any]) -> float:
    """Seconds of a pruned step beyond what its tokens take in a full one."""
    return round(max(0.0, drop["step_s"] - drop["tokens_a_step"] / full["tokens_s"]), 4)


def main(arguments: list[str]) -> None:
    if len(arguments) != 1:
        sys.exit("usage: python benchmarks/gpu rates DIR/results.json")
    results = json.loads(Path(arguments[0]).read_text())
    write_json(FILE, for_plan(results))
    print(f"{FILE.relative_to(PROJECT)}: {json.dumps(for_plan(results))}")


def for_plan(results: dict[str, Any]) -> dict[str, Any]:
    """All names, or an error: `prunegrid plan` takes its rates from one card."""
    if results["device"] != "cuda":
        sys.exit("these results are a CPU's; measure on a GPU")
    rates = of_results(results)
    missing = sorted({"models", "layer_s", "step_s", "decode_bytes_s", "start_s"} - rates.keys())
    incomplete = [f"{key} of {m['parameters']:,}" for m in rates.get("models", []) for key in _lacking(m)]
    if missing or incomplete:
        sys.exit(f"these results do not tell {', '.join(missing + incomplete)}; run the sections that lack (README.md)")
    card, cache = results["sections"]["facts"]["card"], _generation(results["sections"])["best"]["engine"]
    source = f"measured on {card}, {results['date'][:10]}, commit {results['commit'][:10]}; generation: {cache}"
    return {"source": source, **rates}


def _lacking(model: dict[str, float]) -> list[str]:
    """A 7B's training of all weights does not fit a card, so LoRA's may stand alone."""
    return sorted({"forward", "float32", "lora"} - model.keys())
