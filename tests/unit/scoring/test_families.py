"""Conversations in six families of chat templates: what is tokenised decodes to what the data says."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prunegrid.scoring.render import Conversation, Renderer
from prunegrid.scoring.tokenise import TokenisedSample, tokenise_all
from support.chat_templates import FAMILIES, family_tokenizer

SPECIAL = sorted({token for family in FAMILIES.values() for token in family.special})
words = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Co"]), min_size=1, max_size=12),
    st.sampled_from([" ", "\n\n", "  x", "assistant\n", "user", "im", "\u00e9\U0001f600", "{{ x }}", "<b>", "\r\n"]),
)
texts = st.lists(words, min_size=1, max_size=5).map("".join).filter(lambda text: text.strip())
with_special = st.lists(st.one_of(words, st.sampled_from(SPECIAL)), min_size=1, max_size=6).map("".join)
inner_special = st.tuples(texts, with_special, texts).map("".join)


@st.composite
def conversations(draw: Any, answers: Any = texts, most_turns: int = 3) -> list[dict[str, Any]]:
    messages = [{"role": "system", "content": draw(texts)}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, most_turns))):
        messages.append({"role": "user", "content": draw(texts), "train": False})
        messages.append({"role": "assistant", "content": draw(answers), "train": True})
    return messages


def tokenised(name: str, messages: list[dict[str, Any]], length: int = 100_000) -> list[TokenisedSample | None]:
    return tokenise_all([Conversation(messages)], Renderer(family_tokenizer(name)), length)[0]


def fitting(name: str, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return messages if FAMILIES[name].system else [m for m in messages if m["role"] != "system"]


@pytest.mark.parametrize("name", FAMILIES)
@given(conversations(st.one_of(texts, inner_special)))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_conversation_of_a_family_decodes_to_its_messages(name: str, messages: list[dict[str, Any]]) -> None:
    family, tokenizer = FAMILIES[name], family_tokenizer(name)
    messages = fitting(name, messages)
    samples = tokenised(name, messages)
    answers = [m["content"] for m in messages if m["role"] == "assistant"]
    assert len(samples) == len(answers)
    decoded = ""
    for number, (sample, answer) in enumerate(zip(samples, answers, strict=True)):
        assert sample is not None and not sample.truncated
        assert sample.continues == (number > 0 and name != "qwen 3")
        prompt, response = (tokenizer.decode(ids) for ids in (sample.prompt_ids, sample.response_ids))
        text = prompt if not sample.continues else decoded + prompt
        at = 0
        for message in [m for m in messages if m["role"] == "user"][: number + 1]:
            at = text.find(message["content"].strip(), at)
            assert at >= 0
        body = response.removeprefix("<think>\n\n</think>\n\n") if name == "qwen 3" else response
        assert body.strip().startswith(answer.strip()), (body, answer)
        tail = body.strip()[len(answer.strip()) :]
        last = number == len(answers) - 1 or name == "qwen 3"
        ends = {family.special[0]} if last else set(family.special)
        assert tokenizer.convert_ids_to_tokens(sample.response_ids[-1]) in ends
        assert sample.response_ids.count(tokenizer.eos_token_id) <= 1
        assert tail.strip() in ends | {
            "<|im_end|>\n<|endoftext|>",
            "<|im_end|><|endoftext|>",
            "<end_of_turn>\n<eos>",
        }, tail
        if family.begin and name != "llama 2":
            begin = tokenizer.convert_tokens_to_ids(family.begin)
            assert sample.prompt_ids.count(begin) + sample.response_ids.count(begin) == (not sample.continues)
        decoded = text + response
    if name != "qwen 3":
        ids = [i for s in samples if s for i in (*s.prompt_ids, *s.response_ids)]
        assert tokenizer.decode(ids) == decoded


@pytest.mark.parametrize("name", FAMILIES)
@given(conversations(), st.integers(1, 120))
@settings(max_examples=30, deadline=None)
def test_cut_off_keeps_the_turns_before_it(name: str, messages: list[dict[str, Any]], length: int) -> None:
    messages = fitting(name, messages)
    whole, cut = (tokenised(name, messages, limit) for limit in (100_000, length))
    position = 0
    for sample, part in zip(whole, cut, strict=True):
        assert sample is not None
        position = position if sample.continues else 0
        start = position + len(sample.prompt_ids)
        position = start + len(sample.response_ids)
        if start >= length:
            assert part is None
            continue
        assert part is not None
        assert part.prompt_ids == sample.prompt_ids
        assert part.response_ids == sample.response_ids[: length - start]
        assert part.truncated == (position > length)


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "qwen 3"])
@given(conversations(st.one_of(texts, inner_special)))
@settings(max_examples=30, deadline=None)
def test_turns_together_are_the_tokens_of_turns_apart(name: str, messages: list[dict[str, Any]]) -> None:
    """Each answer of a conversation has the ids that it has as the last answer of its own row."""
    messages = fitting(name, messages)
    together = tokenised(name, messages)
    before: list[int] = []
    answers = [i for i, m in enumerate(messages) if m["role"] == "assistant"]
    for sample, i in zip(together, answers, strict=True):
        (apart,) = tokenised(name, [{**m, "train": None} for m in messages[: i + 1]])
        assert sample and apart
        before += sample.prompt_ids
        assert apart.prompt_ids == before
        assert apart.response_ids[: len(sample.response_ids)] == sample.response_ids
        before += sample.response_ids
