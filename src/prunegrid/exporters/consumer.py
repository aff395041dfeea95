"""What a consumer is: another program that takes a selection, in a form of its own."""

from abc import ABC, abstractmethod
from pathlib import Path

from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import Record
from prunegrid.exporters.rows import KeptRows
from prunegrid.exporters.summary import ExportSummary


class Consumer(ABC):
    """A subclass a consumer. `forms` are those that it takes (tokens, text), the usual one first."""

    name: str
    title: str
    forms: tuple[str, ...] = ("tokens",)

    def form(self, as_text: bool) -> str:
        """The form to write; `PrunegridError` if the consumer does not take text."""
        if as_text and "text" not in self.forms:
            raise PrunegridError(f"--to {self.name}", "takes token ids, not text", "leave --as text out")
        return "text" if as_text else self.forms[0]

    @abstractmethod
    def write(self, rows: KeptRows, folder: Path, form: str) -> Record:
        """Write the rows into the empty `folder`; what it returns is `details` of the summary."""

    def settings(self, summary: ExportSummary) -> dict[str, str]:
        """Further files by name: what makes the consumer train on the rows."""
        return {}

    def limit(self, longest: int, details: Record) -> str:
        """The setting under which the consumer cuts and drops no row, where it has such a setting.

        `longest` are the tokens of the longest row, `details` what `write` returned.
        """
        return ""

    @abstractmethod
    def instructions(self, summary: ExportSummary) -> str:
        """How to use the files, in Markdown, for the data card."""
