r"""MATH's measures as OpenCompass' second evaluator has them (datasets/math.py, version v2), written anew."""

import re
from contextlib import suppress
from typing import Any

from lm_eval.tasks.hendrycks_math.utils import fix_a_slash_b, fix_fracs

from prunegrid.tasks.minerva import MARKS, UNITS, complete_fractions, substitute, unwrap


def boxed(text: str) -> str | None:
    r"""The content of the last `\boxed`, without a second pair of braces; None without one that is closed."""
    start = text.rfind("\\boxed")
    depth = 0
    for end in range(start, len(text)) if start >= 0 else ():
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if text[end] == "}" and depth == 0:
            content = re.fullmatch(r"\\boxed{(.*)}", text[start : end + 1], flags=re.DOTALL)
            return re.sub(r"^{(.*)}$", r"\1", content[1]) if content else None
    return None


def normalise(answer: str) -> str:
    """OpenCompass' edition of Minerva's normal form, which also looks for the answer's place in a sentence."""
    text = substitute(answer).replace("\\le", "<")
    for part in (*UNITS, *MARKS, "\n", "\r", "\f"):
        text = text.replace(part, "")
    text = unwrap(re.sub(r"\\text\{\((.*?)\)\}", r"\1", text))
    for pattern in (r"finalansweris(.*)", r"answer?is:?(.*)", r"oxed\{(.*?)\}", r"\$(.*?)\$"):
        text = (re.findall(pattern, text) or [text])[-1]
    text = text.strip()
    if "rac" in text and "\\frac" not in text:
        text = text.replace("rac", "\\frac")
    text = re.sub(r"sqrt([^{])", r"sqrt{\1}", complete_fractions(text)).replace("$", "")
    return text.replace(",", "") if text.replace(",", "").isdigit() else text


def extract(text: str) -> str:
    r"""The last `\boxed`, else the first sentence with "final answer" or "answer is", else the first sentence."""
    if answer := boxed(text):
        return answer
    sentences = text.split(".")
    named = (sentence for sentence in sentences if re.search("final answer|answer is", sentence.lower()))
    return normalise(next(named, sentences[0]))


def bare(answer: str) -> str:
    """The answer without layout, units and marks, fractions and roots completed."""
    text = answer.strip().replace("\n", "").rstrip(".").replace("\\!", "").replace("\\ ", "")
    text = text.replace("\\\\", "\\").replace("\\\\", "\\").replace("tfrac", "frac").replace("dfrac", "frac")
    text = text.replace("\\left", "").replace("\\right", "")
    text = re.sub(r"\\text{.*?}$", "", text).strip() or text
    text = re.sub(r"\^{\\circ}|\^\\circ", "", text).replace("\\$", "").replace("$", "")
    for part in ("\\text", "x\\in", "\\%", "%"):
        text = text.replace(part, "")
    text = text.replace(" .", " 0.").replace("{.", "{0.").replace("\\cdot", "").replace("infinity", "\\infty")
    text = text if "\\infty" in text else text.replace("inf", "\\infty")
    text = re.sub(r"\\mbox{.*?}", "", text.replace("and", "").replace("\\mathbf", ""))
    text = text.replace("j", "i") if "i" not in text else text
    text = re.sub(r"(\d+)\.0+$", r"\1", re.sub(r"(\d+)\.0+([^\d])", r"\1\2", text))
    text = "0" + text if text.startswith(".") else text
    name, sign, value = text.partition("=")
    text = value if sign and "=" not in value and len(name) <= 2 else text
    text = re.sub(r"\\sqrt(\w+)", r"\\sqrt{\1}", text).replace(" ", "")
    return str(fix_a_slash_b(fix_fracs(text)))


def equal(answer: str, gold: str) -> bool:
    """Whether two answers have one form, bare or normalised. What cannot be put into a form is compared as it is."""
    with suppress(Exception):  # as OpenCompass: `fix_fracs` fails at a fraction without arguments
        if bare(answer) == bare(gold) or normalise(bare(answer)) == normalise(bare(gold)):
            return True
    return normalise(answer) == normalise(gold)


def gold(doc: dict[str, Any]) -> str:
    """The solution's boxed answer: what is compared, logged and hashed as the target."""
    return boxed(doc["solution"]) or ""


def math_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Whether the whole text's answer is right, as OpenCompass reads it; and the text's before a next problem."""
    first = results[0].partition("Problem:")[0]
    reference = gold(doc)
    return {
        "accuracy": float(equal(extract(results[0]), reference)),
        "accuracy_first": float(equal(extract(first), reference)),
    }
