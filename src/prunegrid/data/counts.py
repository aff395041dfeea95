"""What became of the rows of a source, counted so that nothing is lost without a word."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from prunegrid.core.errors import PrunegridError

BAD_ROWS_NAMED = FILES_NAMED = 5
NO_SAMPLES = "give rows with a prompt and a response"
REASONS = {
    "no_answer": "rows without an answer",
    "bad_row": "rows that cannot be read",
    "empty_response": "empty responses",
    "empty_prompt": "answers to an empty prompt",
    "not_trained": "answers that are context (train: false, weight: 0)",
    "earlier_answer": "answers before the last (turns: last)",
    "duplicate": "duplicates",
    "near_duplicate": "near duplicates",
    "over_max_samples": "answers over max_samples",
}
"""Why an answer is left out, or a row that has none."""


class Counts:
    """Counts the rows of a source, their answers (assistant turns), and what is left out, by reason.

    A row without an answer (`no_answer`, `bad_row`) counts as one in `left_out`, so that these always hold:
    answers + no_answer + bad_row == learned + sum(left_out), and rows == rows with a sample + sum(rows_left_out).
    """

    def __init__(self) -> None:
        self.rows = self.answers = self.trailing_messages = 0
        self.samples = self.learned = self.rows_with_samples = 0
        self.last_row: tuple[int, str | None] | None = None  # of the samples: its number, why it is left out so far
        self.left_out: Counter[str] = Counter({"empty_response": 0, "empty_prompt": 0})
        self.rows_left_out: Counter[str] = Counter()
        self.shapes: Counter[str] = Counter()
        self.unread: Counter[str] = Counter()
        self.bad_rows: list[str] = []

    def add_row(self, shape: str, reasons: list[str | None], trailing: int) -> None:
        """A row that was read; `reasons` says why each of its answers is left out, or None where it is learned."""
        self.rows += 1
        self.shapes[shape] += 1
        self.answers += len(reasons)
        self.trailing_messages += trailing
        self.left_out.update(reason for reason in reasons or ["no_answer"] if reason)
        if None not in reasons:
            self.rows_left_out[(reasons[-1] if reasons else None) or "no_answer"] += 1

    def add_bad_row(self, error: PrunegridError) -> None:
        self.rows += 1
        self.left_out["bad_row"] += 1
        self.rows_left_out["bad_row"] += 1
        if len(self.bad_rows) < BAD_ROWS_NAMED:
            self.bad_rows.append(f"{error.where}: {error.what}")

    def add_sample(self, row: int, answers: int, reason: str | None = None) -> None:
        """A sample of `answers` learned answers that is written, or that a filter leaves out for `reason`.

        Samples come in the order of rows.
        """
        if self.last_row and self.last_row[0] != row:
            self._end_row()
        is_left_out = reason and (self.last_row is None or self.last_row[1])
        self.last_row = (row, reason if is_left_out else None)
        if reason:
            self.left_out[reason] += answers
        else:
            self.samples += 1
            self.learned += answers

    def _end_row(self) -> None:
        """Count the last row among those with samples, or by the reason why all of its samples are left out."""
        if self.last_row and self.last_row[1]:
            self.rows_left_out[self.last_row[1]] += 1
        elif self.last_row:
            self.rows_with_samples += 1
        self.last_row = None

    def summary(self) -> dict[str, Any]:
        """For `data.json`, once all rows and samples are counted."""
        self._end_row()
        return {
            "rows": self.rows,
            "rows_with_samples": self.rows_with_samples,
            "rows_left_out": dict(self.rows_left_out),
            "answers": self.answers,
            "learned": self.learned,
            "samples": self.samples,
            "left_out": dict(self.left_out),
            "trailing_messages": self.trailing_messages,
            "shapes": dict(self.shapes),
            "unread": dict(self.unread),
            "bad_rows": self.bad_rows,
        }


def no_samples(source: str, counts: Counts) -> PrunegridError:
    """The error for a source of which no sample is left."""
    left_out = {reason: number for reason, number in counts.left_out.items() if number}
    rows = "".join(f"; {row}" for row in counts.bad_rows[:1])
    return PrunegridError(source, f"no sample is left of {counts.rows} rows ({left_out} left out{rows})", NO_SAMPLES)


def intake_lines(counts: Mapping[str, Any]) -> list[str]:
    """What `data.json` says, for the terminal: rows and shapes, what was left out and why, what was not read."""
    shapes = ", ".join(f"{rows:,} {shape}" for shape, rows in counts.get("shapes", {}).items())
    lines = [f"rows: {counts['rows']:,}" + (f" ({shapes})" if shapes else "") + f"; samples: {counts['samples']:,}"]
    if counts.get("learned", counts["samples"]) != counts["samples"]:
        lines[0] += f", with {counts['learned']:,} answers"
    if files := counts.get("files"):
        lines.append(f"files: {len(files):,}{_others(counts['skipped_files'])}")
    lines += [f"left out: {REASONS.get(reason, reason)}: {n:,}" for reason, n in counts["left_out"].items() if n]
    if number := counts.get("trailing_messages"):
        lines.append(f"left out: messages after the last learned answer of their row: {number:,}")
    if unread := counts.get("unread"):
        lines.append("fields not read: " + ", ".join(f"{name} ({n:,})" for name, n in unread.items()))
    lines += [f"skipped: {row}" for row in counts.get("bad_rows", [])]
    if (number := counts.get("duplicates")) and not counts["left_out"].get("duplicate"):
        lines.append(f"duplicates: {number:,} (--drop-duplicates or dataset.drop_duplicates leaves them out)")
    return lines


def _others(names: list[str]) -> str:
    """The files of a folder that were not read, the first of them by name."""
    more = f" and {len(names) - FILES_NAMED:,} more" if len(names) > FILES_NAMED else ""
    return f"; not read: {', '.join(names[:FILES_NAMED])}{more}" if names else ""
