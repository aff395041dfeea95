"""The sandbox's SFT set with long answers: 1,200 samples of the kinds in `sft.py`, 33 to 88 tokens an answer.

In the short set an answer is a fact: without half of its tokens half of the fact is gone. Here an answer states several
facts, or several steps, and most facts are stated in several samples, so that tokens can be pruned and the fact stays.

| prompt | answer |
|---|---|
| a question about a person | the value, then a sentence for each fact about this person; one of them may have a slip |
| a sum | a sentence for each step, two or three, then the result |
| a passage | the answer, on a second line what the passage says, then the answer once more |
| a request for names | three sentences with eight names |

The value, or the answer's first line, comes first because TriviaQA's and SQuAD's rules read no further.
"""

import random

from prunegrid.core.files import Record

from .problems import ATTRIBUTES, Passage, Sum, draw_long_sum, draw_passage
from .sft import (
    SLIP_SHARE,
    UNANSWERABLE,
    UNANSWERABLE_SHARE,
    draw_names,
    fact_prompt,
    passage_prompt,
    pick_attribute,
    sum_prompt,
    write_row,
    wrong_solution,
)
from .world import Fact, World

COUNTS = {
    "new_fact": 240,
    "skill": 400,
    "known": 120,
    "duplicate": 130,
    "calibration": 110,
    "wrong": 110,
    "scrambled": 90,
}
RECAP_SHARE = 0.5
QUESTIONS = 2  # about new facts of each person, who has three


def long_rows(world: World, seed: int) -> list[Record]:
    """All samples, shuffled. Only duplicates, calibration and noise may share a prompt with another sample."""
    rng = random.Random(f"long sft {seed}")
    facts = _facts_by_person(world)
    new_facts = [[fact for fact in five if not fact.known] for five in facts.values()]
    targets = [fact for three in new_facts for fact in rng.sample(three, QUESTIONS)]
    rows = [_new_row(world, facts[fact.person], fact, rng) for fact in targets]
    known_facts = rng.sample(world.select(known=True), COUNTS["known"])
    rows += [_known_row(facts[fact.person], fact, rng, "known") for fact in known_facts]
    rows += _skill_rows(world, rng)
    rows += [{**row, "kind": "duplicate"} for row in rng.sample(rows, COUNTS["duplicate"])]
    rows += [_calibration_row(world, rng) for _ in range(COUNTS["calibration"])]
    rows += [_wrong_row(world, facts, rng, index) for index in range(COUNTS["wrong"])]
    rows += [_scrambled_row(world, facts, rng, index) for index in range(COUNTS["scrambled"])]
    rng.shuffle(rows)
    return rows


def _facts_by_person(world: World) -> dict[str, list[Fact]]:
    return {person: [fact for fact in world.facts if fact.person == person] for person in world.people}


def _new_row(world: World, facts: list[Fact], target: Fact, rng: random.Random) -> Record:
    """All five facts of a person, three of them new and sometimes told twice; a slip is in one of their sentences."""
    new_facts = [fact for fact in facts if not fact.known]
    others = [fact for fact in facts if fact != target]
    order = [target, *rng.sample(others, len(others))]
    if rng.random() < RECAP_SHARE:
        order += rng.sample(new_facts, len(new_facts))
    sentences = [fact.tell(rng.randrange(3)) for fact in order]
    words: list[str] = []
    if rng.random() < SLIP_SHARE:
        place = rng.choice([place for place, fact in enumerate(order) if not fact.known])
        words = [rng.choice(world.wrong_values(order[place]))]
        sentences[place] = order[place].tell(rng.randrange(3), words[0])
    response = " ".join([f"{target.value}.", *sentences])
    return write_row(fact_prompt(target, rng.randrange(2)), response, "new_fact", words)


def _known_row(facts: list[Fact], target: Fact, rng: random.Random, kind: str, value: str | None = None) -> Record:
    """A person's two known facts, each in two wordings; `value` is said instead of the asked fact's own."""
    (other,) = [fact for fact in facts if fact.known and fact != target]
    first, second = rng.sample(range(3), 2)
    order = (target.tell(first, value), other.tell(first), target.tell(second, value), other.tell(second))
    response = " ".join([f"{value or target.value}.", *order])
    return write_row(fact_prompt(target, rng.randrange(2)), response, kind, [value] if value else [])


def _skill_rows(world: World, rng: random.Random) -> list[Record]:
    """Three sums to two passages, no prompt twice."""
    rows: dict[str, Record] = {}
    while len(rows) < COUNTS["skill"]:
        row = _sum_row(draw_long_sum(rng)) if len(rows) % 5 < 3 else _passage_row(world, rng)
        rows.setdefault(row["prompt"], row)
    return list(rows.values())


def _sum_row(drawn: Sum) -> Record:
    return write_row(sum_prompt(drawn), drawn.solution(), "skill")


def _passage_row(world: World, rng: random.Random) -> Record:
    passage = draw_passage(world, rng)
    attribute = pick_attribute(passage, rng, UNANSWERABLE_SHARE)
    return write_row(passage_prompt(passage, attribute), _reading(passage, attribute), "skill")


def _reading(passage: Passage, attribute: str) -> str:
    """The answer for `attribute`, on a second line the passage's sentences with it at the head, then the answer."""
    answer = passage.answers.get(attribute, UNANSWERABLE)
    order = sorted(passage.answers, key=lambda name: name != attribute)
    said = " ".join(ATTRIBUTES[name][0].format(v=passage.answers[name]) for name in order)
    return f"{answer}\nThe question is about the {passage.title}. The text says: {said} So the answer is {answer}."


def _calibration_row(world: World, rng: random.Random) -> Record:
    """Some of many right answers, which cannot be predicted."""
    prompt, (a, b, c, d, e, f, g, h) = draw_names(world, rng, 8)
    response = f"One could name {a}, {b} and {c}. Others would name {d}, {e} and {f}. There are also {g} and {h}."
    return write_row(prompt, response, "calibration")


def _wrong_row(world: World, facts: dict[str, list[Fact]], rng: random.Random, index: int) -> Record:
    """In turn: a known fact with another value, a sum that is off, a passage misread."""
    if index % 3 == 0:
        fact = rng.choice(world.select(known=True))
        return _known_row(facts[fact.person], fact, rng, "wrong", rng.choice(world.wrong_values(fact)))
    if index % 3 == 1:
        drawn = draw_long_sum(rng)
        response, wrong = wrong_solution(drawn, rng)
        return write_row(sum_prompt(drawn), response, "wrong", [wrong])
    passage = draw_passage(world, rng)
    attribute, misread = rng.sample(sorted(passage.answers), 2)
    return write_row(
        passage_prompt(passage, attribute), _reading(passage, misread), "wrong", [passage.answers[misread]]
    )


def _scrambled_row(world: World, facts: dict[str, list[Fact]], rng: random.Random, index: int) -> Record:
    """Known facts or a sum whose response has lost its word order."""
    fact = rng.choice(world.select(known=True))
    row = _sum_row(draw_long_sum(rng)) if index % 2 else _known_row(facts[fact.person], fact, rng, "known")
    words = row["response"].split()
    return write_row(row["prompt"], " ".join(rng.sample(words, len(words))), "scrambled")
