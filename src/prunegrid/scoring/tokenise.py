"""Tokenise conversations: the prompt, which the model reads, and the response, which it learns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prunegrid.core.errors import PrunegridError
from prunegrid.data.messages import Messages


@dataclass(frozen=True)
class TokenisedSample:
    """One sample: the response ends in the end-of-sequence token unless it was cut off."""

    prompt_ids: list[int]
    response_ids: list[int]
    truncated: bool


def tokenise(messages: Messages, tokenizer: Any, max_length: int) -> TokenisedSample | None:
    """Apply the chat template, split at the last assistant turn, and cut off at `max_length` tokens.

    A token that straddles the border belongs to the response. None if the cut leaves no response.
    Raises `PrunegridError` if the template leaves nothing to condition the response on.
    """
    return tokenise_all([messages], tokenizer, max_length)[0]


def tokenise_all(conversations: Sequence[Messages], tokenizer: Any, max_length: int) -> list[TokenisedSample | None]:
    """`tokenise` many conversations at once: a fast tokenizer encodes them on all cores, without Python's lock."""
    if not conversations:
        return []
    prompts, texts = zip(*(_texts(messages, tokenizer) for messages in conversations), strict=True)
    encoded = tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True)
    rows = zip(prompts, encoded["input_ids"], encoded["offset_mapping"], strict=True)
    return [_split(len(prompt), ids, offsets, tokenizer.eos_token_id, max_length) for prompt, ids, offsets in rows]


def _texts(messages: Messages, tokenizer: Any) -> tuple[str, str]:
    """The prompt, and the whole conversation, which starts with it."""
    prompt = tokenizer.apply_chat_template(list(messages[:-1]), tokenize=False, add_generation_prompt=True)
    text = tokenizer.apply_chat_template(list(messages), tokenize=False)
    if not text.startswith(prompt):
        raise PrunegridError(
            "chat template",
            "changes earlier turns when the response is added, so the response cannot be separated from the prompt: "
            f"the text {text[:80]!r} does not start with the prompt, which ends in {prompt[-40:]!r}",
            "give another models.<name>.chat_template",
        )
    return prompt, text


def _split(
    border: int, ids: list[int], offsets: list[tuple[int, int]], eos: int, max_length: int
) -> TokenisedSample | None:
    """One conversation, whose prompt has `border` characters; `offsets` are the characters of each token."""
    split = next((i for i, (_, end) in enumerate(offsets) if end > border), len(ids))
    if split == 0:
        problem = "puts no token before the response, so the response's first token has no context"
        raise PrunegridError("chat template", problem, "give another models.<name>.chat_template")
    response = _ended(ids[split:], eos)
    room = max_length - split
    if room <= 0:
        return None
    return TokenisedSample(ids[:split], response[:room], truncated=len(response) > room)


def _ended(response: list[int], eos: int) -> list[int]:
    """The response up to its last end-of-sequence token, which is added if the template writes none."""
    if eos not in response:
        return [*response, eos]
    return response[: len(response) - response[::-1].index(eos)]
