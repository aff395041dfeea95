"""Tokenise conversations: the prompt, which the model reads, and the response, which it learns."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.data.messages import Messages
from prunegrid.scoring.render import ANOTHER_TEMPLATE, Conversation, Rendered, Renderer, Span
from prunegrid.scoring.special_text import Encoded, is_marked


@dataclass(frozen=True)
class TokenisedSample:
    """One answer: the response ends in the end-of-sequence token unless it was cut off, or other turns follow it.

    `continues`: the prompt holds only the tokens between the answer before, of the same conversation, and this one.
    """

    prompt_ids: list[int]
    response_ids: list[int]
    truncated: bool
    continues: bool = False


def tokenise(messages: Messages, tokenizer: Any, max_length: int) -> TokenisedSample | None:
    """Apply the chat template, split at the last assistant turn, and cut off at `max_length` tokens.

    A token that straddles the border belongs to the response. None if the cut leaves no response.
    Raises `PrunegridError` if the template leaves nothing to condition the response on.
    """
    return tokenise_all([Conversation(messages)], Renderer(tokenizer), max_length)[0][0]


def tokenise_all(
    conversations: Sequence[Conversation], renderer: Renderer, max_length: int
) -> list[list[TokenisedSample | None]]:
    """For each conversation its learned answers, in order (`render.learned_turns`); None for one behind the cut-off.

    A fast tokenizer encodes all at once, on all cores and without Python's lock.
    """
    if not conversations:
        return []
    rows = [renderer.render(conversation) for conversation in conversations]
    texts = [rendered.text for row in rows for rendered in row]
    encoded = _encode(texts, renderer)
    cut = [[_cut(rendered, next(encoded), renderer, max_length) for rendered in row] for row in rows]
    return [[sample for samples in row for sample in samples] for row in cut]


def _encode(texts: Sequence[str], renderer: Renderer) -> Iterator[Encoded]:
    plain = [text for text in texts if not is_marked(text)]
    batch = renderer.tokenizer(plain, add_special_tokens=False, return_offsets_mapping=True) if plain else {}
    encoded = zip(batch.get("input_ids", []), batch.get("offset_mapping", []), strict=True)
    for text in texts:
        if is_marked(text):
            yield renderer.special_text.encode(text)
        else:
            ids, offsets = next(encoded)
            yield Encoded(ids, [start for start, _ in offsets], [end for _, end in offsets])


def _cut(rendered: Rendered, text: Encoded, renderer: Renderer, max_length: int) -> list[TokenisedSample | None]:
    """One text's answers. The last one ends the sequence; an earlier one ends where the template ends its turn."""
    samples: list[TokenisedSample | None] = []
    begin = 0
    for number, span in enumerate(rendered.answers):
        split = max(begin, bisect_right(text.ends, span.border))
        while split < len(text.ids) and text.starts[split] < span.border and text.ids[split] in renderer.special_ids:
            split += 1  # a special token that takes the blanks behind it, and so the response's first ones
        if split == 0:
            problem = "the chat template puts no token before the response, so its first token has no context"
            raise PrunegridError(rendered.place, problem, ANOTHER_TEMPLATE)
        response = _response(text, split, span, renderer, span is rendered.answers[-1])
        room = max_length - split
        sample = TokenisedSample(text.ids[begin:split], response[:room], len(response) > room, continues=number > 0)
        samples.append(sample if room > 0 else None)
        begin = split + len(response)
    return samples


def _response(text: Encoded, split: int, span: Span, renderer: Renderer, last: bool) -> list[int]:
    """The ids from `split` to the end of the answer: behind its own text up to the template's end of sequence.

    Without one there, the last answer of a text keeps all that the template writes, and an end of sequence is added;
    an earlier one ends with the first special token, which ends its turn.
    """
    eos = renderer.tokenizer.eos_token_id
    first = max(split, bisect_right(text.ends, span.text_end))
    stop = bisect_left(text.starts, span.tail_end)
    ends = {eos} if last or eos in text.ids[first:stop] else renderer.special_ids
    for place in range(first, stop):
        if text.ids[place] in ends:
            return text.ids[split : place + 1]
    return [*text.ids[split:stop], eos] if last else text.ids[split : max(stop, split + 1)]
