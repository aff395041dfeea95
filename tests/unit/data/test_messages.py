"""Messages: what of them chat templates read, and which are learned."""

import json

import pyarrow as pa
import pytest

from prunegrid.data.messages import FIELDS, MESSAGE, full_message, is_learned, text_length, to_template, to_tools


def test_to_template_leaves_out_nulls_and_marks() -> None:
    answer = full_message("assistant", "a", train=True)
    assert to_template([full_message("user", ""), answer]) == [
        {"role": "user", "content": ""},
        {"role": "assistant", "content": "a"},
    ]


def test_to_template_of_a_file_of_version_0_1_is_what_it_was() -> None:
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    assert to_template(messages) == messages


@pytest.mark.parametrize("arguments", ['{"city": "Oslo"}', {"city": "Oslo"}])
def test_to_template_gives_tool_calls_and_their_arguments_as_objects(arguments: object) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "w", "arguments": arguments}}
    (message,) = to_template([full_message("assistant", None, tool_calls=json.dumps([call]))])
    assert message["tool_calls"][0]["function"] == {"name": "w", "arguments": {"city": "Oslo"}}
    assert "content" not in message


def test_messages_fit_their_arrow_type() -> None:
    message = full_message("tool", "sunny", tool_call_id="1")
    assert pa.array([message], MESSAGE).to_pylist() == [message]
    assert tuple(message) == FIELDS


def test_to_tools_reads_the_column() -> None:
    assert (to_tools(None), to_tools('[{"type": "function"}]')) == (None, [{"type": "function"}])


def test_the_last_message_is_learned_unless_marks_say_otherwise() -> None:
    plain = [full_message("user", "q"), full_message("assistant", "a")]
    assert is_learned(plain) == [False, True]
    marked = [full_message("user", "q", train=False), *(full_message("assistant", "a", train=t) for t in (True, False))]
    assert is_learned(marked) == [False, True, False]


def test_text_length_counts_what_a_model_reads() -> None:
    assert text_length(full_message("assistant", "abc", reasoning_content="de", name="xyz")) == 5
    assert text_length({"role": "user", "content": "abc"}) == 3
