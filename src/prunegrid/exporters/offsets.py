"""Kept tokens as ranges of characters of an answer, for consumers that tokenise its text again."""

from typing import Any

from prunegrid.exporters.text import TextRow

Range = tuple[int, int]


def kept_ranges(text: TextRow, tokenizer: Any) -> list[Range] | None:
    """[begin, end) of the kept characters of the row's only answer, ascending and apart.

    The scored ids are decoded, and encoded again for the characters of each token. None where that does not give the
    same ids, or the answer's text does not stand in it: a template that changes the text, a character cut in two.
    """
    (answer,), ids = text.row.answers, text.row.example.ids
    decoded = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    encoded = tokenizer(decoded, add_special_tokens=False, return_offsets_mapping=True)
    if encoded["input_ids"] != ids:
        return None
    offsets = encoded["offset_mapping"][len(ids) - answer.length :]
    content = text.messages[-1].get("content", "")
    start = decoded.find(content, offsets[0][0])
    if not content or start < 0:
        return None
    spans = [(begin - start, end - start) for begin, end in (offsets[position] for position in answer.kept)]
    return _join([(max(begin, 0), min(end, len(content))) for begin, end in spans])


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
