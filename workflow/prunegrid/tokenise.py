"""From messages to token ids: what the model reads (prompt) and what it learns (response)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prunegrid.errors import PrunegridError

Messages = Sequence[dict[str, str]]


@dataclass(frozen=True)
class Tokens:
    """One sample: the response ends in the end-of-sequence token unless it was cut off."""

    prompt_ids: list[int]
    response_ids: list[int]
    truncated: bool


def tokenise(messages: Messages, tokenizer: Any, max_length: int) -> Tokens | None:
    """Apply the chat template, split at the last assistant turn, cut off at `max_length` tokens.

    A token that straddles the border belongs to the response. None if the cut leaves no response.
    Raises `PrunegridError` if the template gives nothing to condition on.
    """
    prompt = tokenizer.apply_chat_template(list(messages[:-1]), tokenize=False, add_generation_prompt=True)
    text = tokenizer.apply_chat_template(list(messages), tokenize=False)
    if not text.startswith(prompt):
        raise PrunegridError(
            "the chat template changes earlier turns when the answer is added, so the answer cannot be told apart: "
            f"{prompt[-40:]!r} is no prefix of {text[:80]!r}; give another models.<name>.chat_template"
        )
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, border = encoded["input_ids"], len(prompt)
    split = next((i for i, (_, end) in enumerate(encoded["offset_mapping"]) if end > border), len(ids))
    if split == 0:
        raise PrunegridError("the chat template puts no token before the answer, so its first token has no context")
    response = _end(ids[split:], tokenizer.eos_token_id)
    room = max_length - split
    if room <= 0:
        return None
    return Tokens(ids[:split], response[:room], truncated=len(response) > room)


def _end(response: list[int], eos: int) -> list[int]:
    """Up to the last end-of-sequence token, which is added where the template has none."""
    if eos not in response:
        return [*response, eos]
    return response[: len(response) - response[::-1].index(eos)]
