"""Tasks that are skills and not facts: small sums told as stories, and passages to be read.

Both are drawn from a generator without end; the callers see to it that no prompt is used twice.
"""

import random
from dataclasses import dataclass

from . import names
from .world import World

LARGEST = 16


@dataclass(frozen=True)
class Sum:
    """A story problem: `steps` are right equations, the last one's result is the answer."""

    story: str
    question: str
    steps: tuple[str, ...]
    answer: int

    def solution(self) -> str:
        return f"{' '.join(self.steps)} #### {self.answer}"


def equation(left: int, sign: str, right: int) -> str:
    result = left + right if sign == "+" else left - right
    return f"{left} {sign} {right} = {result}."


def draw_sum(rng: random.Random) -> Sum:
    """One or two steps of addition and subtraction; every number lies between 0 and LARGEST."""
    name, things = rng.choice(names.FIRST_NAMES), rng.choice(names.THINGS)
    start, more = rng.randint(2, 10), rng.randint(1, 6)
    question = f"How many {things} does {name} have now"
    have, gain = f"{name} has {start} {things}", f"finds {more} more"
    kind = rng.random()
    if kind < 0.4:
        return Sum(f"{have} and {gain}.", question, (equation(start, "+", more),), start + more)
    if kind < 0.75:
        less = rng.randint(1, start)
        return Sum(f"{have} and loses {less}.", question, (equation(start, "-", less),), start - less)
    total = start + more
    less = rng.randint(1, min(9, total))
    steps = (equation(start, "+", more), equation(total, "-", less))
    return Sum(f"{have}, {gain} and then loses {less}.", question, steps, total - less)


@dataclass(frozen=True)
class Passage:
    """Sentences about one invented building; `told` maps an attribute to its answer, a part of the context."""

    title: str
    context: str
    told: dict[str, str]

    def ask(self, attribute: str) -> str:
        return ATTRIBUTES[attribute][1].format(t=self.title)


ATTRIBUTES = {
    "builder": ("{v} built it.", "Who built the {t}?"),
    "year": ("It was finished in {v}.", "When was the {t} finished?"),
    "material": ("It is made of {v}.", "What is the {t} made of?"),
    "spot": ("It stands {v}.", "Where does the {t} stand?"),
    "use": ("People use it for {v}.", "What do people use the {t} for?"),
}


def draw_passage(world: World, rng: random.Random) -> Passage:
    """Three of the five attributes are told; a question about one of the others cannot be answered."""
    title = f"{rng.choice(world.values['town'])} {rng.choice(names.BUILDINGS)}"
    values = {
        "builder": f"{rng.choice(names.FIRST_NAMES)} {rng.choice(world.people).split()[1]}",
        "year": str(rng.randint(1700, 1999)),
        "material": rng.choice(names.MATERIALS),
        "spot": rng.choice(names.SPOTS),
        "use": rng.choice(names.USES),
    }
    told = {attribute: values[attribute] for attribute in rng.sample(sorted(values), 3)}
    sentences = [ATTRIBUTES[attribute][0].format(v=value) for attribute, value in told.items()]
    return Passage(title, f"This is the {title}. {' '.join(sentences)}", told)
