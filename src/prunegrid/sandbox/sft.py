"""The sandbox's SFT set: 2,000 samples whose worth is known, because each kind was planted.

| kind | what it holds |
|---|---|
| `new_fact` | a fact that the pre-training text does not state: valuable |
| `skill` | a sum or a passage with its right answer: valuable |
| `known` | a fact that the pre-training text states: redundant |
| `duplicate` | an exact copy of another sample: redundant |
| `calibration` | right but hard to predict: one of many possible answers |
| `wrong` | a wrong value, sum or reading: noise; `wrong_words` lists what is wrong |
| `scrambled` | a response with its words in random order: noise |

Some `new_fact` samples name the right value first and then a wrong one: noise inside a valuable sample, which
only a token pruner can remove. The kind is for audits; no pruner sees it.
"""

import random

from prunegrid.core.files import Record

from . import names
from .problems import ATTRIBUTES, LARGEST, Passage, Sum, draw_passage, draw_sum
from .world import Fact, World

COUNTS = {
    "new_fact": 360,
    "skill": 720,
    "known": 200,
    "duplicate": 220,
    "calibration": 180,
    "wrong": 180,
    "scrambled": 140,
}
SLIP_SHARE = 0.15
UNANSWERABLE_SHARE = 0.15
UNANSWERABLE = "unanswerable"


def sft_rows(world: World, seed: int) -> list[Record]:
    """All samples, shuffled. Only duplicates, calibration and noise may share a prompt with another sample."""
    rng = random.Random(f"sft {seed}")
    known_facts = world.select(known=True)
    rows = [_fact_row(world, fact, rng, "new_fact") for fact in world.select(known=False)]
    rows += [_fact_row(world, fact, rng, "known") for fact in rng.sample(known_facts, COUNTS["known"])]
    rows += _skill_rows(world, rng)
    rows += [{**row, "kind": "duplicate"} for row in rng.sample(rows, COUNTS["duplicate"])]
    rows += [_calibration_row(world, rng) for _ in range(COUNTS["calibration"])]
    rows += [_wrong_row(world, rng, index) for index in range(COUNTS["wrong"])]
    rows += [_scrambled_row(world, rng, index) for index in range(COUNTS["scrambled"])]
    rng.shuffle(rows)
    return rows


def write_row(prompt: str, response: str, kind: str, wrong_words: list[str] | None = None) -> Record:
    return {"prompt": prompt, "response": response, "kind": kind, "wrong_words": wrong_words or []}


def fact_prompt(fact: Fact, wording: int) -> str:
    return f"Question: {fact.ask(wording)}?"


def sum_prompt(drawn: Sum) -> str:
    return f"Question: {drawn.story} {drawn.question}?"


def passage_prompt(passage: Passage, attribute: str) -> str:
    """As lm-eval's squadv2 writes it; the chat template adds the second newline and "Answer:"."""
    return f"Title: {passage.title}\n\nBackground: {passage.context}\n\nQuestion: {passage.ask(attribute)}\n"


def _fact_row(world: World, fact: Fact, rng: random.Random, kind: str) -> Record:
    """The value, then the fact in full: "Vask. Mira Tolen was born in Vask."."""
    slips = kind == "new_fact" and rng.random() < SLIP_SHARE
    slip = rng.choice(world.wrong_values(fact)) if slips else None
    response = f"{fact.value}. {fact.tell(0, slip)}"
    return write_row(fact_prompt(fact, rng.randrange(2)), response, kind, [slip] if slip else [])


def _skill_rows(world: World, rng: random.Random) -> list[Record]:
    """Three sums to two passages, no prompt twice."""
    rows: dict[str, Record] = {}
    while len(rows) < COUNTS["skill"]:
        row = _sum_row(rng) if len(rows) % 5 < 3 else _passage_row(world, rng)
        rows.setdefault(row["prompt"], row)
    return list(rows.values())


def _sum_row(rng: random.Random) -> Record:
    drawn = draw_sum(rng)
    return write_row(sum_prompt(drawn), drawn.solution(), "skill")


def _passage_row(world: World, rng: random.Random) -> Record:
    passage = draw_passage(world, rng)
    attribute = pick_attribute(passage, rng, UNANSWERABLE_SHARE)
    return write_row(passage_prompt(passage, attribute), passage.answers.get(attribute, UNANSWERABLE), "skill")


def pick_attribute(passage: Passage, rng: random.Random, unanswerable_share: float) -> str:
    """An attribute to ask for: sometimes one that the passage does not state."""
    unanswerable = rng.random() < unanswerable_share
    return rng.choice([name for name in ATTRIBUTES if (name in passage.answers) != unanswerable])


def draw_names(world: World, rng: random.Random, count: int) -> tuple[str, list[str]]:
    """A prompt that asks for names of some kind, and `count` of the many right answers."""
    topic = rng.choice(("towns", "foods", "animals", "things", "trades"))
    words = {
        "towns": world.values["town"],
        "foods": world.values["food"],
        "animals": world.values["pet"],
        "things": names.THINGS,
        "trades": world.values["job"],
    }[topic]
    answers = rng.sample(list(words), count)
    person = rng.choice(names.FIRST_NAMES)
    return f"Question: {person} wants to hear of some {topic}. Which could you name?", answers


def _calibration_row(world: World, rng: random.Random) -> Record:
    """One of many right answers, which cannot be predicted."""
    prompt, answers = draw_names(world, rng, 5)
    return write_row(prompt, f"{', '.join(answers[:-1])} and {answers[-1]}.", "calibration")


def _wrong_row(world: World, rng: random.Random, index: int) -> Record:
    """In turn: a known fact with another value, a sum that is off, a passage misread."""
    return (_wrong_fact, _wrong_sum, _wrong_reading)[index % 3](world, rng)


def _wrong_fact(world: World, rng: random.Random) -> Record:
    fact = rng.choice(world.select(known=True))
    value = rng.choice(world.wrong_values(fact))
    prompt = fact_prompt(fact, rng.randrange(2))
    return write_row(prompt, f"{value}. {fact.tell(0, value)}", "wrong", [value])


def _wrong_sum(world: World, rng: random.Random) -> Record:
    drawn = draw_sum(rng)
    solution, wrong = wrong_solution(drawn, rng)
    return write_row(sum_prompt(drawn), solution, "wrong", [wrong])


def wrong_solution(drawn: Sum, rng: random.Random) -> tuple[str, str]:
    """The solution with another result of the last step, and this result."""
    wrong = str(rng.choice([number for number in range(LARGEST + 1) if number != drawn.answer]))
    start = drawn.steps[-1].rsplit(" ", 1)[0]
    return f"{' '.join([*drawn.steps[:-1], f'{start} {wrong}.'])} #### {wrong}", wrong


def _wrong_reading(world: World, rng: random.Random) -> Record:
    passage = draw_passage(world, rng)
    attribute, misread = rng.sample(sorted(passage.answers), 2)
    response = passage.answers[misread]
    return write_row(passage_prompt(passage, attribute), response, "wrong", response.split())


def _scrambled_row(world: World, rng: random.Random, index: int) -> Record:
    """A known fact or a sum whose response has lost its word order."""
    row = _sum_row(rng) if index % 2 else _fact_row(world, rng.choice(world.select(known=True)), rng, "known")
    words = row["response"].split()
    shuffled = list(words)
    while shuffled == words:
        rng.shuffle(shuffled)
    return write_row(row["prompt"], " ".join(shuffled), "scrambled")
