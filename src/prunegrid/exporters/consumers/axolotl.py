"""axolotl: rows with exactly input_ids, attention_mask and labels are taken as they are (docs/dataset-formats/
tokenized.qmd); text with the characters that are learned (docs/dataset-formats/conversation.qmd).
"""

from collections.abc import Iterator
from pathlib import Path

import yaml

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import Record
from prunegrid.exporters.consumer import Consumer
from prunegrid.exporters.offsets import kept_ranges
from prunegrid.exporters.rows import KeptRows
from prunegrid.exporters.summary import ExportSummary
from prunegrid.exporters.text import TextRow, text_rows
from prunegrid.exporters.writers import token_columns, write_json_lines
from prunegrid.models import load_tokenizer

DATA = "train.jsonl"
USE = """\
With your model's folder or hub id as `base_model` in `train.yaml`, and your settings of training, run
`axolotl train train.yaml`.

- `datasets[0].path` is absolute: correct it after a move.
- `sequence_len` is the longest row, and `excess_length_strategy: raise` refuses a longer one, which axolotl would drop
  in silence. With `sample_packing` raise `sequence_len` to the length of a pack.
- The cache in `dataset_prepared_path` does not notice a changed `excess_length_strategy`: empty it.
"""
TEXT = """\
- The text is tokenised again, by the tokenizer and template that were scored (`tokenizer_config`). `train_detail` has
  the characters that are learned, with inclusive ends. axolotl widens them to whole tokens, and learns an answer's end
  where it learns anything of the answer.
"""


class Axolotl(Consumer):
    name, title, forms = "axolotl", "axolotl", ("tokens", "text")

    def write(self, rows: KeptRows, folder: Path, form: str) -> Record:
        if form == "tokens":
            write_json_lines(folder / DATA, map(token_columns, rows))
            return {}
        details = _Details(rows)
        write_json_lines(folder / DATA, details.records())
        ends = [details.tokenizer.decode([token]) for token in sorted(details.ends)]
        tokenizer = str(rows.scores.tokenizer_dir().absolute())
        return {"tokenizer": tokenizer, "ends": ends, "longest": details.longest}

    def settings(self, summary: ExportSummary) -> dict[str, str]:
        data: Record = {"path": f"{summary.out}/{DATA}", "ds_type": "json", "type": None}
        values: Record = {"base_model": summary.model, "datasets": [data]}
        if summary.form == "text":
            data |= {
                "type": "chat_template",
                "field_messages": "messages",
                "message_field_training_detail": "train_detail",
                "roles_to_train": [],
                "train_on_eos": "turn",
            }
            values |= {
                "tokenizer_config": summary.details["tokenizer"],
                "chat_template": "tokenizer_default",
                "eot_tokens": summary.details["ends"],
            }
        values |= {
            "sequence_len": summary.details.get("longest", summary.longest),
            "excess_length_strategy": "raise",
            "dataset_prepared_path": "prepared",
            "micro_batch_size": 1,
            "gradient_accumulation_steps": 8,
            "num_epochs": 1,
            "learning_rate": 1e-5,
            "output_dir": "out",
        }
        return {"train.yaml": yaml.safe_dump(values, sort_keys=False)}

    def limit(self, longest: int, details: Record) -> str:
        return f"sequence_len: {details.get('longest', longest)}"

    def instructions(self, summary: ExportSummary) -> str:
        return USE + (TEXT if summary.form == "text" else "")


class _Details:
    """Conversations whose kept answers have `train_detail`, as `records`; `ends` are the ids that end answers.

    `longest` counts the tokens of whole conversations, with what the template writes behind the last answer.
    """

    def __init__(self, rows: KeptRows) -> None:
        self.rows = rows
        self.tokenizer = load_tokenizer(rows.scores.tokenizer_dir())
        self.ends: set[int] = set()
        self.longest = 0

    def records(self) -> Iterator[Record]:
        for text in text_rows(self.rows):
            if reason := self._read(text):
                self.rows.leave_out(reason)
                continue
            ids = self.tokenizer.apply_chat_template(text.messages, tools=text.tools, return_dict=False)
            self.longest = max(self.longest, len(ids))
            yield {"messages": text.messages} | ({"tools": text.tools} if text.tools else {})

    def _read(self, text: TextRow) -> str:
        """Give the answers of the row their details; or the reason why text cannot show the row."""
        answers = text.row.answers
        if answers[-1].truncated:
            return "cut_off"
        if any(answer.kept and not answer.truncated and answer.kept[-1] < answer.length - 1 for answer in answers):
            problem = f"does not learn the end of an answer ({text.place}), as axolotl does where it learns its text"
            raise PrunegridError(self.rows.selection, problem, "export token ids")
        ranges = kept_ranges(text, self.tokenizer)
        if ranges is None:
            return "no_characters"
        if not any(ranges):
            return "only_end"
        for index, spans in zip(text.learned, ranges, strict=True):
            details = [{"begin_offset": begin, "end_offset": end - 1, "train": True} for begin, end in spans]
            text.messages[index]["train_detail"] = details
        bare = [answer for answer, spans in zip(answers, ranges, strict=True) if answer.kept and not spans]
        if bare:
            self.rows.left_out["only_end"] += len(bare)
        self.ends.add(text.row.example.ids[-1])
        return ""


CONSUMER = Axolotl()
