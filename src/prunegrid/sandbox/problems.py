"""Tasks that need a skill, not a fact: small sums in the form of stories, and passages to read.

Both can be drawn without limit; the callers make sure that no prompt is used twice.
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


def equation(first: int, sign: str, second: int) -> str:
    result = first + second if sign == "+" else first - second
    return f"{first} {sign} {second} = {result}."


def draw_sum(rng: random.Random) -> Sum:
    """One or two steps of addition and subtraction; every number lies between 0 and LARGEST."""
    name, things = rng.choice(names.FIRST_NAMES), rng.choice(names.THINGS)
    start, gain = rng.randint(2, 10), rng.randint(1, 6)
    question = f"How many {things} does {name} have now"
    possession, find = f"{name} has {start} {things}", f"finds {gain} more"
    kind = rng.random()
    if kind < 0.4:
        return Sum(f"{possession} and {find}.", question, (equation(start, "+", gain),), start + gain)
    if kind < 0.75:
        loss = rng.randint(1, start)
        return Sum(f"{possession} and loses {loss}.", question, (equation(start, "-", loss),), start - loss)
    total = start + gain
    loss = rng.randint(1, min(9, total))
    steps = (equation(start, "+", gain), equation(total, "-", loss))
    return Sum(f"{possession}, {find} and then loses {loss}.", question, steps, total - loss)


MOVES = {"+": ("finds", "buys", "gets"), "-": ("loses", "sells", "spends")}
DAYS = ("Monday", "Tuesday", "Wednesday")


def draw_long_sum(rng: random.Random) -> Sum:
    """Two or three steps, a day and a sentence each; every number lies between 0 and LARGEST.

    A day and a verb stand in one sentence of a story only: they are what a small model finds its place by.
    """
    name, things = rng.choice(names.FIRST_NAMES), rng.choice(names.THINGS)
    total = rng.randint(2, 10)
    story, steps = [f"{name} has {total} {things}."], [f"{name} has {total} {things}."]
    verbs = {sign: rng.sample(words, len(words)) for sign, words in MOVES.items()}
    for day in DAYS[: rng.randint(2, 3)]:
        sign = rng.choice("+-") if 1 <= total <= 10 else "+-"[total > 10]
        number = rng.randint(1, 6 if sign == "+" else min(total, 10))
        sentence = f"On {day} {name} {verbs[sign].pop()} {number}"
        story.append(f"{sentence}.")
        steps.append(f"{sentence}, so {equation(total, sign, number)}")
        total += number if sign == "+" else -number
    return Sum(" ".join(story), f"How many {things} does {name} have now", tuple(steps), total)


@dataclass(frozen=True)
class Passage:
    """Sentences about one invented building; `answers` maps an attribute to its value, a part of the context."""

    title: str
    context: str
    answers: dict[str, str]

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
    """States three of the five attributes; a question about one of the others is unanswerable."""
    title = f"{rng.choice(world.values['town'])} {rng.choice(names.BUILDINGS)}"
    values = {
        "builder": f"{rng.choice(names.FIRST_NAMES)} {rng.choice(world.people).split()[1]}",
        "year": str(rng.randint(1700, 1999)),
        "material": rng.choice(names.MATERIALS),
        "spot": rng.choice(names.SPOTS),
        "use": rng.choice(names.USES),
    }
    answers = {attribute: values[attribute] for attribute in rng.sample(sorted(values), 3)}
    sentences = [ATTRIBUTES[attribute][0].format(v=value) for attribute, value in answers.items()]
    return Passage(title, f"This is the {title}. {' '.join(sentences)}", answers)
