"""Tokens of a `Choice` by hand: pools, samples without a token, ends of answers, prompts that compete."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from prunegrid.core import ragged
from prunegrid.pruners import Choice, KeptSamples, Scores, SelectionArrays, select_tokens
from prunegrid.pruners.arrays import Turns
from prunegrid.pruners.conversations import split
from support import handmade_scores

# Three responses of 4, 3 and 2 tokens; the last was cut off, so its last token is no end.
KEYS = [5.0, 1.0, 9.0, 0.0, 8.0, 2.0, 3.0, 7.0, 6.0]


def three(**columns: Any) -> Scores:
    return handmade_scores.scores([4, 3, 2], truncated=[False, False, True], tokens={"key": KEYS}, samples=columns)


def kept(k: list[int], scores: Scores | None = None, **fields: Any) -> list[list[int]]:
    return positions(chosen(k, scores, **fields))


def chosen(k: list[int], scores: Scores | None = None, **fields: Any) -> SelectionArrays:
    scores = three() if scores is None else scores
    n = len(scores)
    choice = Choice(np.arange(n), np.array(k), lambda block: block.token("key"), KeptSamples.uniform("", n), **fields)
    (selection,) = select_tokens(choice, lambda: [scores])
    return selection


def positions(selection: SelectionArrays) -> list[list[int]]:
    return [selection.kept_positions(row).tolist() for row in range(len(selection))]


def test_the_end_of_an_answer_is_kept_competes_or_is_dropped() -> None:
    assert kept([2, 1, 1]) == [[2, 3], [2], [0]]
    assert kept([2, 1, 1], end_token="compete") == [[0, 2], [0], [0]]
    assert kept([4, 3, 2], end_token="compete") == [[0, 1, 2, 3], [0, 1, 2], [0, 1]]
    assert kept([4, 3, 2], end_token="drop") == [[0, 1, 2], [0, 1], [0, 1]], "k is cut to what is left"
    assert kept([0, 1, 0], least=0, end_token="drop") == [[], [0], []]


def test_the_tokens_of_a_pool_compete_for_the_sum_of_its_k() -> None:
    pool = np.zeros(3, np.int64)
    # Ends 3 and 2 are forced; then 9 (0, 2), 8 (1, 0), 7 (2, 0).
    assert kept([1, 1, 3], pool=pool) == [[2, 3], [0, 2], [0]]
    # No end is forced: 9, 8, 7, 6, 5. Sample 1 keeps its 8.
    assert kept([1, 1, 3], pool=pool, least=0, end_token="compete") == [[0, 2], [0], [0, 1]]
    # The two largest are 9 and 8, but each sample keeps its best.
    assert kept([1, 1, 0], pool=pool, end_token="compete", least=0) == [[2], [0], []]
    assert kept([1, 1, 1], pool=pool, end_token="compete", least=1) == [[2], [0], [0]]


def test_samples_outside_of_all_pools_keep_their_own_k() -> None:
    # Pool 5 is samples 0 and 2 with 2 tokens: 9 and 7. Sample 1 keeps two of its own.
    assert kept([1, 2, 1], pool=np.array([5, -1, 5]), least=0, end_token="compete") == [[2], [0, 2], [0]]
    # Two pools, the samples of the first not neighbours.
    assert kept([2, 2, 2], pool=np.array([1, 0, 1]), least=0, end_token="drop") == [[0, 2], [0, 1], [0, 1]]
    assert kept([0, 2, 1], pool=np.array([1, 0, 1]), least=0, end_token="drop") == [[2], [0, 1], []]
    assert kept([2, 1, 1], pool=np.full(3, -1)) == kept([2, 1, 1]) == [[2, 3], [2], [0]]


def test_a_pool_never_keeps_fewer_than_its_ends_nor_more_than_its_tokens() -> None:
    pool = np.zeros(3, np.int64)
    assert kept([0, 0, 0], pool=pool, least=0) == [[3], [2], []]
    assert kept([9, 9, 9], pool=pool, least=0, end_token="drop") == [[0, 1, 2], [0, 1], [0, 1]]
    assert kept([0, 0, 0], pool=pool, least=0, end_token="drop") == [[], [], []]


def test_equal_keys_of_a_pool_go_to_the_smaller_sample_id_in_any_order_of_blocks() -> None:
    scores = handmade_scores.scores([2, 2], sample_id=[7, 3], truncated=[True, True], tokens={"key": [1.0] * 4})
    pool = np.zeros(2, np.int64)
    assert kept([2, 1], scores, pool=pool, least=0) == [[0], [0, 1]]
    choice = Choice(np.arange(2), np.array([2, 1]), lambda b: b.token("key"), KeptSamples.uniform("", 2), pool, least=0)
    blocks = [scores.take(np.array([row])) for row in range(2)]
    assert [positions(selection) for selection in select_tokens(choice, lambda: blocks)] == [[[0]], [[0, 1]]]


def test_tokens_of_the_prompt_compete_and_are_counted() -> None:
    scores = three(prompt_candidates=[2, 0, 1])
    prompt_keys = np.array([9.0, 4.0, 7.5])  # two of sample 0, one of sample 2
    fields: dict[str, Any] = {"prompt_rank": lambda block: prompt_keys, "end_token": "compete", "least": 0}
    selection = chosen([2, 1, 1], scores, **fields)
    # Sample 0: of two nines the prompt's comes first, then the response's. Sample 2: 7.5 against 7.
    assert positions(selection) == [[2], [0], []]
    assert selection.prompt_kept is not None and selection.prompt_kept.tolist() == [1, 0, 1]
    pooled = chosen([2, 1, 1], scores, pool=np.zeros(3, np.int64), **fields)
    assert positions(pooled) == [[2], [0], []], "9, 9, 8, 7.5"
    assert pooled.prompt_kept is not None and pooled.prompt_kept.tolist() == [1, 0, 1]
    assert chosen([2, 1, 1]).prompt_kept is None


def test_a_conversation_without_a_token_keeps_the_row_of_its_first_answer() -> None:
    turns = Turns(np.array([0, 2, 3]), np.array([0, 1, 2]), np.array([3, 2, 4]), np.array([False] * 3))
    scores = replace(
        handmade_scores.scores([5, 4], sample_id=[0, 2], tokens={"key": KEYS}, samples={"prompt_candidates": [1, 1]}),
        turns=turns,
    )
    selection = chosen([1, 2], scores, least=0, end_token="drop", prompt_rank=lambda block: np.array([99.0, 99.0]))
    rows = split(selection)
    assert rows.sample_id.tolist() == [0, 2] and positions(rows) == [[], [2]]
    assert rows.prompt_kept is not None and rows.prompt_kept.tolist() == [1, 1]
    later = split(chosen([2, 1], scores, least=0, end_token="drop", prompt_rank=lambda block: np.array([0.5, 99.0])))
    assert later.sample_id.tolist() == [0, 2] and positions(later) == [[0, 1], []]


@pytest.mark.parametrize("number", [1, 2, 50])
def test_pools_keep_what_sorting_each_pool_keeps(number: int) -> None:
    given = handmade_scores.random_scores(200)
    scores = replace(given, truncated=np.ones(200, bool))
    rng = np.random.default_rng(number)
    pool, k = rng.integers(0, number, 200), rng.integers(0, 5, 200)
    choice = Choice(
        np.arange(200), k, lambda b: b.token("nll"), KeptSamples.uniform("", 200), pool, least=0, end_token="compete"
    )
    blocks = [scores.take(np.arange(start, start + 40)) for start in range(0, 200, 40)]
    expected = np.zeros(scores.offsets[-1], bool)
    token_pool, token_id = (np.repeat(values, scores.response_tokens) for values in (pool, scores.sample_id))
    for name in range(number):
        members = np.flatnonzero(token_pool == name)
        order = np.lexsort(
            (ragged.positions(scores.offsets)[members], token_id[members], -scores.tokens["nll"][members])
        )
        expected[members[order[: k[pool == name].sum()]]] = True
    found = [positions(selection) for selection in select_tokens(choice, lambda: blocks)]
    marks = np.split(expected, scores.offsets[1:-1])
    assert list(itertools.chain(*found)) == [np.flatnonzero(part).tolist() for part in marks]
