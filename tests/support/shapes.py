"""Rows of every shape that is read, with the conversations that they hold."""

import json
from typing import Any, NamedTuple

from prunegrid.data.messages import full_message

CALL = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
OPENAI = [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Good day."}]
SHAREGPT = [{"from": "human", "value": "Hello?"}, {"from": "gpt", "value": "Good day."}]


class Shape(NamedTuple):
    """A row and the messages that it must become; `untrained` says which answers are context only."""

    row: dict[str, Any]
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None
    untrained: tuple[int, ...] = ()


def system(text: str) -> dict[str, Any]:
    return full_message("system", text)


def user(text: str) -> dict[str, Any]:
    return full_message("user", text)


def assistant(text: str | None, **rest: Any) -> dict[str, Any]:
    return full_message("assistant", text, **rest)


def calls(*functions: dict[str, Any], **rest: Any) -> str:
    return json.dumps([{**rest, "type": "function", "function": function} for function in functions])


TWO = [user("Hello?"), assistant("Good day.")]
FOUR = [user("One?"), assistant("1"), user("Two?"), assistant("2")]
WEATHER = {"name": "weather", "arguments": {"city": "Oslo"}}

SHAPES: dict[str, Shape] = {
    "alpaca": Shape({"instruction": "Hello?", "input": "", "output": "Good day."}, TWO),
    "alpaca without input": Shape({"instruction": "Hello?", "output": "Good day."}, TWO),
    "alpaca with input": Shape(
        {"instruction": "Sum up.", "input": "A text.", "output": "Good day."},
        [user("Sum up.\n\nA text."), assistant("Good day.")],
    ),
    "alpaca with a null instruction": Shape({"instruction": None, "input": "Hello?", "output": "Good day."}, TWO),
    "alpaca with system and history": Shape(
        {"instruction": "Two?", "output": "2", "system": "Be terse.", "history": [["One?", "1"]]},
        [system("Be terse."), *FOUR],
    ),
    "alpaca with null system and history": Shape(
        {"instruction": "Hello?", "output": "Good day.", "system": None, "history": None}, TWO
    ),
    "history as JSON": Shape({"prompt": "Two?", "response": "2", "history": '[["One?", "1"]]'}, FOUR),
    "history as messages": Shape({"prompt": "Two?", "response": "2", "history": SHAREGPT}, [*TWO, *FOUR[2:]]),
    "input and output": Shape({"input": "Hello?", "output": "Good day."}, TWO),
    "dolly": Shape({"instruction": "Hello?", "context": "", "response": "Good day.", "category": "open_qa"}, TWO),
    "dolly with context": Shape(
        {"instruction": "Sum up.", "context": "A text.", "response": "Good day."},
        [user("Sum up.\n\nA text."), assistant("Good day.")],
    ),
    "context and response": Shape({"context": "Hello?", "response": "Good day."}, TWO),
    "instruction and response": Shape({"instruction": "Hello?", "response": "Good day."}, TWO),
    "prompt and response": Shape({"prompt": "Hello?", "response": "Good day."}, TWO),
    "prompt and completion": Shape({"prompt": "Hello?", "completion": "Good day."}, TWO),
    "question and answer": Shape({"question": "Hello?", "answer": "Good day."}, TWO),
    "query and response": Shape({"query": "Hello?", "response": "Good day.", "type": "GSM_Rephrased"}, TWO),
    "system_prompt": Shape(
        {"system_prompt": "Be terse.", "question": "Hello?", "response": "Good day."}, [system("Be terse."), *TWO]
    ),
    "conversational prompt": Shape({"prompt": OPENAI[:1], "response": "Good day."}, TWO),
    "conversational prompt and completion": Shape({"prompt": OPENAI[:1], "completion": OPENAI[1:]}, TWO),
    "conversational completion": Shape({"prompt": "Hello?", "completion": OPENAI[1:], "system": ""}, TWO),
    "conversational prompt with an answer": Shape(
        {
            "prompt": [*OPENAI, {"role": "user", "content": "Two?"}],
            "completion": [{"role": "assistant", "content": "2"}],
        },
        [*TWO, *FOUR[2:]],
        untrained=(0,),
    ),
    "openai": Shape({"messages": OPENAI}, TWO),
    "openai as JSON": Shape({"messages": json.dumps(OPENAI)}, TWO),
    "openai with developer": Shape(
        {"messages": [{"role": "developer", "content": "Be terse."}, *OPENAI]}, [system("Be terse."), *TWO]
    ),
    "openai with parts": Shape(
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hel"}, "lo?"]}, OPENAI[1]]}, TWO
    ),
    "openai with reasoning": Shape(
        {"messages": [OPENAI[0], {**OPENAI[1], "reasoning_content": "A greeting."}]},
        [TWO[0], assistant("Good day.", reasoning_content="A greeting.")],
    ),
    "thinking in a part": Shape(
        {"messages": [OPENAI[0], {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm."}, "Yes."]}]},
        [TWO[0], assistant("Yes.", reasoning_content="Hm.")],
    ),
    "openai with tools": Shape(
        {
            "messages": [
                {"role": "user", "content": "Weather?"},
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "content": "sunny", "tool_call_id": "1"},
                {"role": "assistant", "content": "It is sunny."},
            ],
            "tools": [TOOL],
        },
        [
            user("Weather?"),
            assistant(None, tool_calls=json.dumps([CALL])),
            full_message("tool", "sunny", tool_call_id="1"),
            assistant("It is sunny."),
        ],
        [TOOL],
    ),
    "a call without content, tools as JSON": Shape(
        {
            "messages": [{"role": "user", "content": "Weather?"}, {"role": "assistant", "tool_calls": [CALL]}],
            "tools": json.dumps([TOOL]),
        },
        [user("Weather?"), assistant(None, tool_calls=json.dumps([CALL]))],
        [TOOL],
    ),
    "function_call and functions": Shape(
        {
            "messages": [{"role": "user", "content": "Weather?"}, {"role": "assistant", "function_call": WEATHER}],
            "functions": [TOOL["function"]],
        },
        [user("Weather?"), assistant(None, tool_calls=calls(WEATHER))],
        [TOOL],
    ),
    "weights": Shape(
        {
            "messages": [
                {"role": "user", "content": "One?"},
                {"role": "assistant", "content": "1", "weight": 0},
                {"role": "user", "content": "Two?"},
                {"role": "assistant", "content": "2", "weight": 1},
            ]
        },
        FOUR,
        untrained=(0,),
    ),
    "train": Shape(
        {
            "messages": [
                {"role": "user", "content": "One?"},
                {"role": "assistant", "content": "1"},
                {"role": "user", "content": "Two?"},
                {"role": "assistant", "content": "2", "train": False},
            ]
        },
        FOUR,
        untrained=(1,),
    ),
    "names": Shape(
        {"messages": [{"role": "user", "content": "Hello?", "name": "Ann"}, OPENAI[1]]},
        [full_message("user", "Hello?", name="Ann"), TWO[1]],
    ),
    "sharegpt": Shape({"conversations": SHAREGPT, "id": "x1"}, TWO),
    "sharegpt with system and tools": Shape(
        {"conversations": SHAREGPT, "system": "Be terse.", "tools": "[]"}, [system("Be terse."), *TWO]
    ),
    "sharegpt with calls": Shape(
        {
            "conversations": [
                {"from": "human", "value": "Weather?"},
                {"from": "function_call", "value": json.dumps(WEATHER)},
                {"from": "observation", "value": "sunny"},
                {"from": "gpt", "value": "It is sunny."},
            ],
            "tools": json.dumps([TOOL]),
        },
        [
            user("Weather?"),
            assistant(None, tool_calls=calls(WEATHER)),
            full_message("tool", "sunny"),
            assistant("It is sunny."),
        ],
        [TOOL],
    ),
    "sharegpt with a call as text": Shape(
        {"conversations": [SHAREGPT[0], {"from": "function_call", "value": "{}"}]}, [TWO[0], assistant("{}")]
    ),
    "keys of both forms": Shape(
        {"conversations": [{**message, "role": None, "content": None} for message in SHAREGPT]}, TWO
    ),
    "other speakers": Shape(
        {"conversation": [{"from": "User", "value": "Hello?"}, {"from": "chatgpt", "value": "Good day."}]}, TWO
    ),
    "lima": Shape({"conversations": ["Hello?", "Good day."], "source": "stackexchange"}, TWO),
    "exchanges": Shape(
        {"conversation": [{"input": "One?", "output": "1"}, {"input": "Two?", "output": "2"}], "source": "Capybara"},
        FOUR,
    ),
    "exchanges with system": Shape(
        {"conversation": [{"system": "Be terse.", "input": "Hello?", "output": "Good day."}]},
        [system("Be terse."), *TWO],
    ),
    "exchanges of human and assistant": Shape({"conversation": [{"human": "Hello?", "assistant": "Good day."}]}, TWO),
    "lists of roles and contents": Shape(
        {"messages": {"role": ["user", "assistant"], "content": ["Hello?", "Good day."]}}, TWO
    ),
    "null messages": Shape({"messages": None, "prompt": "Hello?", "response": "Good day."}, TWO),
    "empty messages": Shape({"messages": [], "prompt": "Hello?", "response": "Good day."}, TWO),
    "null prompt": Shape({"messages": OPENAI, "prompt": None, "response": None}, TWO),
    "blank prompt": Shape({"prompt": "", "response": "", "instruction": "Hello?", "output": "Good day."}, TWO),
    "ultrachat": Shape({"prompt": "Hello?", "prompt_id": "f0e3", "messages": OPENAI}, TWO),
    "alpaca with all of it in text": Shape(
        {"instruction": "Hello?", "input": "", "output": "Good day.", "text": "### Hello?\n### Response: Good day."},
        TWO,
    ),
}
