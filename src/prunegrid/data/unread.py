"""What of a row was not read: counted, and refused if it holds text that no sample has."""

import re
from collections.abc import Collection, Iterator

from prunegrid.core.errors import PrunegridError
from prunegrid.data.shapes.conversation import Conversation
from prunegrid.data.shapes.fields import excerpt, field_name, is_ignored, texts_in

BOOKKEEPING = re.compile(
    "annotator|author|category|conversation|country|created|dataset|date|difficulty|domain|file|filename|generator|"
    "hash|id|ids|idx|index|ip|key|kind|label|labels|lang|langdetect|language|level|licence|license|metadata|meta|"
    "model|name|origin|path|quality|score|scores|source|split|status|subcategory|subject|subset|tag|tags|task|time|"
    "timestamp|topic|type|uid|url|user|uuid|version"
)
"""Last words of fields that describe a row and are no part of it: Dolly's `category`, Tulu's `source` and `id`, LIMA's
`source`, UltraChat's `prompt_id`, Magpie's `task_category`, OpenHermes's `topic`, Hermes's `subcategory`, WildChat's
`conversation_hash` and `country`, LMSYS's `model` and `language`, Infinity-Instruct's `langdetect`, ..."""


def unread_fields(conversation: Conversation, ignored: Collection[str]) -> Iterator[tuple[str, bool]]:
    """(name, whether it holds text that is lost) of what was not read; keys of messages as `messages.key`."""
    for path, value in conversation.unread.items():
        name = field_name(path)
        if value in ("", [], {}):
            continue
        yield name, not is_ignored(name, ignored) and not _is_bookkeeping(name) and _is_lost(value, conversation.texts)


def refuse_unread(place: str, conversation: Conversation, names: Collection[str]) -> PrunegridError:
    """The error for fields whose text would be lost."""
    path = next(path for path in conversation.unread if field_name(path) in names)
    verb = "holds" if len(names) == 1 else "hold"
    problem = f"{', '.join(names)} {verb} text that no sample would have ({path}: {excerpt(conversation.unread[path])})"
    fix = (
        f"if it can be ignored, --ignore {','.join(names)} (dataset.ignore: [{', '.join(names)}]); a field under "
        "another name: --field system=NAME (dataset.fields); dataset.carry copies it along"
    )
    return PrunegridError(place, problem, fix)


def _is_bookkeeping(name: str) -> bool:
    """Whether the last word of a field's name is one of `BOOKKEEPING`: `prompt_id`, `questionId`, `messages.id`."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)
    return bool(words) and BOOKKEEPING.fullmatch(words[-1].lower()) is not None


def _is_lost(value: object, texts: Collection[str]) -> bool:
    """Whether a value has text, and is neither a copy of one text that was read nor all of them together."""
    if all(_is_number(text) for text in texts_in(value)):
        return False
    if not isinstance(value, str):
        return True
    parts = [text.strip() for text in texts if text.strip()]
    is_copy = value.strip() in parts or (bool(parts) and all(_stands_in(part, value) for part in parts))
    return not is_copy


def _stands_in(part: str, text: str) -> bool:
    """Whether a text holds a part, not within a word."""
    return re.search(rf"(?<!\w){re.escape(part)}(?!\w)", text) is not None


def _is_number(text: str) -> bool:
    """Whether a text is a number or a truth value: in CSV every value is text."""
    try:
        float(text)
    except ValueError:
        return text.strip().lower() in ("true", "false")
    return True
