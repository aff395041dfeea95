"""The sandbox's files: the same for a seed, in the hub's formats, and right or wrong as planted."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from prunegrid.sandbox import sft
from prunegrid.sandbox.generate import write_world
from prunegrid.sandbox.pretraining import pretrain
from prunegrid.sandbox.world import make_world

ARC_EASY = "ai2_arc/ARC-Easy/test"
ARC_CHALLENGE = "ai2_arc/ARC-Challenge/test"
GSM8K = "gsm8k/main/test"
SQUAD = "squad_v2/default/validation"
TRIVIA = "trivia_qa/rc.nocontext/validation"
SFT = "sft/default/train"
PRETRAIN = "pretrain/default/train"


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("world")
    write_world(out, seed=0)
    return out


def rows(world: Path, split: str) -> list[dict]:
    return [json.loads(line) for line in (world / "sandbox" / f"{split}.jsonl").read_text().splitlines()]


def contents(world: Path) -> dict[str, bytes]:
    return {str(path.relative_to(world)): path.read_bytes() for path in sorted(world.rglob("*")) if path.is_file()}


def evaluation_prompts(world: Path) -> list[str]:
    """What lm-eval's stock templates make of the rows, up to "Answer:" """
    asked = [f"Question: {row['question']}\nAnswer:" for row in rows(world, ARC_EASY) + rows(world, ARC_CHALLENGE)]
    asked += [f"Question: {row['question']}\nAnswer:" for row in rows(world, GSM8K)]
    asked += [f"Question: {row['question']}?\nAnswer:" for row in rows(world, TRIVIA)]
    form = "Title: {title}\n\nBackground: {context}\n\nQuestion: {question}\n\nAnswer:"
    return asked + [form.format(**row) for row in rows(world, SQUAD)]


def results_of(solution: str) -> list[tuple[int, int]]:
    """Each equation's stated result beside the right one."""
    actual = re.findall(r"(\d+) ([+-]) (\d+) = (\d+)", solution)
    return [(int(z), int(x) + int(y) if sign == "+" else int(x) - int(y)) for x, sign, y, z in actual]


def test_the_same_seed_gives_the_same_bytes(world, tmp_path):
    write_world(tmp_path / "again", seed=0)
    write_world(tmp_path / "other", seed=1)
    first, repeated, other = contents(world), contents(tmp_path / "again"), contents(tmp_path / "other")
    splits = (ARC_EASY, ARC_CHALLENGE, GSM8K, SQUAD, TRIVIA, SFT, PRETRAIN)
    assert set(first) == {f"sandbox/{split}.jsonl" for split in splits}
    assert first == repeated
    assert all(first[name] != other[name] for name in first)


def test_evaluation_prompts_are_unique_and_not_in_sft(world):
    asked = evaluation_prompts(world)
    trained = {f"{row['prompt']}\nAnswer:" for row in rows(world, SFT)}
    assert not trained & set(asked)
    per_split = [
        (ARC_EASY, "question"),
        (ARC_CHALLENGE, "question"),
        (GSM8K, "question"),
        (TRIVIA, "question"),
    ]
    for split, field in per_split:
        assert len({row[field] for row in rows(world, split)}) == len(rows(world, split)) >= 100


def test_sft_prompts_take_the_benchmarks_form(world):
    prompts = [row["prompt"] for row in rows(world, SFT)]
    reading = re.compile(r"Title: .+\n\nBackground: .+\n\nQuestion: .+\?\n")
    other = re.compile(r"Question: .+\?")
    assert all(reading.fullmatch(prompt) or other.fullmatch(prompt) for prompt in prompts)


def test_kinds_and_their_counts(world):
    samples = rows(world, SFT)
    assert Counter(row["kind"] for row in samples) == sft.COUNTS
    assert len(samples) == 2000
    assert all(set(row) == {"prompt", "response", "kind", "wrong_words"} for row in samples)


def test_duplicates_are_copies_and_other_good_prompts_differ(world):
    samples = rows(world, SFT)
    good = [(r["prompt"], r["response"]) for r in samples if r["kind"] in ("new_fact", "skill", "known")]
    copies = {(r["prompt"], r["response"]) for r in samples if r["kind"] == "duplicate"}
    assert copies <= set(good)
    assert len({prompt for prompt, _ in good}) == len(good)


def test_pretraining_states_known_facts_only(world):
    text = "\n".join(row["text"] for row in rows(world, PRETRAIN))
    made = make_world(0)
    stated = [any(fact.tell(wording) in text for wording in range(3)) for fact in made.facts]
    assert stated == [fact.known for fact in made.facts]
    new = made.select(known=False)
    assert not any(fact.ask(wording) in text for fact in new for wording in range(4))


def test_fact_samples_are_right(world):
    facts = {fact.tell(0): fact for fact in make_world(0).facts}
    facts_by_prompt = {f"Question: {fact.ask(wording)}?": fact for fact in facts.values() for wording in range(4)}
    for row in rows(world, SFT):
        if row["kind"] not in ("new_fact", "known"):
            continue
        value, sentence = row["response"].split(". ", 1)
        if row["wrong_words"]:
            assert sentence not in facts and row["wrong_words"][0] in sentence
            assert value == facts_by_prompt[row["prompt"]].value, "the right value comes first"
        else:
            assert facts[sentence].value == value and facts[sentence].known == (row["kind"] == "known")


def test_skills_are_right(world):
    for row in rows(world, SFT):
        if row["kind"] != "skill":
            continue
        if "Background:" in row["prompt"]:
            assert row["response"] in row["prompt"] or row["response"] == sft.UNANSWERABLE
        else:
            results = results_of(row["response"])
            assert results and all(stated == right for stated, right in results)
            assert row["response"].endswith(f"#### {results[-1][0]}")


def test_wrong_samples_are_wrong_and_name_the_wrong_words(world):
    right = {fact.tell(0) for fact in make_world(0).facts}
    for row in rows(world, SFT):
        if row["kind"] != "wrong":
            continue
        assert row["wrong_words"] and all(word in row["response"] for word in row["wrong_words"])
        if "####" in row["response"]:
            assert any(stated != correct for stated, correct in results_of(row["response"]))
        elif "Background:" not in row["prompt"]:
            assert row["response"].split(". ", 1)[1] not in right


def test_scrambled_responses_have_lost_their_order(world):
    scrambled = [row["response"] for row in rows(world, SFT) if row["kind"] == "scrambled"]
    assert not any(re.fullmatch(r"(\d+ [+-] \d+ = \d+\. )+#### \d+", response) for response in scrambled)
    assert not set(scrambled) & {row["response"] for row in rows(world, SFT) if row["kind"] != "scrambled"}


@pytest.mark.parametrize("split", [ARC_EASY, ARC_CHALLENGE])
def test_arc_fields(world, split):
    facts = {f"{fact.ask(2)}?": fact for fact in make_world(0).facts}
    for row in rows(world, split):
        assert set(row) == {"id", "question", "choices", "answerKey"}
        assert row["choices"]["label"] == ["A", "B", "C", "D"] and len(set(row["choices"]["text"])) == 4
        assert row["choices"]["text"]["ABCD".index(row["answerKey"])] == facts[row["question"]].value


def test_gsm8k_answers_are_right(world):
    for row in rows(world, GSM8K):
        reasoning, answer = row["answer"].split("\n#### ")
        results = results_of(reasoning)
        assert all(stated == right for stated, right in results)
        assert int(answer) == results[-1][0]


def test_squad_answers_are_at_their_start(world):
    items = rows(world, SQUAD)
    for row in items:
        assert set(row) == {"id", "title", "context", "question", "answers"}
        starts, texts = row["answers"]["answer_start"], row["answers"]["text"]
        assert len(starts) == len(texts)
        assert all(row["context"][at:].startswith(text) for at, text in zip(starts, texts, strict=True))
    assert 1 <= sum(not row["answers"]["text"] for row in items) <= len(items) // 4


def test_trivia_fields(world):
    facts = {fact.ask(3): fact for fact in make_world(0).facts}
    for row in rows(world, TRIVIA):
        assert set(row) == {"question", "question_id", "answer"}
        assert facts[row["question"]].value == row["answer"]["value"]
        assert row["answer"]["value"] in row["answer"]["aliases"]


@pytest.fixture(scope="module")
def tiny(world, tmp_path_factory):
    """Two trainings with the same seed: (folder, folder, what pretrain returned)."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    first, second = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    settings = {
        "seed": 3,
        "steps": 4,
        "hidden_size": 32,
        "layers": 1,
        "heads": 2,
        "vocab_size": 400,
        "batch_size": 4,
    }
    summary = pretrain(world, first, **settings)
    pretrain(world, second, **settings)
    torch.set_num_threads(threads)
    return first, second, summary


def test_pretraining_is_deterministic(tiny):
    first, second, summary = tiny
    assert contents(first) == contents(second)
    assert set(summary) == {"parameters", "tokens", "seconds", "final_loss"}
    assert summary["tokens"] == 4 * 4 * 128 and 0 < summary["final_loss"] < 8


def test_tokenizer_round_trip_and_template(tiny, world):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny[0])
    for row in rows(world, SFT)[:200]:
        text = f"{row['prompt']}\nAnswer: {row['response']}"
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    odd = "Zoë paid 3 , 4 ; \t naïve\n\n 你好 's"
    assert tokenizer.decode(tokenizer(odd)["input_ids"]) == odd
    user, assistant = {"role": "user", "content": "Question: A?"}, {"role": "assistant", "content": "B."}
    template = tokenizer.apply_chat_template
    assert template([user, assistant], tokenize=False) == f"Question: A?\nAnswer: B.{tokenizer.eos_token}"
    assert template([user], tokenize=False, add_generation_prompt=True) == "Question: A?\nAnswer:"
    assert len({tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id}) == 3


def test_model_loads_and_generates(tiny):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny[0]), AutoTokenizer.from_pretrained(tiny[0])
    assert model.dtype == torch.float32 and model.generation_config.eos_token_id == tokenizer.eos_token_id
    prompt = tokenizer("Question: A?\nAnswer:", return_tensors="pt", return_token_type_ids=False)
    assert model.generate(**prompt, max_new_tokens=3, do_sample=False).shape[1] > prompt["input_ids"].shape[1]
