"""Sections of simulations: what they say depends on no machine."""

from sections import Measured, Section, fixed, listed, percent


def inference(m: Measured) -> Section:
    ours = [setting["ours"] for setting in m["settings"]]
    coverage = [value for one in ours for value in one["coverage"]]
    false = [value for one in ours for value in one["false_marks"]]
    claim = (
        f"The table's 95 % intervals cover the truth in {min(coverage):.1f} to {max(coverage):.1f} % of simulated "
        f"tables. At most {max(false):.1f} % of them have a false asterisk in a column "
        f"({m['tables']} tables per setting)."
    )
    return Section(
        claim, [_setting(setting["setting"], setting["ours"], setting["oracle"]) for setting in m["settings"]]
    )


def _setting(name: str, ours: Measured, oracle: Measured) -> dict[str, str]:
    benchmarks, average = ours["false_marks"][:-1], ours["false_marks"][-1]
    return {
        "setting (seeds)": name,
        "false asterisks in a benchmark: mean (worst), %": f"{_mean(benchmarks)} ({max(benchmarks):.1f})",
        "in Avg, %": fixed(average),
        "recipe's interval covers, %": f"{min(ours['coverage']):.1f} to {max(ours['coverage']):.1f}",
        "the noisy row's, %": f"{min(ours['loud']):.1f} to {max(ours['loud']):.1f}" if ours["loud"] else "",
        "effects found: benchmarks, Avg, %": _found(ours),
        "by an oracle that knows the variances, %": _found(oracle),
        "width by the oracle's": fixed(ours["width"], 2),
    }


def _found(method: Measured) -> str:
    return f"{_mean(method['found'][:-1])}, {method['found'][-1]:.1f}" if method["found"] else ""


def _mean(values: list[float]) -> str:
    return f"{sum(values) / len(values):.1f}"


def draws(m: Measured) -> Section:
    items = [values[0] for values in m["settings"].values()]
    claim = (
        f"The items' 95 % interval covers the truth in {min(items):.1f} to {max(items):.1f} % of {m['tables']} "
        "simulated tables where an item has 1 to 8 drawn answers."
    )
    rows = [
        {
            "answers per item": name.split()[0],
            "random numbers": name.split()[1],
            "items' interval covers, %": fixed(covered),
            "recipe's interval covers, %": fixed(recipe),
            "`draw_se` by the truth": fixed(ratio, 2),
        }
        for name, (covered, recipe, ratio) in m["settings"].items()
    ]
    return Section(claim, rows)


def ladder(m: Measured) -> Section:
    if "planned" in m:
        rows = [
            {"rows that a difference changes": name} | {key: str(value) for key, value in row.items()}
            for name, row in m["planned"].items()
        ]
        return Section(
            f"What a finished table's noise says of a ladder's seeds; the aim is {m['detect']:g} points.", rows
        )
    contributions = m["coverage"]["contribution"]
    claim = (
        f"The 95 % intervals of a ladder's contributions cover the truth in {min(contributions):.1f} to "
        f"{max(contributions):.1f} % of {m['tables']} simulated tables of {m['seeds']} seeds. Some difference without "
        f"effect is marked in {m['false_marks']:.1f} %, the one of {m['points']:g} points in {m['found']:.1f} %."
    )
    rows = [
        {"part": part, "interval covers, %": f"{min(values):.1f} to {max(values):.1f}"}
        for part, values in m["coverage"].items()
    ]
    return Section(claim, rows)


def readings(m: Measured) -> Section:
    half = [row for row in m["rows"] if (row["sample_ratio"], row["token_ratio"]) == (0.25, 0.5)]
    parts = [f"{percent(row['tokens_of_kept'])} in the reading `{row['reading']}`" for row in half]
    claim = f"At 25 x 50 Q-Tuning keeps this share of the response tokens of kept samples: {listed(parts)}."
    rows = [
        {
            "reading": row["reading"],
            "budget": f"{100 * row['sample_ratio']:g} x {100 * row['token_ratio']:g}",
            "kept samples in Q2 or Q4": fixed(row["quadrants"], 2),
            "filled like Q2": fixed(row["filled_q2"], 2),
            "like Q4": fixed(row["filled_q4"], 2),
            "response tokens kept of Q2": fixed(row["tokens_of_q2"], 2),
            "of kept samples": fixed(row["tokens_of_kept"], 2),
            "mini-batches with Q2 emptied": fixed(row["emptied"], 2),
            "without a drop": fixed(row["undropped"], 2),
            "all tokens kept (nominal)": f"{row['all_tokens']:.3f} ({row['sample_ratio'] * row['token_ratio']:.4f})",
        }
        for row in m["rows"]
    ]
    return Section(claim, rows)


def sandbox(m: Measured) -> Section:
    order = "no order is broken" if not m["broken"] else "; ".join(m["broken"])
    claim = (
        f"With {m['answers']} answers the sandbox ranks Full above Random above Zero-Shot, and Full above shuffled "
        f"responses: {order}."
    )
    rows = [{"row": cell} | {name: fixed(value, 2) for name, value in row.items()} for cell, row in m["scores"].items()]
    return Section(claim, rows)
