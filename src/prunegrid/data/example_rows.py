"""What stands before every question of a benchmark: rows of a data set, or a text file."""

from pathlib import Path
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.data.rows import stream_rows
from prunegrid.experiment.examples import Examples

KEY = "examples"
"""The only key of the first line of a file of items that has examples: a list of rows, or a text."""


def read_examples(examples: Examples | str, local: Any) -> list[dict[str, Any]] | str:
    """The rows in the order asked, of `local` as for `stream_rows`; or the whole text of the file of that name.

    Raises a `PrunegridError` for a row that is not there, and for a text that is empty or cannot be read.
    """
    if isinstance(examples, str):
        return _text(Path(examples))
    found: dict[int, dict[str, Any]] = {}
    count = 0
    for row in stream_rows(examples.data, local):
        count = row.index + 1
        if row.index in examples.rows:
            found[row.index] = row.values
        if len(found) == len(examples.rows):
            return [found[number] for number in examples.rows]
    missing = next(number for number in examples.rows if number not in found)
    source = local if isinstance(local, str | Path) else examples.data.mirror_name
    problem = f"has {count:,} rows, so there is no row {missing}"
    raise PrunegridError(f"examples: {source}", problem, f"give numbers from 0 to {count - 1}")


def _text(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise PrunegridError(path, f"cannot be read ({error.strerror})", "correct examples") from error
    except UnicodeDecodeError as error:
        raise PrunegridError(path, f"is not UTF-8 (byte {error.start})", "save it as UTF-8") from error
    if not text.strip():
        raise PrunegridError(path, "is empty", "write the examples into it, or remove examples")
    return text
