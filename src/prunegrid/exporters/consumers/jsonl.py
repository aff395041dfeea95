"""Plain JSON lines, for a program of one's own: ids, labels, place in the source, and the text."""

from pathlib import Path

from prunegrid.core.files import Record
from prunegrid.exporters.consumer import Consumer
from prunegrid.exporters.rows import KeptRows
from prunegrid.exporters.summary import ExportSummary
from prunegrid.exporters.text import TextRow, text_rows
from prunegrid.exporters.writers import place_columns, write_json_lines

USE = """\
`train.jsonl` has an object a line: `input_ids`; `labels` (-100 where nothing is learned); `sample_id`, `row` and
`turn`, the answer's place in the source; `kept_tokens`, how many of its tokens have a label; `messages` (and `tools`),
the text, which ends in the answer. The longest row has {longest} tokens.
"""


class JsonLines(Consumer):
    name, title = "jsonl", "a program that reads JSON lines"

    def write(self, rows: KeptRows, folder: Path, form: str) -> Record:
        write_json_lines(folder / "train.jsonl", map(_record, text_rows(rows)))
        return {}

    def instructions(self, summary: ExportSummary) -> str:
        return USE.format(**summary.model_dump())


def _record(text: TextRow) -> Record:
    ids = {"input_ids": text.row.example.ids, "labels": text.row.example.labels}
    tools = {"tools": text.tools} if text.tools else {}
    return ids | place_columns(text.row) | {"messages": text.messages} | tools


CONSUMER = JsonLines()
