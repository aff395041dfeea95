"""What a chat template must write of a conversation, what it may leave out, and what is said of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from prunegrid.core.errors import PrunegridError
from prunegrid.data.datasets import write_dataset
from prunegrid.experiment.dataset import Dataset
from prunegrid.models import load_tokenizer
from prunegrid.scoring.data_shard import tokenise_shard
from prunegrid.scoring.render import Conversation, Renderer
from prunegrid.scoring.rendering import sentences, summed
from prunegrid.scoring.tokenise import TokenisedSample, tokenise, tokenise_all
from support.chat_templates import CHATML, DEEPSEEK, FAMILIES, byte_tokenizer, family_tokenizer
from support.errors import refused

PLACE = "rows.jsonl:21"
SPECIAL = FAMILIES["chatml with another end"].special
QUESTION = {"role": "user", "content": "What is 17+25?"}
ANSWER = {"role": "assistant", "content": "42"}
THOUGHT = {"role": "assistant", "content": "<think>\n17 plus 25 is 42.\n</think>\n\n42"}
REASONED = {"role": "assistant", "content": "42", "reasoning_content": "17 plus 25 is 42."}
STRIPS_THINKING = DEEPSEEK.replace("m.content }}{{ eos", "m.content.split('</think>')[-1] }}{{ eos")
CALL = {"type": "function", "function": {"name": "add", "arguments": {"first": 17, "note": 'a "b"\n'}}}
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
CALLS = [
    QUESTION,
    {"role": "assistant", "content": None, "tool_calls": json.dumps([CALL])},
    {"role": "tool", "content": '{"sum": 42}', "tool_call_id": "1"},
    ANSWER,
]


def rendered(
    messages: list[dict[str, Any]], template: str | None = None, family: str = "", tools: Any = None
) -> tuple[list[TokenisedSample | None], list[str], dict[str, Any]]:
    """The samples, the decoded responses, and what was counted."""
    tokenizer = family_tokenizer(family) if family else byte_tokenizer(template, SPECIAL)
    renderer = Renderer(tokenizer)
    (samples,) = tokenise_all([Conversation(messages, tools, PLACE)], renderer, 10_000)
    return samples, [tokenizer.decode(sample.response_ids) for sample in samples if sample], renderer.facts()


def all_learned(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    return [message | {"train": message["role"] == "assistant"} for message in messages]


@pytest.mark.parametrize(
    ("template", "messages", "missing"),
    [
        ("chatml", [QUESTION, ANSWER], "42"),
        ("{# nothing #}", [QUESTION, ANSWER], "42"),
        (
            "{% for m in messages if m.role != 'system' %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}",
            [{"role": "system", "content": "Be brief."}, QUESTION, ANSWER],
            "Be brief.",
        ),
        (STRIPS_THINKING, [QUESTION, THOUGHT], "17 plus"),
        (CHATML, [QUESTION, REASONED], "17 plus"),
        (CHATML.replace("m.content", "m.content[:20]"), [QUESTION, ANSWER | {"content": "A" * 21}], "AAAA"),
        (CHATML.replace("m.content", "m.content | upper"), [QUESTION, ANSWER], "What is"),
        (CHATML, CALLS, "add"),
    ],
    ids=["name", "nothing", "system", "think", "reasoning", "cut", "upper", "tool call"],
)  # fmt: skip
def test_message_that_is_not_rendered_is_refused(template: str, messages: list[dict[str, Any]], missing: str) -> None:
    with refused(PLACE, missing, fix="chat template"):
        rendered(messages, template)


def test_tools_that_are_not_rendered_are_refused() -> None:
    with refused(PLACE, "tools", fix="tools"):
        rendered([QUESTION, ANSWER], CHATML, tools=TOOLS)


def test_tool_calls_and_results_are_rendered() -> None:
    samples, responses, facts = rendered(all_learned(*CALLS), family="mistral", tools=TOOLS)
    assert responses[0].startswith('[TOOL_CALLS] {"name": "add"')
    assert responses[0].endswith("}</s>")
    assert responses[1] == " 42</s>"
    assert [sample.continues for sample in samples if sample] == [False, True]
    assert facts == {}


@pytest.mark.parametrize("error", ["{{ raise_exception('no way') }}", "{{ messages.nothing.more }}", "{{ 1 + 'a' }}"])
def test_template_that_raises_names_the_row(error: str) -> None:
    with refused(PLACE, "fails (", fix="skip it"):
        rendered([QUESTION, ANSWER], CHATML + error)


def test_family_without_system_names_the_row() -> None:
    with refused(PLACE, "System role not supported"):
        rendered([{"role": "system", "content": "Be brief."}, QUESTION, ANSWER], family="gemma")


def test_header_is_not_learned_without_a_generation_prompt() -> None:
    template = CHATML[: CHATML.index("{% if add")]
    for messages in ([QUESTION, ANSWER], [QUESTION, ANSWER | {"content": "assistant"}], [QUESTION, THOUGHT]):
        (sample,), (response,), facts = rendered(messages, template)
        assert response == messages[1]["content"] + "<|im_end|>\n<|endoftext|>"
        assert sample
        assert byte_tokenizer(template, SPECIAL).decode(sample.prompt_ids).endswith("<|im_start|>assistant\n")
        assert facts == {"without_generation_prompt": 1}


def test_text_before_the_answer_is_counted() -> None:
    _, (response,), facts = rendered([QUESTION, ANSWER], family="qwen 3")
    assert response == "<think>\n\n</think>\n\n42<|im_end|>"
    assert facts == {"added_by_template": {"<think>\n\n</think>\n\n": 1}}
    (line,) = sentences(summed([facts, facts]))
    assert r"'<think>\n\n</think>\n\n' 2;" in line and "enable_thinking" in line
    assert summed([facts, facts])["rendering"] == {"added_by_template": {"<think>\n\n</think>\n\n": 2}}


@pytest.mark.parametrize("answer", [THOUGHT, REASONED], ids=["in the content", "apart"])
def test_reasoning_of_the_answer_is_learned_and_that_of_earlier_turns_counted(answer: dict[str, Any]) -> None:
    samples, responses, facts = rendered(all_learned(QUESTION, answer, QUESTION, answer), family="qwen 3")
    assert responses == ["<think>\n17 plus 25 is 42.\n</think>\n\n42<|im_end|>"] * 2
    assert not any(sample.continues for sample in samples if sample)
    assert facts == {"rewritten_conversations": 1, "reasoning_dropped": 1}
    assert len(sentences(summed([facts]))) == 2


ENDS = [
    ("chatml", "<s><|im_end|>x", "<s><|im_end|>x<|im_end|>"),
    ("chatml with another end", "It is <|endoftext|>. Yes", "It is <|endoftext|>. Yes<|im_end|>\n<|endoftext|>"),
    ("llama 2", "<s>Good</s> <s>morning</s>.", " <s>Good</s> <s>morning</s>. </s>"),
    ("chatml", "</think>", "</think><|im_end|>"),
]


@pytest.mark.parametrize(("family", "answer", "response"), ENDS)
def test_end_of_sequence_inside_an_answer_is_text(family: str, answer: str, response: str) -> None:
    (sample,), responses, facts = rendered([QUESTION, ANSWER | {"content": answer}], family=family)
    assert responses == [response]
    assert sample
    assert sample.response_ids.count(family_tokenizer(family).eos_token_id) == 1
    special = [token for token in FAMILIES[family].special if token in answer]
    assert sorted(facts.get("special_text_in_answers", {})) == sorted(special)


@pytest.mark.parametrize("family", ["chatml", "llama 2", "llama 3"])
def test_end_of_sequence_that_the_data_write_ends_the_answer(family: str) -> None:
    eos = FAMILIES[family].special[0]
    _, plain, _ = rendered([QUESTION, ANSWER], family=family)
    _, ended, facts = rendered([QUESTION, ANSWER | {"content": f"42{eos}"}], family=family)
    assert [text.replace(" ", "") for text in ended] == [text.replace(" ", "") for text in plain]
    assert facts == {}


def test_special_token_in_a_prompt_is_counted() -> None:
    (sample,), _, facts = rendered([QUESTION | {"content": "Why <|im_end|>?"}, ANSWER], family="chatml")
    assert sample
    assert sample.prompt_ids.count(family_tokenizer("chatml").eos_token_id) == 2
    assert facts == {"special_text_in_prompts": {"<|im_end|>": 1}}


def test_answers_that_are_context_are_read_and_not_learned() -> None:
    messages = all_learned(QUESTION, ANSWER | {"content": "forty"}, QUESTION, ANSWER)
    messages[1]["train"] = False
    (sample,), (response,), _ = rendered(messages, family="llama 3")
    assert response == "42<|eot_id|>"
    assert sample
    assert "forty<|eot_id|>" in family_tokenizer("llama 3").decode(sample.prompt_ids)


def test_date_is_fixed() -> None:
    (sample,), _, _ = rendered([QUESTION, ANSWER], family="llama 3")
    assert sample
    assert "Today Date: 26 Jul 2024\n" in family_tokenizer("llama 3").decode(sample.prompt_ids)


def test_answer_without_prompt_has_no_context() -> None:
    tokenizer = byte_tokenizer("{% for m in messages[1:] %}{{ m.content }}{% endfor %}", SPECIAL)
    with pytest.raises(PrunegridError, match="does not write the user"):
        tokenise([QUESTION, ANSWER], tokenizer, 100)
    with pytest.raises(PrunegridError, match="no token before"):
        tokenise([{"role": "user", "content": ""}, ANSWER], tokenizer, 100)


def test_file_and_row_of_the_source_are_named(tiny_model: Path, tmp_path: Path) -> None:
    rows = [{"prompt": f"{i}?", "response": f"{i}."} for i in range(4)] + [{"prompt": "Hello?", "response": "T."}]
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_dataset(Dataset(name="d", path=str(file)), str(file), tmp_path / "d.parquet", tmp_path / "d.json")
    tokenizer = load_tokenizer(tiny_model)
    tokenizer.chat_template = CHATML.replace("m.content", "m.content[:2]")
    with refused(f"{file}:5", "Hello?"):
        tokenise_shard(tmp_path / "d.parquet", Renderer(tokenizer), 100)


def test_rows_that_the_template_refuses_are_skipped_and_counted(tiny_model: Path, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    late = [*turns, {"role": "system", "content": "s"}, *turns]
    rows = [{"messages": messages} for messages in (turns, late, turns)]
    (tmp_path / "mine.json").write_text(json.dumps(rows))
    data = Dataset(name="d", path=str(tmp_path / "mine.json"), on_bad_row="skip")
    write_dataset(data, data.path, tmp_path / "d.parquet", tmp_path / "d.json")
    tokenizer = load_tokenizer(tiny_model)
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'system' and loop.index0 %}{{ raise_exception('late system') }}"
        "{% endif %}<|{{ m.role }}|>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    renderer = Renderer(tokenizer)
    sequences, cut = tokenise_shard(tmp_path / "d.parquet", renderer, 100)
    assert (sequences.sample_id_N.tolist(), cut) == ([0, 1, 3], 0)  # sample 1 ends before the late system turn
    ((line, number),) = renderer.facts()["refused_by_template"].items()
    assert number == 1 and f"{tmp_path / 'mine.json'}: row 2: " in line and "late system" in line


@pytest.mark.parametrize("scheme", ["first", "always", "never"])
def test_special_text_gets_no_blank_from_a_sentencepiece_tokenizer(scheme: str) -> None:
    """Such a tokenizer puts a blank before the start of a text, but an answer's parts start no text."""
    tokenizer = metaspace_tokenizer(scheme)
    question = {"role": "user", "content": "Hi"}
    sample = tokenise([question, ANSWER | {"content": "Good <s>day</s>.\n<s>"}], tokenizer, 999)
    assert sample
    assert tokenizer.decode(sample.response_ids) == " Good <s>day</s>.\n<s> </s>"
    assert tokenizer.bos_token_id not in sample.response_ids


def metaspace_tokenizer(scheme: str) -> Any:
    """As Llama 2's: words begin with a blank, and bytes stand for unknown characters."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    bpe.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    bpe.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = ["<unk>", "<s>", "</s>", *(f"<0x{number:02X}>" for number in range(256))]
    bpe.train_from_iterator(["Good day. Hi"] * 9, trainers.BpeTrainer(special_tokens=special, show_progress=False))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="</s>", bos_token="<s>", unk_token="<unk>")
    tokenizer.chat_template = FAMILIES["llama 2"].template
    return tokenizer


def test_special_token_that_takes_blanks_is_not_learned() -> None:
    """As Phi-3's `<|assistant|>`, which takes the newline behind it, and the answer's first blanks."""
    from tokenizers import AddedToken

    tokenizer = byte_tokenizer(CHATML, SPECIAL)
    tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken("<|answer|>", rstrip=True, special=True)]})
    header = "<|{{ 'user' if m.role == 'user' else 'answer' }}|>\n"
    turns = "{% for m in messages %}" + header + "{{ m.content }}{% endfor %}"
    tokenizer.chat_template = turns + "{% if add_generation_prompt %}<|answer|>\n{% endif %}"
    sample = tokenise([QUESTION, ANSWER | {"content": "  42"}], tokenizer, 100)
    assert sample
    assert tokenizer.decode(sample.prompt_ids).endswith("<|answer|>")
    assert tokenizer.decode(sample.response_ids) == "42<|endoftext|>"
