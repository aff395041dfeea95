"""The sandbox with long answers: the planted kinds as in the short one, right or wrong as planted."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest

from prunegrid.sandbox.benchmarks import GSM8K, SQUAD
from prunegrid.sandbox.data_sets import BENCHMARK_ITEMS, DATA_SETS, PRETRAINING, SFT, VOCABULARY
from prunegrid.sandbox.generate import write_world
from prunegrid.sandbox.long_answers import COUNTS
from prunegrid.sandbox.planted import planted_place, wrong_spans
from prunegrid.sandbox.pretraining import read_texts, train_tokenizer
from prunegrid.sandbox.problems import LARGEST, MOVES, Sum, draw_long_sum
from prunegrid.sandbox.sft import COUNTS as SHORT_COUNTS
from prunegrid.sandbox.world import Fact, make_world


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {answers: tmp_path_factory.mktemp(answers) for answers in ("short", "long", "again")}
    write_world(folders["short"], 0)
    write_world(folders["long"], 0, "long")
    write_world(folders["again"], 0, "long")
    return folders


@pytest.fixture(scope="module")
def samples(worlds: dict[str, Path]) -> list[dict]:
    return rows(worlds["long"], SFT)


def rows(world: Path, split: str) -> list[dict]:
    return [json.loads(line) for line in (world / f"{split}.jsonl").read_text().splitlines()]


def results_of(solution: str) -> list[tuple[int, int]]:
    """Each equation's stated result beside the right one."""
    actual = re.findall(r"(\d+) ([+-]) (\d+) = (\d+)", solution)
    return [(int(z), int(x) + int(y) if sign == "+" else int(x) - int(y)) for x, sign, y, z in actual]


def stated_facts(response: str) -> list[Fact]:
    """The facts of the world whose sentence is in a response, in any wording."""
    return [fact for fact in make_world(0).facts if any(fact.tell(wording) in response for wording in range(3))]


def test_same_seed_gives_same_bytes_in_same_files(worlds: dict[str, Path]) -> None:
    for path in DATA_SETS:
        contents = {name: (folder / f"{path}.jsonl").read_bytes() for name, folder in worlds.items()}
        assert contents["long"] == contents["again"]
        assert contents["long"].count(b"\n") == (
            contents["short"].count(b"\n") if path != SFT else sum(COUNTS.values())
        )


def test_kinds_are_those_of_short_answers(samples: list[dict]) -> None:
    assert list(COUNTS) == list(SHORT_COUNTS)
    assert Counter(row["kind"] for row in samples) == COUNTS
    assert all(set(row) == {"prompt", "response", "kind", "wrong_words"} for row in samples)


def test_no_benchmark_prompt_is_in_the_training_set(worlds: dict[str, Path], samples: list[dict]) -> None:
    trained = {row["prompt"].rstrip("\n") for row in samples}
    for path in BENCHMARK_ITEMS:
        passage = "Title: {title}\n\nBackground: {context}\n\nQuestion: {question}"
        form = passage if "squad" in path else "Question: {question}"
        prompts = {form.format(**row).rstrip("?") + "?" for row in rows(worlds["long"], path)}
        assert len(prompts) == BENCHMARK_ITEMS[path]
        assert not prompts & trained


def test_fact_answers_begin_with_the_value_and_tell_several_facts(samples: list[dict]) -> None:
    prompts = {f"Question: {fact.ask(wording)}?": fact for fact in make_world(0).facts for wording in range(2)}
    for row in samples:
        if row["kind"] not in ("new_fact", "known"):
            continue
        fact = prompts[row["prompt"]]
        assert row["response"].startswith(f"{fact.value}. ")
        facts = stated_facts(row["response"])
        assert {each.person for each in facts} == {fact.person}
        assert fact.known == (row["kind"] == "known")
        assert len(facts) == 2 if fact.known else 5 - len(row["wrong_words"]) <= len(facts) <= 5


def test_new_facts_are_stated_in_several_samples(samples: list[dict]) -> None:
    counts = Counter(fact for row in samples if row["kind"] == "new_fact" for fact in stated_facts(row["response"]))
    new = make_world(0).select(known=False)
    assert sum(not counts[fact] for fact in new) <= 0.01 * len(new), "none but a fact whose every sentence has a slip"
    assert sum(counts[fact] for fact in new) > 1.8 * len(new)


def test_skills_are_right(samples: list[dict]) -> None:
    for row in samples:
        if row["kind"] != "skill":
            continue
        if "Background:" in row["prompt"]:
            answer, explanation = row["response"].split("\n")
            assert answer in row["prompt"] or answer == "unanswerable"
            assert explanation.endswith(f"So the answer is {answer}.")
        else:
            results = results_of(row["response"])
            assert 2 <= len(results) <= 3 and all(stated == right for stated, right in results)
            assert row["response"].endswith(f"#### {results[-1][0]}")


def test_wrong_words_are_wrong_where_they_are_planted(samples: list[dict]) -> None:
    places = Counter(planted_place(row["kind"], row["response"], row["wrong_words"]) for row in samples)
    assert min(places["slip"], places["fact"], places["sum"], places["reading"]) >= 30
    for row in samples:
        response, words = row["response"], row["wrong_words"]
        spans = wrong_spans(row["kind"], response, words)
        assert bool(spans) == bool(words) and all(response[start:end] in words for start, end in spans)
        match planted_place(row["kind"], response, words):
            case "slip":
                ((start, _),) = spans
                assert not stated_facts(response[response.rfind(". ", 0, start) + 2 : response.find(".", start) + 1])
            case "sum":
                stated, right = results_of(response)[-1]
                assert stated != right and len(spans) == 2
            case "reading":
                assert len(spans) == 2 and response.startswith(words[0])


def long_sums() -> list[Sum]:
    rng = random.Random(0)
    return [draw_long_sum(rng) for _ in range(500)]


def test_gsm8k_answers_follow_from_the_numbers_of_the_story(worlds: dict[str, Path]) -> None:
    gains = {verb: sign for sign, verbs in MOVES.items() for verb in verbs}
    for row in rows(worlds["long"], GSM8K):
        total = int(re.search(r"has (\d+) ", row["question"])[1])
        moves = re.findall(r"On \w+day \w+ (\w+) (\d+)\.", row["question"])
        assert 2 <= len(moves) <= 3 and len(dict(moves)) == len(moves), "a verb stands once"
        for verb, number in moves:
            total += int(f"{gains[verb]}{number}")
        assert row["answer"].endswith(f"#### {total}")


def test_asked_facts_are_stated_in_a_text_or_an_answer(worlds: dict[str, Path], samples: list[dict]) -> None:
    right = [row["response"] for row in samples if row["kind"] not in ("wrong", "scrambled")]
    texts = " ".join([row["text"] for row in rows(worlds["long"], PRETRAINING)] + right)
    stated = {fact for fact in make_world(0).facts if any(fact.tell(wording) in texts for wording in range(3))}
    asked = {row["question"].rstrip("?") for path in BENCHMARK_ITEMS for row in rows(worlds["long"], path)}
    facts = [fact for fact in make_world(0).facts if {fact.ask(2), fact.ask(3)} & asked]
    assert len(facts) > 200
    assert sum(fact not in stated for fact in facts) <= 0.01 * len(facts)


def test_squad_answers_are_spans_of_the_context(worlds: dict[str, Path]) -> None:
    for row in rows(worlds["long"], SQUAD):
        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
            assert row["context"][start:].startswith(text)


def test_answers_have_30_to_150_tokens(worlds: dict[str, Path], samples: list[dict]) -> None:
    tokenizer = train_tokenizer(read_texts(worlds["long"]), VOCABULARY)
    lengths = [len(tokenizer(f" {row['response']}")["input_ids"]) + 1 for row in samples]
    assert min(lengths) >= 30 and max(lengths) <= 150


def test_numbers_of_long_sums_stay_small() -> None:
    for drawn in long_sums():
        numbers = [int(number) for number in re.findall(r"\d+", " ".join((drawn.story, *drawn.steps)))]
        assert max(numbers) <= LARGEST and drawn.steps[-1].endswith(f"= {drawn.answer}.")
