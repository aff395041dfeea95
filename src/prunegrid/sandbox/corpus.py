"""The pre-training text: lives of people, questions about them, equations, stories, passages with a recap.

It states known facts only, and never in the form of prompts, "Question: ... Answer:", which SFT is to teach.
"""

import random
from collections import defaultdict
from collections.abc import Callable

from . import names
from .problems import LARGEST, Sum, draw_passage, draw_sum, equation
from .world import Fact, World

ROWS = 16000
SHARES = {"life": 18, "quiz": 14, "equations": 18, "story": 10, "passage": 24, "list": 16}
LONG_SHARES = {"life": 16, "quiz": 12, "equations": 13, "story": 18, "passage": 22, "list": 9, "counts": 10}


def pretraining_rows(
    world: World, seed: int, draw: Callable[[random.Random], Sum] = draw_sum, shares: dict[str, int] = SHARES
) -> list[dict[str, str]]:
    """`ROWS` texts; their kinds are mixed in the proportion of `shares`. `draw` makes the stories' sums."""
    rng = random.Random(f"corpus {seed}")
    lives = defaultdict(list)
    for fact in world.select(known=True):
        lives[fact.person].append(fact)
    makers = {
        "life": lambda: _life(lives[rng.choice(world.people)], rng),
        "quiz": lambda: _quiz(world.select(known=True), rng),
        "equations": lambda: " ".join(_equation(rng) for _ in range(6)),
        "story": lambda: _story(draw(rng)),
        "passage": lambda: _passage(world, rng),
        "list": lambda: _list(world, rng),
        "counts": lambda: _counts(rng),
    }
    kinds = rng.choices(list(makers), weights=[shares.get(kind, 0) for kind in makers], k=ROWS)
    return [{"text": makers[kind]()} for kind in kinds]


def _life(facts: list[Fact], rng: random.Random) -> str:
    sentences = [fact.tell(rng.randrange(3)) for fact in rng.sample(facts, len(facts))]
    return " ".join(sentences)


def _quiz(facts: list[Fact], rng: random.Random) -> str:
    lines = [f"Q: {fact.ask(rng.randrange(4))}? A: {fact.value}." for fact in rng.sample(facts, 3)]
    return "\n".join(lines)


def _equation(rng: random.Random) -> str:
    first, second = rng.randint(1, 10), rng.randint(1, 6)
    if rng.random() < 0.4:
        return equation(first, "+", second)
    first = rng.randint(1, LARGEST)
    return equation(first, "-", rng.randint(1, min(first, 10)))


def _story(drawn: Sum) -> str:
    return f"{drawn.story} {' '.join(drawn.steps)} The total is {drawn.answer}."


def _passage(world: World, rng: random.Random) -> str:
    passage = draw_passage(world, rng)
    attributes = rng.sample(sorted(passage.answers), 3)
    recap = [f"Q: {passage.ask(attribute)} A: {passage.answers[attribute]}." for attribute in attributes]
    return "\n".join([passage.title, passage.context, *recap])


def _list(world: World, rng: random.Random) -> str:
    """A random list and its repetition: the only thing to learn here is copying, which reading needs."""
    words = [word for words in world.values.values() for word in words] + list(names.THINGS)
    return _repeat(rng.sample(words, 8))


def _counts(rng: random.Random) -> str:
    """The same of numbers with things, since the steps of a long sum repeat the numbers of its story."""
    return _repeat([f"{rng.randint(1, LARGEST)} {thing}" for thing in rng.sample(names.THINGS, 6)])


def _repeat(entries: list[str]) -> str:
    text = ", ".join(entries)
    return f"List: {text}. Again: {text}."
