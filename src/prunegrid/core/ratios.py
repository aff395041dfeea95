"""How much to keep, as people write it: a share (0.125), a percentage (12.5%) or a count (5000, 20M)."""

import re
from dataclasses import dataclass
from fractions import Fraction

from prunegrid.core.errors import PrunegridError

MULTIPLES = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9}
FORM = re.compile(r"(?P<number>\d+\.?\d*(?:[eE]-\d+)?|\.\d+) ?(?P<unit>%|[kKMGB]?)")
FORMS = "a share (0.125), a percentage (12.5%) or a count (5000, 20M)"


@dataclass(frozen=True)
class Amount:
    """What is asked for: a share in (0, 1], or a count of 1 or more; the other is None.

    `name` is the option or argument that gives it, `text` what was given.
    """

    name: str
    text: str
    share: float | None = None
    count: int | None = None


def read_amount(value: float | int | str | Amount, name: str) -> Amount:
    """The amount that `value` says, or is; `name` is the option or argument, for errors.

    1 is all, as a share; larger whole numbers are counts. Decimals are exact: 12.5% is 0.125.
    """
    if isinstance(value, Amount):
        return value
    text = str(value).strip()
    form = FORM.fullmatch(text)
    if form is None:
        raise PrunegridError(name, f"is {text!r}", _correction(text))
    number, unit = Fraction(form["number"]), form["unit"]
    if number == 0:
        raise PrunegridError(name, f"is {text}, which keeps nothing", f"give {FORMS}")
    if unit == "%":
        if number > 100:
            raise PrunegridError(name, f"is {text}, more than there is", "give at most 100%")
        return Amount(name, text, share=float(number / 100))
    if not unit and number <= 1:
        return Amount(name, text, share=float(number))
    count = number * MULTIPLES[unit]
    if count.denominator != 1 or (not unit and not form["number"].isdigit()):
        nearest = f"{form['number']}% as a percentage, " if number <= 100 and not unit else ""
        fix = f"write {nearest}{max(2, round(count))} as a count, or a share of at most 1"
        raise PrunegridError(name, f"is {text}, which is neither a share nor a whole number", fix)
    return Amount(name, text, count=int(count))


def _correction(text: str) -> str:
    """What to write instead of a text that is no amount."""
    if re.fullmatch(r"\d{1,3}(,\d{3})+", text):
        return f"write {text.replace(',', '')}, without commas"
    if "," in text and FORM.fullmatch(text.replace(",", ".", 1)):
        return f"write {text.replace(',', '.', 1)}, with a point"
    if text.startswith("-"):
        return f"give a positive amount: {FORMS}"
    return f"give {FORMS}"


def share_of_count(count: int, whole: int) -> float:
    """A share r, of six decimals or as many as it takes, of which floor(r * whole) is `count`."""
    exact = Fraction(count, whole)
    for digits in range(6, 18):
        share = Fraction(-(-exact.numerator * 10**digits // exact.denominator), 10**digits)
        if share * whole < count + 1:
            break
    return float(share)
