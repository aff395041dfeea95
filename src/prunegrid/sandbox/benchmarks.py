"""The sandbox's five benchmarks, in the hub's formats of ARC-Easy, ARC-Challenge, GSM8K, SQuAD v2 and TriviaQA.

Each question about a fact has a wording that the SFT set never uses, so no evaluation prompt is an SFT prompt; sums
and passages are drawn again until they differ from all SFT prompts.
"""

import random
from collections.abc import Callable

from prunegrid.core.files import Record
from prunegrid.sandbox.data_sets import BENCHMARK_ITEMS

from .problems import Sum, draw_passage, draw_sum
from .sft import passage_prompt, pick_attribute, sum_prompt
from .world import Fact, World

ARC_EASY, ARC_CHALLENGE, GSM8K, SQUAD, TRIVIA = BENCHMARK_ITEMS
KNOWN_SHARES = {"easy": 0.5, "challenge": 0.2, "trivia": 0.4}
UNANSWERABLE_SHARE = 0.1
QUERY_COUNT = 50
ARC_WORDING, TRIVIA_WORDING = 2, 3


def benchmark_rows(
    world: World, seed: int, used_prompts: set[str], draw: Callable[[random.Random], Sum] = draw_sum
) -> dict[str, list[Record]]:
    """Path of each split below the world's folder, without extension -> its rows; `draw` makes GSM8K's sums."""
    rng = random.Random(f"benchmarks {seed}")
    return {
        ARC_EASY: _arc(world, rng, BENCHMARK_ITEMS[ARC_EASY], "easy"),
        ARC_CHALLENGE: _arc(world, rng, BENCHMARK_ITEMS[ARC_CHALLENGE], "challenge"),
        GSM8K: _gsm8k(rng, used_prompts, BENCHMARK_ITEMS[GSM8K], draw),
        SQUAD: _squad(world, rng, used_prompts, BENCHMARK_ITEMS[SQUAD]),
        TRIVIA: _trivia(world, rng, BENCHMARK_ITEMS[TRIVIA]),
    }


def _mixed_facts(world: World, rng: random.Random, count: int, known_share: float) -> list[Fact]:
    known_facts, new_facts = world.select(known=True), world.select(known=False)
    known_count = round(count * known_share)
    facts = rng.sample(known_facts, known_count) + rng.sample(new_facts, count - known_count)
    rng.shuffle(facts)
    return facts


def _arc(world: World, rng: random.Random, count: int, level: str) -> list[Record]:
    facts = _mixed_facts(world, rng, count, KNOWN_SHARES[level])
    return [_arc_row(world, fact, rng, f"{level}_{index}") for index, fact in enumerate(facts)]


def _arc_row(world: World, fact: Fact, rng: random.Random, name: str) -> Record:
    """Four choices. In ARC-Easy two of the wrong ones are of another kind, so they can be ruled out."""
    alien = [word for kind, words in world.values.items() if kind != fact.relation.name for word in words]
    same_kind = 1 if name.startswith("easy") else 3
    texts = [fact.value, *rng.sample(world.wrong_values(fact), same_kind), *rng.sample(alien, 3 - same_kind)]
    rng.shuffle(texts)
    return {
        "id": name,
        "question": f"{fact.ask(ARC_WORDING)}?",
        "choices": {"text": texts, "label": ["A", "B", "C", "D"]},
        "answerKey": "ABCD"[texts.index(fact.value)],
    }


def _gsm8k(
    rng: random.Random, used_prompts: set[str], count: int, draw: Callable[[random.Random], Sum]
) -> list[Record]:
    rows: dict[str, Record] = {}
    while len(rows) < count:
        drawn = draw(rng)
        if sum_prompt(drawn) not in used_prompts:
            row = {"question": f"{drawn.story} {drawn.question}?", "answer": "\n".join(drawn.steps)}
            row["answer"] += f"\n#### {drawn.answer}"
            rows.setdefault(row["question"], row)
    return list(rows.values())


def query_rows(
    seed: int, used_prompts: set[str], tested: set[str], draw: Callable[[random.Random], Sum] = draw_sum
) -> list[Record]:
    """GSM8K's training split: sums that are neither among the SFT prompts `used_prompts` nor the `tested` questions."""
    used = used_prompts | {f"Question: {question}" for question in tested}
    return _gsm8k(random.Random(f"queries {seed}"), used, QUERY_COUNT, draw)


def _squad(world: World, rng: random.Random, used_prompts: set[str], count: int) -> list[Record]:
    rows: dict[str, Record] = {}
    while len(rows) < count:
        passage = draw_passage(world, rng)
        attribute = pick_attribute(passage, rng, UNANSWERABLE_SHARE)
        if passage_prompt(passage, attribute) in used_prompts:
            continue
        texts = [passage.answers[attribute]] if attribute in passage.answers else []
        row = {
            "id": f"squad_{len(rows)}",
            "title": passage.title,
            "context": passage.context,
            "question": passage.ask(attribute),
            "answers": {"text": texts, "answer_start": [passage.context.index(text) for text in texts]},
        }
        rows.setdefault(passage_prompt(passage, attribute), row)
    return list(rows.values())


def _trivia(world: World, rng: random.Random, count: int) -> list[Record]:
    """Without the question mark, which lm-eval's prompt adds."""
    facts = _mixed_facts(world, rng, count, KNOWN_SHARES["trivia"])
    return [
        {
            "question": fact.ask(TRIVIA_WORDING),
            "question_id": f"trivia_{index}",
            "answer": {"value": fact.value, "aliases": [fact.value], "normalized_aliases": [fact.value.lower()]},
        }
        for index, fact in enumerate(facts)
    ]
