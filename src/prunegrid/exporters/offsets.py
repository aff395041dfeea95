"""Kept tokens as ranges of characters of each answer, for consumers that tokenise its text again."""

from typing import Any

from prunegrid.exporters.text import TextRow

Range = tuple[int, int]


def kept_ranges(text: TextRow, tokenizer: Any) -> list[list[Range]] | None:
    """[begin, end) of the kept characters of each kept answer, ascending and apart.

    The scored ids are decoded, and encoded again for the characters of each token. None where that does not give the
    same ids, or an answer's text does not stand in it: a template that changes the text, a character cut in two.
    """
    ids = text.row.example.ids
    decoded = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    encoded = tokenizer(decoded, add_special_tokens=False, return_offsets_mapping=True)
    if encoded["input_ids"] != ids:
        return None
    ranges = []
    for answer, message in zip(text.row.answers, text.learned, strict=True):
        offsets = encoded["offset_mapping"][answer.start : answer.start + answer.length]
        content = text.messages[message].get("content", "")
        start = decoded.find(content, offsets[0][0], offsets[-1][1])
        if not content or start < 0:
            return None
        ranges.append(_join([_clip(offsets[position], start, len(content)) for position in answer.kept]))
    return ranges


def _clip(span: Range, start: int, length: int) -> Range:
    """The span counted from `start`, within a text of `length`."""
    return max(span[0] - start, 0), min(span[1] - start, length)


def _join(spans: list[Range]) -> list[Range]:
    """Neighbouring spans in one; empty ones, such as the end of the sequence, which is no text, are left out."""
    joined: list[Range] = []
    for begin, end in spans:
        if begin >= end:
            continue
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined
