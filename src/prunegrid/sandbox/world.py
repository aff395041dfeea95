"""The sandbox's facts: invented people, five relations each, and the wordings that state and ask for facts.

A fact is *known* (the pre-training text states it) or *new* (only the SFT set states it). Every wording occurs in the
pre-training text for known facts, so that a small model can answer about a fact that it read in other words.
"""

import random
from dataclasses import dataclass

from . import names

PEOPLE = 120
TOWNS = 16
KNOWN_SHARE = 0.4


@dataclass(frozen=True)
class Relation:
    """One attribute of people. Questions 0 and 1 are the SFT set's wording, 2 is ARC's, 3 is TriviaQA's."""

    name: str
    statements: tuple[str, ...]
    questions: tuple[str, str, str, str]


@dataclass(frozen=True)
class Fact:
    """One value of one person; `known` says whether the pre-training text states it."""

    person: str
    relation: Relation
    value: str
    known: bool

    def tell(self, wording: int, value: str | None = None) -> str:
        """The fact as a sentence, with the (wrong) `value` instead of its own if given."""
        return self.relation.statements[wording].format(p=self.person, v=value or self.value)

    def ask(self, wording: int) -> str:
        """The fact as a question, without the question mark."""
        return self.relation.questions[wording].format(p=self.person)


@dataclass(frozen=True)
class World:
    """Everyone, every relation's possible values, and every fact."""

    people: tuple[str, ...]
    values: dict[str, tuple[str, ...]]
    facts: tuple[Fact, ...]

    def select(self, known: bool) -> list[Fact]:
        return [fact for fact in self.facts if fact.known == known]

    def wrong_values(self, fact: Fact) -> list[str]:
        """Every wrong value of the right kind."""
        return [value for value in self.values[fact.relation.name] if value != fact.value]


RELATIONS = (
    Relation(
        "town",
        ("{p} was born in {v}.", "{p} comes from {v}.", "The home town of {p} is {v}."),
        (
            "Where was {p} born",
            "Where does {p} come from",
            "What is the home town of {p}",
            "In which town was {p} born",
        ),
    ),
    Relation(
        "job",
        ("{p} works as a {v}.", "{p} earns a living as a {v}.", "The job of {p} is {v}."),
        (
            "What does {p} work as",
            "How does {p} earn a living",
            "What is the job of {p}",
            "Which trade does {p} work in",
        ),
    ),
    Relation(
        "pet",
        ("{p} keeps a {v}.", "{p} lives with a {v}.", "The pet of {p} is a {v}."),
        (
            "Which animal does {p} keep",
            "What lives with {p}",
            "What is the pet of {p}",
            "What kind of pet does {p} own",
        ),
    ),
    Relation(
        "instrument",
        ("{p} plays the {v}.", "{p} makes music on the {v}.", "The instrument of {p} is the {v}."),
        (
            "Which instrument does {p} play",
            "What does {p} make music on",
            "What is the instrument of {p}",
            "What does {p} play in the band",
        ),
    ),
    Relation(
        "food",
        ("{p} likes to eat {v}.", "{p} is fond of {v}.", "The favourite food of {p} is {v}."),
        (
            "What does {p} like to eat",
            "Which food is {p} fond of",
            "What is the favourite food of {p}",
            "Which dish does {p} order",
        ),
    ),
)


def make_world(seed: int) -> World:
    """The world of one seed: its people, their facts, and which of these the pre-training text states."""
    rng = random.Random(f"world {seed}")
    used = set(names.FIRST_NAMES)
    towns = names.invented_names(rng, TOWNS, used)
    last_names = names.invented_names(rng, PEOPLE, used)
    people = tuple(f"{rng.choice(names.FIRST_NAMES)} {last}" for last in last_names)
    lists = (towns, names.JOBS, names.PETS, names.INSTRUMENTS, names.FOODS)
    values = {relation.name: tuple(words) for relation, words in zip(RELATIONS, lists, strict=True)}
    facts = tuple(fact for person in people for fact in _person_facts(person, values, rng))
    return World(people, values, facts)


def _person_facts(person: str, values: dict[str, tuple[str, ...]], rng: random.Random) -> list[Fact]:
    """Two of a person's five facts are known, so that the pre-trained model has read every name."""
    known_indices = set(rng.sample(range(len(RELATIONS)), round(KNOWN_SHARE * len(RELATIONS))))
    return [
        Fact(person, relation, rng.choice(values[relation.name]), index in known_indices)
        for index, relation in enumerate(RELATIONS)
    ]
