"""LLaMA-Factory: `tokenized_path` is read by `load_from_disk` (src/llamafactory/data/loader.py), text in sharegpt form
(data/README.md). `dataset` must be set though nothing reads it beside `tokenized_path` (hparams/parser.py).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import Record
from prunegrid.data.messages import Message
from prunegrid.exporters.consumer import Consumer
from prunegrid.exporters.rows import KeptRows
from prunegrid.exporters.summary import ExportSummary
from prunegrid.exporters.text import TextRow, whole_rows
from prunegrid.exporters.writers import tables, write_dataset_folder, write_json_lines

NAME = "prunegrid"
ROLES = {"user": 0, "tool": 0, "assistant": 1}
TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "function_call",
    "system_tag": "system",
}
USE = """\
With your model's folder or hub id as `model_name_or_path` in `train.yaml`, run `llamafactory-cli train train.yaml`.
"""
TOKENS = """\
`tokenized_path` is `{out}/tokenized`: after a move, correct it, because LLaMA-Factory takes a folder that is not there
for one to write. `dataset` has to be set, but is not read. Leave `template` at `empty`: rows are tokenised already, and
another template may add tokens to the model's tokenizer. `cutoff_len` cuts nothing here, `neat_packing` packs nothing.
"""
TEXT = """\
Text is tokenised again. LLaMA-Factory reads the chat template of the model; where it cannot, or the model thinks, name
one of its own as `template`. Rows longer than `cutoff_len` are cut.
"""


class LlamaFactory(Consumer):
    name, title, forms = "llamafactory", "LLaMA-Factory", ("tokens", "text")

    def write(self, rows: KeptRows, folder: Path, form: str) -> Record:
        if form == "tokens":
            write_dataset_folder(folder / "tokenized", tables(rows), split="train")
            return {}
        learned = _Learned(rows)
        write_json_lines(folder / "data.jsonl", learned.records())
        return {"mask_history": learned.last_only}

    def settings(self, summary: ExportSummary) -> dict[str, str]:
        values: Record = {
            "model_name_or_path": summary.model,
            "stage": "sft",
            "do_train": True,
            "finetuning_type": "full",
        }
        files = {}
        if summary.form == "tokens":
            values |= {"dataset": NAME, "tokenized_path": f"{summary.out}/tokenized", "template": "empty"}
        else:
            values |= {"dataset": NAME, "dataset_dir": summary.out}
            values |= {"cutoff_len": 2 * summary.longest, "mask_history": summary.details["mask_history"]}
            columns = {"messages": "messages", "tools": "tools"}
            info = {NAME: {"file_name": "data.jsonl", "formatting": "sharegpt", "columns": columns, "tags": TAGS}}
            files["dataset_info.json"] = json.dumps(info, indent=1) + "\n"
        values["output_dir"] = "out"
        return {**files, "train.yaml": yaml.safe_dump(values, sort_keys=False)}

    def instructions(self, summary: ExportSummary) -> str:
        return USE + (TOKENS if summary.form == "tokens" else TEXT).format(**summary.model_dump())


class _Learned:
    """Text rows, all of which learn every answer or all of which learn their last one: it is one setting."""

    def __init__(self, rows: KeptRows) -> None:
        self.rows = rows
        self.last_only: bool | None = None

    def records(self) -> Iterator[Record]:
        for text in whole_rows(self.rows):
            self._check(text)
            tools = json.dumps(text.tools, ensure_ascii=False) if text.tools else ""
            yield {"messages": [self._message(text, message) for message in text.messages], "tools": tools}
        self.last_only = bool(self.last_only)

    def _check(self, text: TextRow) -> None:
        turns = text.messages[text.messages[0]["role"] == "system" :]
        if any(ROLES.get(message["role"]) != place % 2 for place, message in enumerate(turns)):
            self._refuse(text, "does not alternate between user or tool and assistant")
        if len(text.answers) > 1:
            if not text.learns_last_only and text.learned != text.answers:
                self._refuse(text, "learns some answers of a conversation")
            if self.last_only not in (None, text.learns_last_only):
                self._refuse(text, "learns all answers of one conversation and the last of another")
            self.last_only = text.learns_last_only

    def _message(self, text: TextRow, message: Message) -> Record:
        if "reasoning_content" in message:
            self._refuse(text, "has reasoning beside its answer")
        content: Any = message.get("content", "")
        if "tool_calls" not in message:
            return {"role": message["role"], "content": content}
        if content:
            self._refuse(text, "has text beside a tool call")
        calls = [call["function"] for call in message["tool_calls"]]
        return {"role": "function_call", "content": json.dumps(calls, ensure_ascii=False)}

    def _refuse(self, text: TextRow, problem: str) -> None:
        full = f"{text.place} {problem}, which LLaMA-Factory cannot read from text"
        raise PrunegridError(self.rows.selection, full, "export token ids")


CONSUMER = LlamaFactory()
