"""Rows of any content: read, left out and counted, or refused in one line; never a traceback."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from prunegrid.core.errors import PrunegridError
from prunegrid.data.conversations import SampleReader
from prunegrid.data.messages import is_learned, to_template, to_tools
from prunegrid.data.rows import Row
from prunegrid.experiment.dataset import Dataset

CALL = {"function": {"name": "f", "arguments": "{}"}}
ATOMS = st.sampled_from(
    [None, "", "q", " ", "[]", '[{"role": "user", "content": "q"}]', 0, 1, 0.5, False, 10**30, CALL]
)
KEYS = ["role", "from", "content", "value", "tool_calls", "train", "weight", "name", "thinking", "type", "text", "id"]
VALUES = st.recursive(
    ATOMS,
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.sampled_from(KEYS), parts, max_size=4),
    max_leaves=6,
)
TEXTS = st.sampled_from(["q", "a", "", None])
ROLES = st.sampled_from(["system", "user", "assistant", "gpt", "function_call", "tool", "narrator"])
MESSAGES = st.fixed_dictionaries(
    {"role": ROLES, "content": TEXTS | VALUES},
    optional={
        "tool_calls": st.just([CALL]) | VALUES,
        "train": VALUES,
        "name": TEXTS,
        "reasoning": TEXTS,
        "mood": TEXTS,
    },
)
LISTS = st.lists(MESSAGES, max_size=5)
ROWS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("messages", "conversations", "history"), LISTS | VALUES),
        **dict.fromkeys(("prompt", "completion"), TEXTS | LISTS | VALUES),
        **dict.fromkeys(("instruction", "input", "output", "response", "system", "rationale", "id"), TEXTS | VALUES),
        **dict.fromkeys(("tools", "functions"), st.just([CALL]) | VALUES),
    },
)


@settings(max_examples=300, deadline=None)
@given(ROWS, st.sampled_from(["each", "last", "all"]), st.sampled_from(["error", "skip"]))
def test_a_row_of_any_content_is_counted_or_refused_in_one_line(row: dict[str, Any], turns: Any, bad: Any) -> None:
    reader = SampleReader(Dataset(name="x", path="x", turns=turns, on_bad_row=bad), "x")
    refusal, samples = None, []
    try:
        samples = list(reader.read(Row(0, "x:1", row)))
    except PrunegridError as error:
        refusal = error
    if refusal:
        assert refusal.where == "x:1" and refusal.fix and "\n" not in str(refusal)
        return
    for sample in samples:
        to_template(sample["messages"]), to_tools(sample["tools"])
        reader.counts.add_sample(sample["row"], sum(is_learned(sample["messages"])))
    counts = reader.counts.summary()
    without = counts["left_out"].get("no_answer", 0) + counts["left_out"].get("bad_row", 0)
    assert counts["answers"] + without == counts["learned"] + sum(counts["left_out"].values())
    assert counts["rows_with_samples"] + sum(counts["rows_left_out"].values()) == 1
    assert counts["samples"] == len(samples)
