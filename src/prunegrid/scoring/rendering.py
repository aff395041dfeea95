"""What was counted while a data set was rendered: summed over shards, and said in sentences."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

SENTENCES = {
    "rewritten_conversations": "conversations scored an answer at a time, since the chat template rewrites earlier "
    "turns when others follow: {n}",
    "reasoning_dropped": "answers after turns whose reasoning the chat template leaves out: {n}",
    "without_generation_prompt": "answers of a chat template without a generation prompt (add_generation_prompt), "
    "which begin after their role's header: {n}",
    "added_by_template": "answers that begin with text of the chat template, which is learned: {n}; a thinking switch "
    'may omit it (chat_template_kwargs: {{"enable_thinking": false}})',
    "special_text_in_answers": "answers with the text of a special token, which is read as text: {n}",
    "special_text_in_prompts": "prompts with the text of a special token, which is read as that token: {n}",
    "refused_by_template": "answers of rows that the chat template refuses, which are left out: {n}",
    "beyond_context": "samples longer than the text that the model was made for (max_position_embeddings): {n}",
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


def refused_answers(meta: Mapping[str, Any]) -> int:
    """Answers of rows that the chat template refused, which `on_bad_row: skip` left out."""
    return sum(meta.get("rendering", {}).get("refused_by_template", {}).values())


def sentences(meta: Mapping[str, Any]) -> list[str]:
    """What a user should know of how the data were rendered, one sentence each."""
    lines = []
    for name, value in meta.get("rendering", {}).items():
        texts = (
            [f"{text!r} {count:,}" for text, count in value.items()] if isinstance(value, Mapping) else [f"{value:,}"]
        )
        lines.append(SENTENCES[name].format(n=", ".join(texts[:5] + ["..."][: len(texts) > 5])))
    if date := meta.get("template_date"):
        lines.append(f"the chat template uses the date, which is set to {date}")
    return lines
