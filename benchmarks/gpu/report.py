"""What was measured beside what is expected, what falls short of it, and the goals beside their measurements."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from gpu import limits

SHORT = 0.8  # of what limits.py expects of eager kernels
SPEED = ("scoring", "training", "generation", "vllm_engine")  # a CPU falls short of all that is expected of these


class Row(NamedTuple):
    label: str
    measured: Any
    expected: Any = ""
    short: bool = False


class Goal(NamedTuple):
    """`path` leads to the number in the results' sections; it should be at least, or at most, `value`."""

    label: str
    path: tuple[str, ...]
    at_least: bool
    value: float


GOALS = (
    Goal("scoring 7B, tokens/s", ("scoring:7b", "sides", "ours", "tokens_s"), True, 34_000),
    Goal("scoring 1B, tokens/s", ("scoring:1b", "sides", "ours", "tokens_s"), True, 130_000),
    Goal("scoring 7B over a bare forward", ("scoring:7b", "ours_over_bare"), True, 0.95),
    Goal("LoRA 7B full, tokens/s", ("training:7b", "full", "tokens_s"), True, 12_000),
    Goal("LoRA 7B full with Liger, tokens/s", ("training:7b", "full_liger", "tokens_s"), True, 14_000),
    Goal("LoRA 7B over the padded Trainer", ("training:7b", "compared", "full_over_trainer_padded"), True, 1.5),
    Goal("LoRA 7B over TRL packed", ("training:7b", "compared", "full_over_trl_packed"), True, 1.2),
    Goal(
        "7B drop 12.5 x 50, seconds a token over full's",
        ("training:7b", "compared", "seconds_a_token_drop_over_full"),
        False,
        1.15,
    ),
    Goal("7B dynamic step over a full step", ("training:7b", "compared", "dynamic_step_over_full_step"), False, 0.5),
    Goal("7B scoring's share of a dynamic step", ("training:7b", "dynamic", "scoring_share"), False, 0.5),
    Goal("generation 7B, 64 rows, tokens/s", ("generation:7b", "best", "tokens_s"), True, 5_000),
    Goal("resume exact with deterministic", ("resume", "bf16_deterministic", "resumed", "equal"), True, 1),
    Goal("the same, dynamic", ("resume", "bf16_deterministic_dynamic", "resumed", "equal"), True, 1),
)


def goals(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Each goal with what was measured, `not run` where it was not (a CPU's numbers say nothing about them)."""
    values = []
    for goal in GOALS:
        value = _at(results["sections"], goal.path) if results["device"] == "cuda" else None
        measured = "not run" if value is None else float(value)
        met = None if value is None else (value >= goal.value if goal.at_least else value <= goal.value)
        wanted = f"{'>=' if goal.at_least else '<='} {goal.value:g}"
        engine = None if value is None else _at(results["sections"], (*goal.path[:-1], "engine"))
        label = f"{goal.label} ({engine})" if engine else goal.label
        values.append({"goal": label, "wanted": wanted, "measured": measured, "met": met})
    return values


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def card_of(results: dict[str, Any]) -> limits.Card:
    """This card's own rates, of which expectations are made; an H100's where they were not measured."""
    facts = results["sections"].get("facts", {})
    usual = limits.Card()
    peak, bandwidth = facts.get("bf16_tflops", 0) * 1e12, facts.get("copy_gb_s", 0) * 1e9
    return limits.Card(peak or usual.peak, bandwidth or usual.bandwidth)


def brief(values: dict[str, Any]) -> str:
    """How a section ended, in a line."""
    if "error" in values:
        return f"{values['ended']}, {values['error'].strip().splitlines()[-1][:160]}"
    return values.get("why") or f"{values['ended']}, {values['wall_s']} s, {len(values) - 2} results"


def table(results: dict[str, Any]) -> list[str]:
    """The closing table, then the goals."""
    lines = [f"{'what':64}{'measured':>14}{'expected':>14}"]
    for row in rows(results):
        mark = "  <-- short" if row.short else ""
        lines.append(f"{row.label[:63]:64}{_text(row.measured):>14}{_text(row.expected):>14}{mark}".rstrip())
    lines += ["", f"{'goal':64}{'measured':>14}{'wanted':>14}"]
    for goal in results["goals"]:
        mark = "  <-- short" if goal["met"] is False else ""
        lines.append(f"{goal['goal']:64}{_text(goal['measured']):>14}{goal['wanted']:>14}{mark}")
    return lines


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def rows(results: dict[str, Any]) -> Iterator[Row]:
    readers = {
        "facts": _facts,
        "kernels": _kernels,
        "correct": _correct,
        "scoring": _scoring,
        "training": _training,
        "generation": _generation,
        "vllm_engine": _generation,
        "resume": _resume,
        "tests_gpu": _tests,
    }
    for name, values in results["sections"].items():
        section = name.partition(":")[0]
        judged = results["device"] == "cuda" or section not in SPEED
        for row in readers[section](values):
            yield row._replace(label=f"{name} {row.label}", short=row.short and judged)
        yield from (
            Row(f"{name} {key}", str(value).strip().splitlines()[-1][:60], "", True)
            for key, value in values.items()
            if key == "error" or key.endswith("_error")
        )
        if values["ended"] != "exit 0":
            yield Row(name, values.get("why", values["ended"]), "", "why" not in values)


def _facts(values: dict[str, Any]) -> Iterator[Row]:
    usual = {"bf16_tflops": 790, "copy_gb_s": 3000, "launch_us": 5, "to_device_pageable_gb_s": 6, "sha256_gb_s": 1.5}
    yield from (Row(f"{key} (an H100's)", values[key], value) for key, value in usual.items() if key in values)


def _kernels(values: dict[str, Any]) -> Iterator[Row]:
    for name, measured in values.items():
        if name.startswith("packed_") and isinstance(measured, dict):
            yield Row(f"{name} error", measured["error"], 1e-2, measured["error"] > 1e-2)
            once = measured["forward_ms"]
            yield Row(f"{name} forward, ms (a call a sample)", once, measured["loop_forward_ms"])
        if name.startswith("head_") and isinstance(measured, dict) and "matrix_ms" in measured:
            times = {key: value for key, value in measured.items() if key.startswith(("score_", "train_"))}
            for key, value in times.items():
                yield Row(f"{name} {key}", value, measured["matrix_ms"] * (1 if key.startswith("score") else 2))
            for key in ("nll_error", "entropy_error"):
                if key in measured:
                    yield Row(f"{name} {key}, nats", measured[key], 1e-3, measured[key] > 1e-3)


def _correct(values: dict[str, Any]) -> Iterator[Row]:
    for name, measured in values.items():
        if name.startswith("packed_") and isinstance(measured, dict):
            most = 1e-2 if "bfloat16" in name else 1e-4
            for key, value in measured.items():
                yield Row(f"{name} {key}", value, most, value > most)
    if "float32_from_float64" in values:
        worst = max(values["float32_from_float64"].values())
        yield Row("float32 scores, worst over tolerance", worst, 1, worst > 1)
    for method, share in values.get("selections_differing_bf16_from_float32", {}).items():
        yield Row(f"{method}: samples that bf16 changes", share["samples"])
        yield Row(f"{method}: tokens that bf16 changes", share["tokens"])


def _scoring(values: dict[str, Any]) -> Iterator[Row]:
    for name, side in values.get("sides", {}).items():
        short = name == "ours" and side["tokens_s"] < SHORT * side["expected"]
        yield Row(f"{name}, tokens/s ({side['mfu']} % MFU)", side["tokens_s"], side["expected"], short)
    for key, least in (("ours_over_bare", 0.95), ("ours_over_naive", 2)):
        if key in values:
            yield Row(key, values[key], least, values[key] < least)


def _training(values: dict[str, Any]) -> Iterator[Row]:
    for name, side in values.items():
        if isinstance(side, dict) and "tokens_s" in side:
            expected = side.get("expected", "")
            short = bool(expected) and side["tokens_s"] < SHORT * expected
            memory = "" if side["peak_gb"] is None else f", {side['peak_gb']} GB"
            label = f"{name}, tokens/s ({side['mfu']:.3g} % MFU{memory})"
            yield Row(label, side["tokens_s"], expected, short)
        elif isinstance(side, str) and "not installed" in side:
            yield Row(name, side)
    for name, ratio in values.get("compared", {}).items():
        yield Row(name, ratio)
    for name in ("dynamic", "dynamic_rescore_4"):
        share = _at(values, (name, "scoring_share"))
        if share is not None:
            yield Row(f"scoring's share of {name} (paper 0.66)", share, 0.5, share > 0.5)


def _generation(values: dict[str, Any]) -> Iterator[Row]:
    limit, best = _at(values, ("limit", "tokens_s")), _at(values, ("best", "engine"))
    for name, engine in values.items():
        if isinstance(engine, dict) and "answers_s" in engine:
            short = name == best and engine["tokens_s"] < 0.5 * limit
            yield Row(f"{name}, tokens/s", engine["tokens_s"], limit, short)
        elif isinstance(engine, str) and "not installed" in engine:
            yield Row(name, engine)
    options = values.get("options_items_s")
    if options:
        yield Row("options, items/s (twice lm-eval's)", options["ours"], 2 * options["lm_eval"])


def _resume(values: dict[str, Any]) -> Iterator[Row]:
    for name, case in values.items():
        if isinstance(case, dict) and "resumed" in case:
            exact = name.startswith("bf16_deterministic")  # nothing else promises it on a GPU
            for key in ("again", "resumed"):
                yield Row(f"{name}: {key} equal", case[key]["equal"], exact or "", exact and not case[key]["equal"])


def _tests(values: dict[str, Any]) -> Iterator[Row]:
    for name, part in values.items():
        if isinstance(part, dict) and "exit" in part:
            yield Row(f"{name}: pytest's exit", part["exit"], 0, part["exit"] != 0)
