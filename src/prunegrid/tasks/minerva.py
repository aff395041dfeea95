"""What Minerva (Lewkowycz et al. 2022, appendix D) deletes from an answer in LaTeX and how it completes short forms.

lm-eval (minerva_math, MIT licence) and OpenCompass (datasets/math.py, Apache 2.0) both go by these lists.
"""

import re

SUBSTITUTIONS = (
    ("an ", ""),
    ("a ", ""),
    (".$", "$"),
    ("\\$", ""),
    ("\\ ", ""),
    (" ", ""),
    ("mbox", "text"),
    (",\\text{and}", ","),
    ("\\text{and}", ","),
    ("\\text{m}", "\\text{}"),
)
UNITS = [
    "square",
    "ways",
    "integers",
    "dollars",
    "mph",
    "inches",
    "ft",
    "hours",
    "km",
    "units",
    "\\ldots",
    "sue",
    "points",
    "feet",
    "minutes",
    "digits",
    "cents",
    "degrees",
    "cm",
    "gm",
    "pounds",
    "meters",
    "meals",
    "edges",
    "students",
    "childrentickets",
    "multiples",
]
MARKS = (
    "\\text{s}",
    "\\text{.}",
    "\\text{\ns}",
    "\\text{}^2",
    "\\text{}^3",
    "\\text{\n}",
    "\\text{}",
    "\\mathrm{th}",
    "^\\circ",
    "^{\\circ}",
    "\\;",
    ",\\!",
    "{,}",
    '"',
    "\\dots",
)


def substitute(text: str) -> str:
    for before, after in SUBSTITUTIONS:
        text = text.replace(before, after)
    return text


def unwrap(text: str) -> str:
    r"""The content of `\text`, `\textbf`, `\overline` and `\boxed`."""
    for command in ("text", "textbf", "overline"):
        text = re.sub(rf"\\{command}\{{(.*?)\}}", r"\1", text)
    return re.sub(r"\\boxed\{(.*)\}", r"\1", text)


def complete_fractions(text: str) -> str:
    r"""`\fracab` as `\frac{a}{b}`."""
    return re.sub(r"frac([^{])(.)", r"frac{\1}{\2}", text)
