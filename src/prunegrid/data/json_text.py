"""JSON text of any size, read value by value in constant memory."""

import codecs
import json
import re
from typing import IO, Any

from prunegrid.core.errors import PrunegridError

CHUNK = 1 << 20
SPACE = re.compile(r"[ \t\r\n]*")
DECODER = json.JSONDecoder()
LONGEST_WORD = 12  # characters: more than `-Infinity` or an escape, which a chunk's end may cut in two


class JsonText:
    """A stream of JSON text and a position in it."""

    def __init__(self, stream: IO[bytes], source: str) -> None:
        self.stream, self.source = stream, source
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self.text, self.position, self.ended, self.line_before = "", 0, False, 1

    @property
    def line(self) -> int:
        """The physical line of the position, from 1."""
        return self.line_before + self.text.count("\n", 0, self.position)

    def peek(self) -> str:
        """The next character that is not blank, "" at the end."""
        while True:
            self.position = SPACE.match(self.text, self.position).end()  # type: ignore[union-attr]
            if self.position < len(self.text) or self.ended:
                return self.text[self.position : self.position + 1]
            self._read(CHUNK)

    def take(self, character: str) -> None:
        """Move behind `character`, which must come next."""
        if self.peek() != character:
            raise self.damaged(f"expecting {character}")
        self.position += 1

    def value(self) -> Any:
        """The next value, whole."""
        size, start = CHUNK, self.peek()
        if not start:
            raise self.damaged("the text ends")
        while True:
            try:
                value, end = DECODER.raw_decode(self.text, self.position)
                if end < len(self.text) or self.ended or self.text[end - 1] in '}]"':
                    self.position = end
                    return value
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos > len(self.text) - LONGEST_WORD
                if self.ended or not cut:
                    self.position = min(error.pos, len(self.text))
                    raise self.damaged(error.msg) from None
            except RecursionError:
                raise self.damaged("it is nested too deeply") from None
            self._read(size)
            size *= 2

    def _read(self, size: int) -> None:
        self.line_before = self.line
        chunk = self.stream.read(size)
        self.ended = not chunk
        try:
            self.text = self.text[self.position :] + self.decoder.decode(chunk, final=self.ended)
        except UnicodeDecodeError as error:
            raise PrunegridError(self.source, f"is not UTF-8 text ({error})", "save it as UTF-8") from None
        self.position = 0

    def damaged(self, problem: str) -> PrunegridError:
        return PrunegridError(
            f"{self.source}:{self.line}",
            f"is not JSON ({problem})",
            "correct it; where lines may be skipped, write one object a line (jq -c '.[]' FILE > FILE.jsonl)",
        )
