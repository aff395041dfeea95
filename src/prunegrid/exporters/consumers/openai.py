"""OpenAI's fine-tuning JSON lines, which Together, Fireworks, Mistral and others read, too: messages with weights."""

import json
from pathlib import Path

from prunegrid.core.files import Record
from prunegrid.data.messages import Message
from prunegrid.exporters.consumer import Consumer
from prunegrid.exporters.rows import KeptRows
from prunegrid.exporters.summary import ExportSummary
from prunegrid.exporters.text import TextRow, whole_rows
from prunegrid.exporters.writers import write_json_lines

USE = """\
`train.jsonl` has an example a line: `messages`, where an answer that is learned has `weight` 1 and one that is context
has 0, and `tools` where there are any. Upload it as it is. The service applies its own template and cut-off.
"""


class OpenAI(Consumer):
    name, title, forms = "openai", "services that read OpenAI's JSON lines", ("text",)

    def write(self, rows: KeptRows, folder: Path, form: str) -> Record:
        write_json_lines(folder / "train.jsonl", map(_record, whole_rows(rows)))
        return {}

    def instructions(self, summary: ExportSummary) -> str:
        return USE


def _record(text: TextRow) -> Record:
    messages = [_message(message, index in text.learned) for index, message in enumerate(text.messages)]
    return {"messages": messages} | ({"tools": text.tools} if text.tools else {})


def _message(message: Message, is_learned: bool) -> Message:
    if message["role"] != "assistant":
        return message
    calls = message.get("tool_calls")
    fields = {"tool_calls": [_with_text(call) for call in calls]} if calls else {}
    return message | fields | {"weight": int(is_learned)}


def _with_text(call: Message) -> Message:
    """The call with its arguments as JSON in a string, as OpenAI has them."""
    function = call["function"]
    arguments = json.dumps(function.get("arguments", {}), ensure_ascii=False)
    return call | {"type": "function", "function": function | {"arguments": arguments}}


CONSUMER = OpenAI()
