"""Sections of what runs a model: scoring, training, evaluation."""

from typing import Any

from sections import Measured, Section, count, figures, fixed, listed, over, percent, times

SIDES = {
    "ours": "prunegrid",
    "bare": "bare forward",
    "naive": "naive implementation",
    "trainer": "Trainer, padded",
    "trl": "TRL",
    "trl-packed": "TRL, packed",
    "commands": "one lm_eval command per task",
    "command": "one lm_eval command",
}
TOKENS, CPU = "trained_tokens_per_second", "trained_tokens_per_cpu_second"


def scoring(m: Measured) -> Section:
    naive, bare = (m[f"speed_ours_over_{side}_by_cpu_seconds"] for side in ("naive", "bare"))
    claim = (
        f"On {m['model']} the scoring pass is {times(naive)} times as fast as the naive implementation and "
        f"{times(bare)} times as fast as a bare forward (CPU seconds). It adds "
        f"{times(m['memory_ours_over_naive'])} times the memory that the naive one adds. "
        f"{count(m['samples'])} samples, {count(m['tokens'])} tokens, cut-off "
        f"{m['max_length']}, {m['threads']} threads."
    )
    rows = [
        {
            "side": SIDES[side],
            "tokens per CPU second": count(row["tokens_per_cpu_second"]),
            "tokens per second": count(row["tokens_per_second"]),
            "extra memory, MB": count(row["extra_megabytes"]),
            "prunegrid is faster by (CPU)": times(m.get(f"speed_ours_over_{side}_by_cpu_seconds")),
            "(clock)": times(m.get(f"speed_ours_over_{side}_by_seconds")),
        }
        for side, row in m["sides"].items()
    ]
    return Section(
        claim, rows, (f"scoring, against the naive implementation, {m['model']}", f"{times(naive)} times as fast")
    )


def training(m: Measured) -> Section:
    return {"peers": _peers, "marginal": _marginal, "dynamic": _dynamic}[m["part"]](m)


def _peers(m: Measured) -> Section:
    ratios = {side: m.get(f"speed_ours_over_{side}_by_cpu_second") for side in m["sides"] if side != "ours"}
    parts = [f"{times(ratio)} times as fast as {SIDES[side]}" for side, ratio in ratios.items()]
    claim = (
        f"On {m['model']} training is {listed(parts)} (CPU seconds), with the same tokens, steps and settings (LoRA, "
        f"float32). {m['samples']} samples, cut-off {m['max_length']}, {m['batch']} samples per step."
    )
    rows = [
        {
            "side": SIDES[side],
            "trained tokens per CPU second": figures(row.get(CPU)),
            "per second": figures(row.get(TOKENS)),
            "peak memory, MB": count(row["peak_mb"]),
            "prunegrid is faster by (CPU)": times(ratios.get(side)),
            "(clock)": times(m.get(f"speed_ours_over_{side}_by_second")),
        }
        for side, row in m["sides"].items()
    ]
    headline = (f"training, against a padded Trainer, {m['model']}", f"{times(ratios.get('trainer'))} times as fast")
    return Section(claim, rows, headline if "trainer" in ratios else None)


def _marginal(m: Measured) -> Section:
    budgets: dict[str, Any] = m["budgets"]
    pruned = [row for name, row in budgets.items() if name != "full"]
    ratios = [row["slope_cpu_ms_over_full"] for row in pruned]
    claim = (
        f"On {m['model']} a further forwarded token of a pruned row costs {times(min(ratios))} to {times(max(ratios))} "
        "times what one of the full data costs (CPU seconds, slope between a batch and its double)."
    )
    rows = [
        {
            "budget": name,
            "forwarded tokens": count(row.get("forwarded_tokens")),
            "average over full's": times(row.get("average_ms_over_full")),
            "slope over full's (CPU)": times(row["slope_cpu_ms_over_full"]),
            "(clock)": times(row.get("slope_ms_over_full")),
        }
        for name, row in budgets.items()
    ]
    return Section(claim, rows)


def _dynamic(m: Measured) -> Section:
    budgets: dict[str, Any] = m["budgets"]
    ratios = [row["measured_over_predicted_by_cpu_seconds"] for row in budgets.values()]
    claim = (
        f"On {m['model']} dynamic mode ({m['method']}) takes {times(min(ratios))} to {times(max(ratios))} times what "
        "its cost model says: a scoring forward of all candidates and of the probe, and training on what is kept."
    )
    rows = [
        {
            "budget": name,
            "measured, CPU s": figures(row["cpu_seconds"]),
            "scoring": figures(row["forward_cpu_seconds"]),
            "probe": figures(row["probe_cpu_seconds"]),
            "static run, scaled": figures(row["static_cpu_seconds"]),
            "measured / predicted": times(row["measured_over_predicted_by_cpu_seconds"]),
        }
        for name, row in budgets.items()
    ]
    return Section(claim, rows)


def evaluation(m: Measured) -> Section:
    sides: dict[str, list[float]] = m["sides"]
    ratios = {side: m[f"{side}_over_ours_by_cpu_seconds"] for side in ("commands", "command")}
    items = sum(m["items"].values())
    same = "All metrics are equal." if m["identical"] else "Metrics differ."
    claim = (
        f"Evaluating {m['model']} on {len(m['tasks'])} tasks ({items} items) takes lm_eval {times(ratios['commands'])} "
        f"times the CPU seconds with one command per task, and {times(ratios['command'])} times with one for all. "
        f"Start-up is included. {same}"
    )
    rows = [
        {
            "side": SIDES[side],
            "CPU seconds": figures(cpu),
            "seconds": figures(wall),
            "items per CPU second": figures(items / cpu),
            "over prunegrid's CPU seconds": times(ratios.get(side)),
            "over its seconds": times(m.get(f"{side}_over_ours_by_seconds")),
        }
        for side, (wall, cpu) in sides.items()
    ]
    headline = f"evaluation, against one lm_eval command per task, {m['model']}"
    return Section(claim, rows, (headline, f"{times(ratios['commands'])} times as fast"))


def prefixes(m: Measured) -> Section:
    ratios = {name: row["ratio"] for name, row in m["sets"].items()}
    parts = [f"{times(ratio)} times as fast on {name}" for name, ratio in ratios.items()]
    claim = f"On {m['model']} generation with `share_prefixes` is {listed(parts)} (CPU seconds)."
    rows = [
        {
            "prompts": name,
            "number": count(row["prompts"]),
            "tokens shared": percent(row["shared"]),
            "whole prompts, CPU s": figures(row["rows"]),
            "shared prefixes, CPU s": figures(row["prefixes"]),
            "ratio": times(row["ratio"]),
            "different answers": count(row.get("different")),
        }
        for name, row in m["sets"].items()
    ]
    best = max(ratios, key=lambda name: ratios[name])
    return Section(
        claim, rows, (f"shared prefixes, against whole prompts, {best}", f"{times(ratios[best])} times as fast")
    )


def conversations(m: Measured) -> Section:
    turns: dict[str, Any] = m["by_turns"]
    most = max(turns, key=int)
    row = turns[most]
    claim = (
        f"On {m['model']} conversations of {most} answers with a row for each answer (`turns: each`) take "
        f"{times(row['scoring_cpu_each_over_all'])} times the CPU seconds of `turns: all`, which reads them once, in "
        f"scoring, and {times(row['training_cpu_each_over_all'])} times in training."
    )
    rows = [
        {
            "answers": number,
            "positions": times(row["scoring_positions_each_over_all"]),
            "scoring, CPU": times(row["scoring_cpu_each_over_all"]),
            "training, CPU": times(row["training_cpu_each_over_all"]),
        }
        for number, row in turns.items()
    ]
    ratio = f"{times(turns[most]['training_cpu_each_over_all'])} times as fast"
    return Section(claim, rows, (f"training on {most} answers read once, compared with one row each", ratio))


def columns(m: Measured) -> Section:
    shares: dict[str, float] = m["over_bare"]
    cheap = [name for name, share in shares.items() if share <= 0.02]
    claim = (
        f"On {m['model']} ({m['parameters'] / 1e6:,.0f} million parameters) {len(cheap)} of {len(shares)} columns "
        "cost at most 2 % of the forward that the scoring pass makes anyway."
    )
    rows = [
        {"column": name, "CPU seconds over the bare forward's": percent(share, 2)} for name, share in shares.items()
    ]
    return Section(claim, rows)


def rescoring(m: Measured) -> Section:
    return {"forwards": _forwards, "every": _every}[m["part"]](m)


def _forwards(m: Measured) -> Section:
    by_side = {(row["candidates"], row["side"]): row for row in m["rows"]}
    numbers = list(dict.fromkeys(row["candidates"] for row in m["rows"]))
    most = max(numbers)
    padded, packed = by_side[most, "padded"], by_side[most, "packed"]
    claim = (
        f"Packing scores {most} candidates of a dynamic step in {fixed(packed['forwards'])} forwards instead of "
        f"{fixed(padded['forwards'])}, at {m['batch_tokens']:,} tokens per forward and a cut-off of {m['cut_off']:,}."
    )
    rows = [
        {"candidates of a step": str(number)}
        | {f"forwards, {side}": fixed(by_side[number, side]["forwards"]) for side in ("padded", "packed")}
        | {"fewer by": times(over(by_side[number, "padded"], by_side[number, "packed"], "forwards"))}
        for number in numbers
    ]
    fewer = f"{times(over(padded, packed, 'forwards'))} times fewer"
    return Section(claim, rows, (f"forwards that score {most} candidates, packed instead of padded", fewer))


def _every(m: Measured) -> Section:
    means: dict[str, Any] = m["means"]
    claim = (
        "Scoring less often (`training.rescore_every`) saves passes and selects other samples; `control` is the first "
        f"column with a learning rate 1 % larger. {m['method']}, means of seeds {listed(list(map(str, m['seeds'])))}."
    )
    names = {
        "samples_that_differ": lambda value: percent(value),
        "token_numbers_that_differ": lambda value: percent(value, 1),
        "scoring_passes": count,
        "mean_nll_at_end": lambda value: fixed(value, 3),
    }
    rows = [
        {"mean": name.replace("_", " ")} | {value: shown(row.get(name)) for value, row in means.items()}
        for name, shown in names.items()
    ]
    return Section(claim, rows)
