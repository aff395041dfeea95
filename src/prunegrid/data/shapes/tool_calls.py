"""Functions that an assistant may call, and its calls, as JSON in the form of OpenAI."""

import json
from typing import Any

from prunegrid.core.files import Record
from prunegrid.data.shapes.fields import Fields, excerpt


def read_tools(row: Fields) -> str | None:
    """The row's `tools` (or `functions`, an older name) as JSON; null if there are none."""
    name = row.first("tools", "functions")
    items = row.take_list("tools", "functions")
    if not name or not items:
        return None
    tools = [_object(row, f"{name}[{i}]", item) for i, item in enumerate(items)]
    return _json([{"type": "function", "function": tool} if name == "functions" else tool for tool in tools])


def read_calls(message: Fields) -> str | None:
    """The message's `tool_calls` (or `function_call`, an older name for one) as JSON; null if there are none."""
    if message.first("tool_calls"):
        calls = message.take_list("tool_calls")
    else:
        call = message.take("function_call")
        calls = None if call is None else [call]
    if not calls:
        return None
    return _json([_call(message, f"tool_calls[{i}]", call) for i, call in enumerate(calls)])


def parse_calls(text: str) -> str | None:
    """ShareGPT's function_call: JSON of one call, or of a list of calls; None if the text is something else."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return None
    calls = value if isinstance(value, list) else [value]
    if not calls or not all(isinstance(call, dict) and isinstance(call.get("name"), str) for call in calls):
        return None
    if not all(_has_arguments(call) for call in calls):
        return None
    return _json([{"type": "function", "function": call} for call in calls])


def _call(message: Fields, name: str, item: Any) -> Record:
    """One call in OpenAI's form, its function with a name and arguments: an object, or JSON of one."""
    call = _object(message, name, item)
    call = call if "function" in call else {"type": "function", "function": call}
    function = call["function"]
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        message.refuse(f"{message.path(name)} is {excerpt(item)}, without the name of a function", "give the name")
    if not _has_arguments(function):
        problem = f"{message.path(name)} has arguments {excerpt(function['arguments'])}, and no object or JSON of one"
        message.refuse(problem, "correct the arguments")
    return call | {"function": function | {"arguments": function.get("arguments") or {}}}


def _has_arguments(function: Record) -> bool:
    """Whether its arguments are an object, JSON of one, or absent."""
    arguments = function.get("arguments")
    if isinstance(arguments, str) and arguments:
        try:
            arguments = json.loads(arguments)
        except json.JSONDecodeError:
            return False
    return isinstance(arguments or {}, dict)


def _object(fields: Fields, name: str, value: Any) -> Record:
    """An object, or JSON of one, without nulls.

    Arrow gives all objects of a column the same keys, with nulls where an object has none (TRL removes them, too).
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            pass
        else:
            if isinstance(value, dict):
                return value
    if not isinstance(value, dict):
        fields.refuse(
            f"{fields.path(name)} is {excerpt(value)}, not an object", "give an object with a function's name"
        )
    return {name: _without_nulls(part) for name, part in value.items() if part is not None}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(part) for name, part in value.items() if part is not None}
    return [_without_nulls(part) for part in value] if isinstance(value, list) else value


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
