r"""MATH's measures, of lm-eval's minerva_math and hendrycks_math: what an answer says in the end, and if it is right.

Minerva's normalisation is written anew; Hendrycks' comparison is the installed lm-eval's.
"""

import re
from importlib.util import find_spec
from typing import Any

from lm_eval.tasks.hendrycks_math.utils import is_equiv, last_boxed_only_string, remove_boxed

from prunegrid.tasks.minerva import MARKS, UNITS, complete_fractions, substitute, unwrap

INVALID = "[invalidanswer]"


def final_answer(text: str) -> str:
    """What Minerva's closing sentence says; `INVALID` without one."""
    match = re.search(r"Final Answer: The final answer is(.*?). I hope it is correct.", text + "I hope it is correct.")
    return match.group(1).strip() if match else INVALID


def boxed(text: str) -> str | None:
    r"""The content of the last `\boxed`; None without one, or where its brace is not closed."""
    boxed = last_boxed_only_string(text)
    return remove_boxed(boxed) if boxed and re.match(r"\\boxed[ {]", boxed) else None


def normalise(answer: str) -> str:
    r"""Minerva's normal form of lm-eval: without units, spaces and wrappers, fractions and roots complete."""
    text = answer.split("=")[-1]
    words = [unit for unit in UNITS if unit.isalpha()]
    for word in words:
        text = re.sub(rf"(?<!\\)\b{word}\b", "", text)
    text = substitute(text)
    for unit in UNITS:
        # a unit may stand against its number; `\left` keeps its `ft`
        parts = re.split(r"(\\[a-zA-Z]+)", text) if unit in words else [text]
        text = "".join(part if i % 2 else part.replace(unit, "") for i, part in enumerate(parts))
    for mark in MARKS:
        text = text.replace(mark, "")
    text = unwrap(re.sub(r"(.*?)(\$)(.*?)(\$)(.*)", r"$\3$", text))
    text = re.sub(r"sqrt(\[[^\]]*\])(\w)", r"sqrt\1{\2}", complete_fractions(text))
    text = re.sub(r"sqrt(?!\[)([^{])", r"sqrt{\1}", text).replace("$", "")
    return text.replace(",", "") if re.fullmatch(r"-?\d{1,3}(,\d{3})+", text) else text


def gold(doc: dict[str, Any]) -> str:
    """The solution's boxed answer: what is logged and hashed as the target."""
    return normalise(boxed(doc["solution"]) or "")


def equal(answer: str, reference: str) -> bool:
    """Whether both have one normal form, Minerva's or Hendrycks'."""
    return normalise(answer) == normalise(reference) or bool(is_equiv(answer.strip("$"), reference))


def math_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    r"""Whether the final sentence's answer is right; the same with the last `\boxed` where there is no such sentence.

    `math_verify` (computer algebra) is among them if the extra `math` is installed.
    """
    reference = boxed(doc["solution"]) or ""
    final = final_answer(results[0])
    lenient = boxed(results[0].partition("Problem:")[0]) if final == INVALID else final
    scores = {"exact_match": equal(final, reference), "boxed_match": lenient is not None and equal(lenient, reference)}
    if find_spec("math_verify"):
        scores["math_verify"] = verified(results[0], doc["solution"])
    return {metric: float(score) for metric, score in scores.items()}


def verified(answer: str, solution: str) -> bool:
    """Whether math-verify finds the answer equal to the solution's."""
    from math_verify import parse, verify

    return bool(verify(gold=parse(solution), target=parse(answer)))
