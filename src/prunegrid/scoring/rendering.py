"""What was counted while a data set was rendered: summed over shards, and said in sentences."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

SENTENCES = {
    "rewritten_conversations": "{n} conversations are scored an answer at a time: the chat template rewrites earlier "
    "turns when others follow",
    "reasoning_dropped": "{n} answers follow turns whose reasoning the chat template leaves out, as it does in a chat",
    "without_generation_prompt": "{n} answers begin behind their role's header: the chat template has no generation "
    "prompt (add_generation_prompt), so a chat must write the header itself",
    "added_by_template": "{n} answers begin with text that the chat template adds and the model learns, {texts}; "
    'a template with a thinking switch omits it (chat_template_kwargs: {{"enable_thinking": false}})',
    "special_text_in_answers": "{n} times an answer has the text of a special token, {texts}; it is read as text",
    "special_text_in_prompts": "{n} times a prompt has the text of a special token, {texts}; it is read as that token",
    "beyond_context": "{n} samples are longer than the text that the model was made for (max_position_embeddings)",
}


def summed(counts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`{"rendering": {...}}` with the counts of all shards, or nothing if they counted nothing."""
    sums: dict[str, Any] = {}
    for name, value in (item for shard in counts for item in shard.items()):
        if isinstance(value, Mapping):
            sums[name] = dict(Counter(sums.get(name, {})) + Counter(value))
        else:
            sums[name] = sums.get(name, 0) + value
    return {"rendering": sums} if sums else {}


def sentences(meta: Mapping[str, Any]) -> list[str]:
    """What a user should know of how the data were rendered, one sentence each."""
    lines = []
    for name, value in meta.get("rendering", {}).items():
        texts = dict(value) if isinstance(value, Mapping) else {"": value}
        quoted = ", ".join(repr(text) for text in list(texts)[:3])
        lines.append(SENTENCES[name].format(n=sum(texts.values()), texts=quoted))
    if date := meta.get("template_date"):
        lines.append(f"the chat template asks for the date and is given {date}")
    return lines
