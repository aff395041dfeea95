"""The answers to the contrasts of the config, which stand below the table's rows."""

from pathlib import Path
from typing import Any

import pandas as pd

from prunegrid.experiment import statement
from prunegrid.experiment.config import Experiment
from prunegrid.table import text
from prunegrid.table.document import Answer, Table

TITLE = "Stated questions"
NOTE = (
    "Each delta is a mean over benchmarks, models and budgets, in points, with its 95 % interval. The last p is "
    "corrected for the number of these questions (Holm); an asterisk marks one below 5 %."
)
HEADER = ("Question", "Compared", "Delta", "95 % interval", "p", "p, corrected", "Stated")
NOT_DONE = "not computed yet"
UNTESTED = "not tested"


def answers(experiment: Experiment, directory: Path, contrasts: pd.DataFrame) -> list[Answer]:
    """An answer for each row of the frame of `statistics.primary`."""
    lines: Any = contrasts.itertuples()
    return [_answer(line, statement.remark(experiment, directory, line.contrast)) for line in lines]


def line(answer: Answer) -> list[str]:
    """The cells under `HEADER`."""
    if answer.delta is None:
        return [answer.name, answer.question, NOT_DONE, "", "", "", answer.remark]
    star = "*" if answer.significant else ""
    p_values = [UNTESTED if p is None else f"{p:.3g}" for p in (answer.p, answer.p_adjusted)]
    return [
        answer.name,
        answer.question,
        f"{text.arrow(answer.delta)}{star}",
        _interval(answer),
        *p_values,
        answer.remark,
    ]


def sentences(table: Table) -> list[str]:
    """The same, a sentence each."""
    return [_sentence(answer) for answer in table.answers]


def _sentence(answer: Answer) -> str:
    _, question, _, interval, p, corrected, remark = line(answer)
    start = f"Question {answer.name} (stated: {remark}): {question}"
    if answer.delta is None:
        return f"{start}: {NOT_DONE}."
    test = UNTESTED if answer.p is None else f"p = {p}, {corrected} over {answer.n_family} questions (Holm)"
    return f"{start}: {answer.delta:+.2f} points, 95 % interval {interval}, {test}."


def _interval(answer: Answer) -> str:
    if answer.low is None or answer.high is None:
        return "none: too few clusters of items"
    noise = "item noise only" if answer.n_seeds == 1 else "items and seeds"
    return f"{answer.low:+.2f} to {answer.high:+.2f}, {noise}"


def _answer(row: Any, remark: str) -> Answer:
    low, high = (row.item_low, row.item_high) if row.n_seeds == 1 else (row.low, row.high)
    places = [
        _number(names, word)
        for names, word in ((row.benchmarks, "benchmark"), (row.models, "model"), (row.budgets, "budget"))
    ]
    question = f"{row.variants} against {row.against}, over {places[0]}, {places[1]} and {places[2]}"
    found = {"delta": row.delta, "low": low, "high": high, "p": row.p, "p_adjusted": row.p_adjusted}
    known: dict[str, Any] = {name: None if pd.isna(value) else float(value) for name, value in found.items()}
    significant = None if pd.isna(row.significant) else bool(row.significant)
    n_family = None if pd.isna(row.n_family) else int(row.n_family)
    return Answer(
        row.contrast, question, int(row.n_seeds), **known, n_family=n_family, significant=significant, remark=remark
    )


def _number(names: str, word: str) -> str:
    """`5 benchmarks`, or the name of a single one."""
    parts = names.split(", ")
    return f"{len(parts)} {word}s" if len(parts) > 1 else f"the {word} {names}"
