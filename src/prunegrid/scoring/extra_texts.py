"""Optional scores of token ids and texts alone, without a model: of the prompt's tokens and of the instruction.

The instruction of an answer is the text of all messages before it, without the chat template.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prunegrid.core import ragged
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_batches
from prunegrid.data.messages import Messages, is_learned
from prunegrid.scoring.extra_inputs import ExtraInputs

ROWS = 1024  # of the data set that are Python objects at a time


def prompt_candidates(inputs: ExtraInputs) -> NDArray[np.float64]:
    """How many tokens of the whole prompt are no special ids; of a conversation all that stands before the answer."""
    sequences = inputs.sequences.expanded()
    plain_T = ~np.isin(sequences.ids_T, inputs.special_ids) & ~sequences.response_T
    return ragged.segment_sums(plain_T, sequences.offsets).astype(np.float64)


def instruction_characters(inputs: ExtraInputs) -> NDArray[np.float64]:
    """The number of characters of the instruction."""
    return _of_instructions(inputs, len)


def instruction_entropy(inputs: ExtraInputs) -> NDArray[np.float64]:
    """Shannon entropy of the instruction's characters, in nats."""
    return _of_instructions(inputs, character_entropy)


def character_entropy(text: str) -> float:
    """Shannon entropy of the distribution of the text's characters, in nats; 0 for an empty text."""
    counts = np.array([*Counter(text).values()], dtype=np.float64)
    share = counts / counts.sum()
    return float(-(share * np.log(share)).sum() + 0.0)


def _of_instructions(inputs: ExtraInputs, measure: Callable[[str], float]) -> NDArray[np.float64]:
    values = {sample_id: measure(text) for sample_id, text in instructions(inputs.data_file)}
    ids = inputs.sequences.sample_id_N.tolist()
    if missing := [number for number in ids if number not in values]:
        problem = f"has no sample_id {missing[0]}, which was scored"
        raise PrunegridError(inputs.data_file, problem, "give the data set that was scored, or score again")
    return np.array([values[number] for number in ids])


def instructions(data: Path) -> Iterator[tuple[int, str]]:
    """The `sample_id` and the instruction of every learned answer of a data set."""
    for batch in read_batches(data, ROWS, ["sample_id", "messages"]):
        for row in batch.to_pylist():
            yield from _answers(row["sample_id"], row["messages"])


def _answers(sample_id: int, messages: Messages) -> Iterator[tuple[int, str]]:
    """`sample_id` is that of the first answer of a conversation (`turns: all`), else of the last message."""
    whole = bool(messages[-1].get("train"))
    turn, text = 0, ""
    for message, learned in zip(messages, is_learned(messages), strict=True):
        if learned:
            yield sample_id + (turn if whole else 0), text
        turn += message["role"] == "assistant"
        text += message.get("content") or ""
