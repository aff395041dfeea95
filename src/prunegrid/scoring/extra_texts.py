"""Optional scores without a forward: of the prompt's tokens, the instruction's text, duplicates, and other scores.

The instruction of an answer is the text of all messages before it, without the chat template.
"""

import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prunegrid.core import ragged
from prunegrid.core.errors import PrunegridError
from prunegrid.core.files import read_batches
from prunegrid.data.messages import Messages, is_learned
from prunegrid.data.minhash import NearDuplicates, parts, ranks
from prunegrid.pruners import Needs
from prunegrid.scoring.extra_inputs import ExtraInputs

ROWS = 1024  # of the data set that are Python objects at a time


def prompt_candidates(inputs: ExtraInputs) -> NDArray[np.float64]:
    """How many tokens of the whole prompt are no special ids; of a conversation all that stands before the answer."""
    sequences = inputs.sequences.expanded()
    plain_T = ~np.isin(sequences.ids_T, inputs.special_ids) & ~sequences.response_T
    return ragged.segment_sums(plain_T, sequences.offsets).astype(np.float64)


def s_ifd(inputs: ExtraInputs) -> NDArray[np.float64]:
    """Selective IFD (Fu et al., T-SHIRT, NeurIPS 2025): exp of the mean of nll - nll_alone over informative tokens.

    Those are the tokens whose absolute difference is above the median of all samples' tokens, as their script has it
    (Dynamite321/T-SHIRT, 2178f18, compute_stat.py, ratio 0.5). A sample without any has 1.
    """
    scores = inputs.scores.read(Needs(samples={}, tokens=dict.fromkeys(("nll", "nll_alone"), "s_ifd")))
    return selective_ifd(scores.token("nll") - scores.token("nll_alone"), scores.offsets)


def selective_ifd(difference_T: ragged.Floats, offsets: ragged.Ints) -> ragged.Floats:
    """`s_ifd` of the samples that `offsets` divide, from their tokens' differences in nats."""
    size_T = np.abs(difference_T)
    informative_T = size_T > np.median(size_T)
    sums = np.add.reduceat(difference_T * informative_T, offsets[:-1])
    ratio: ragged.Floats = np.exp(sums / np.maximum(1, ragged.segment_sums(informative_T, offsets)))
    return ratio


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


def compression_ratio(inputs: ExtraInputs) -> NDArray[np.float64]:
    """Bytes of instruction and answer by those that zlib makes of them."""
    texts = _texts(inputs.data_file, answer=True)
    return _of_samples(inputs, {sample_id: compressibility(text) for sample_id, text in texts})


def compressibility(text: str) -> float:
    """Bytes of the text (UTF-8) by those of its zlib form at level 6: below 1 where that is longer, 0 if empty."""
    plain = text.encode()
    return len(plain) / len(zlib.compress(plain, 6))


def duplicate_rank(inputs: ExtraInputs) -> NDArray[np.float64]:
    """How many near duplicates of the sample come before it in the data set, among those that were scored."""
    scored, numbers = {*inputs.sequences.sample_id_N.tolist()}, array("q")
    answers = ((number, texts) for number, texts in _compared(inputs.data_file) if number in scored)
    with NearDuplicates() as collected:
        while batch := [*islice(answers, ROWS)]:
            numbers.extend(number for number, _ in batch)
            collected.add([texts for _, texts in batch])
        return _of_samples(inputs, dict(zip(numbers, ranks(collected.firsts()).tolist(), strict=True)))


def _compared(data: Path) -> Iterator[tuple[int, tuple[str, str]]]:
    """The `sample_id` of every learned answer, and the texts that are compared: up to it, and its own."""
    for sample_id, messages in _conversations(data):
        for number, i in _places(sample_id, messages):
            yield number, parts(messages[: i + 1], [False] * i + [True])


def _of_instructions(inputs: ExtraInputs, measure: Callable[[str], float]) -> NDArray[np.float64]:
    return _of_samples(inputs, {sample_id: measure(text) for sample_id, text in instructions(inputs.data_file)})


def _of_samples(inputs: ExtraInputs, values: Mapping[int, float]) -> NDArray[np.float64]:
    """The values by `sample_id` in the order of the scores."""
    ids = inputs.sequences.sample_id_N.tolist()
    if missing := [number for number in ids if number not in values]:
        problem = f"has no sample_id {missing[0]}, which was scored"
        raise PrunegridError(inputs.data_file, problem, "give the data set that was scored, or score again")
    return np.array([values[number] for number in ids])


def instructions(data: Path) -> Iterator[tuple[int, str]]:
    """The `sample_id` and the instruction of every learned answer of a data set."""
    return _texts(data, answer=False)


def _texts(data: Path, answer: bool) -> Iterator[tuple[int, str]]:
    """The texts before every learned answer of a data set, with that `answer` or without, by `sample_id`."""
    for sample_id, messages in _conversations(data):
        for number, i in _places(sample_id, messages):
            yield number, "".join(message.get("content") or "" for message in messages[: i + answer])


def _conversations(data: Path) -> Iterator[tuple[int, Messages]]:
    for batch in read_batches(data, ROWS, ["sample_id", "messages"]):
        yield from ((row["sample_id"], row["messages"]) for row in batch.to_pylist())


def _places(sample_id: int, messages: Messages) -> Iterator[tuple[int, int]]:
    """The `sample_id` and the place of every learned answer.

    `sample_id` is that of the first answer of a conversation (`turns: all`), else of the last message.
    """
    whole = bool(messages[-1].get("train"))
    turn = 0
    for i, (message, learned) in enumerate(zip(messages, is_learned(messages), strict=True)):
        if learned:
            yield sample_id + (turn if whole else 0), i
        turn += message["role"] == "assistant"
