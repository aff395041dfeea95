"""Special tokens that an answer names as text: `</s>` in an answer about SSML is text, not the end of a sequence.

Before rendering, such a text in an answer becomes a mark, and the mark is encoded as the characters it stands for. The
end of the sequence or of a turn, at the end of an answer, stays: data that write it there mean the token.
"""

import re
from functools import cached_property
from typing import Any, NamedTuple

from prunegrid.data.messages import Message

OPEN, CLOSE = "\ue0f0", "\ue0f1"  # private use: no text has them
MARK = re.compile(f"{OPEN}(\\d+){CLOSE}")
FIELDS = ("content", "reasoning_content")


class Encoded(NamedTuple):
    """The token ids of a text, and the characters at which each token starts and ends."""

    ids: list[int]
    starts: list[int]
    ends: list[int]


def is_marked(text: str) -> bool:
    return OPEN in text and MARK.search(text) is not None


class SpecialText:
    """Marks and encodes the special tokens that a chat template writes around every turn."""

    def __init__(self, tokenizer: Any, sample: str, tail: str) -> None:
        """`sample`: what the template writes for a plain conversation; `tail`: what of it stands behind an answer."""
        self.tokenizer = tokenizer
        special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
        borders = {tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token} - {None}
        self.any_pattern = _pattern(special | borders)
        self.structural = sorted(borders | {token for token in special if token in sample})
        self.pattern = _pattern(self.structural)
        ends = _pattern({tokenizer.eos_token} | {token for token in special if token in tail})
        self.final_pattern = re.compile(rf"(?:(?:{ends.pattern})\s*)+\Z")

    def named(self, message: Message) -> set[str]:
        """The special tokens in the message's texts."""
        return {token for name in FIELDS for token in self.any_pattern.findall(message.get(name) or "")}

    def marked(self, message: Message) -> Message:
        """The answer with a mark for each special token inside it."""
        return message | {name: self._mark(message[name]) for name in FIELDS if message.get(name)}

    def without_end(self, message: Message) -> Message:
        """The answer without special tokens at its end."""
        return message | {name: self._inner(message[name]) for name in FIELDS if message.get(name)}

    def _inner(self, text: str) -> str:
        return self.final_pattern.sub("", text) or text

    def _mark(self, text: str) -> str:
        inner = self._inner(text)
        return self.pattern.sub(self._mark_of, inner) + text[len(inner) :]

    def _mark_of(self, match: re.Match[str]) -> str:
        return f"{OPEN}{self.structural.index(match[0])}{CLOSE}"

    def restored(self, text: str) -> str:
        """The text without marks."""
        return MARK.sub(lambda match: self.structural[int(match[1])], text)

    def encode(self, text: str) -> Encoded:
        """A text with marks; a token's characters are those of the marked text."""
        whole, start = Encoded([], [], []), 0
        for match in MARK.finditer(text):
            self._extend(whole, text[start : match.start()], start)
            mark, _ = self._piece(self.structural[int(match[1])], split_special_tokens=True)
            whole.ids.extend(mark)
            whole.starts.extend([match.start()] * len(mark))
            whole.ends.extend([match.end()] * len(mark))
            start = match.end()
        self._extend(whole, text[start:], start)
        return whole

    def _extend(self, whole: Encoded, text: str, place: int) -> None:
        """Append a piece of the text, which starts at `place`."""
        ids, offsets = self._piece(text, is_first=place == 0)
        whole.ids.extend(ids)
        whole.starts.extend(place + start for start, _ in offsets)
        whole.ends.extend(place + end for _, end in offsets)

    def _piece(self, text: str, is_first: bool = False, **options: Any) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids of a piece and their characters in it.

        It is encoded behind a newline, since some tokenizers put a blank before the start of a text.
        """
        for prefix in ("",) if is_first else ("\n", ""):
            encoded = self.tokenizer(prefix + text, add_special_tokens=False, return_offsets_mapping=True, **options)
            ids, offsets, skipped = encoded["input_ids"], encoded["offset_mapping"], len(self._newline) if prefix else 0
            if not prefix or ids[:skipped] == self._newline:
                break
        return ids[skipped:], [(start - len(prefix), end - len(prefix)) for start, end in offsets[skipped:]]

    @cached_property
    def _newline(self) -> list[int]:
        ids: list[int] = self.tokenizer("\n", add_special_tokens=False)["input_ids"]
        return ids


def _pattern(tokens: set[str] | list[str]) -> re.Pattern[str]:
    """Any of the tokens, the longest first; nothing where there are none."""
    return re.compile("|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True)) or r"(?!)")
