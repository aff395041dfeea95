"""Puts the options of one question into one row of a batch: their common prefix once, then the rest of each.

Each option attends to the prefix and itself only, and its positions continue from the prefix: the tree attention of
SpecInfer (Miao et al. 2024, section 4.2) with one branching. `LanguageModel` scores with it.
"""

from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from prunegrid.core.ragged import Ints
from prunegrid.models.architecture import accepts_tree_masks, smallest_window

FIRST_TRIAL = 16  # tokens of the first row that is verified
OPTION_TOKENS = 4  # of each of the two options of such a row


class ScoredString(NamedTuple):
    """A tokenised string whose tokens from `start` (1 or more) on are scored, each given those before it."""

    ids: list[int]
    start: int

    @property
    def inputs(self) -> list[int]:
        """What the model reads: the last token is only predicted."""
        return self.ids[:-1]


class OptionRow(NamedTuple):
    """The strings `members` in one row of `length` tokens, of which the first `prefix` are common to all."""

    members: list[int]
    prefix: int
    length: int


def option_rows(strings: Sequence[ScoredString], questions: Sequence[Hashable], limit: int) -> list[OptionRow]:
    """Pack neighbouring strings of the same question into rows, in order.

    A string joins the previous row if that stays within `limit` tokens and within twice its longest string: beyond
    that, wider attention costs more than the shared prefix saves.
    """
    rows: list[OptionRow] = []
    for _, group in groupby(range(len(strings)), key=questions.__getitem__):
        question_rows: list[OptionRow] = []
        for index in group:
            joined = _row(strings, [*(question_rows[-1].members if question_rows else []), index])
            longest = max(len(strings[member].inputs) for member in joined.members)
            if question_rows and joined.length <= min(limit, 2 * longest):
                question_rows[-1] = joined
            else:
                question_rows.append(_row(strings, [index]))
        rows += question_rows
    return rows


def _row(strings: Sequence[ScoredString], members: list[int]) -> OptionRow:
    inputs = [strings[member].inputs for member in members]
    # the common prefix of all is that of the lexicographically first and last
    first, last = min(inputs), max(inputs)
    differing = (place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    prefix = next(differing, min(len(first), len(last)))
    return OptionRow(members, prefix, prefix + sum(len(ids) - prefix for ids in inputs))


class OptionBatch:
    """B rows padded on the right to T tokens, and the R tokens to score: where each is predicted, and whose it is.

    `part_BT` is 0 in a shared prefix, 1, 2, ... in the rest of each option, -1 in padding.
    """

    def __init__(self, strings: Sequence[ScoredString], rows: Sequence[OptionRow]) -> None:
        shape = (len(rows), max(row.length for row in rows))
        self.ids_BT, self.position_BT = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self.part_BT = np.full(shape, -1)
        self.unshared = all(len(row.members) == 1 for row in rows)
        columns = [columns for b, row in enumerate(rows) for columns in self._fill(b, row, strings)]
        self.row_R, self.place_R, self.target_R, self.owner_R = np.concatenate(columns, axis=1)

    def _fill(self, b: int, row: OptionRow, strings: Sequence[ScoredString]) -> Iterator[Ints]:
        """Write a row; yield int64[4, its tokens] for each member: row, place of prediction, target, member."""
        self._write(b, 0, strings[row.members[0]].ids[: row.prefix], 0, 0)
        start = row.prefix
        for part, member in enumerate(row.members, 1):
            string = strings[member]
            rest = string.inputs[row.prefix :]
            self._write(b, start, rest, row.prefix, part)
            # a token is predicted one place before it; places behind the prefix move with the option
            place = np.arange(string.start - 1, len(string.ids) - 1)
            place[place >= row.prefix] += start - row.prefix
            targets = np.array(string.ids[string.start :])
            yield np.stack([np.full_like(place, b), place, targets, np.full_like(place, member)])
            start += len(rest)

    def _write(self, b: int, start: int, ids: list[int], position: int, part: int) -> None:
        places = slice(start, start + len(ids))
        self.ids_BT[b, places] = ids
        self.position_BT[b, places] = np.arange(position, position + len(ids))
        self.part_BT[b, places] = part

    @cached_property
    def distinct(self) -> tuple[Ints, Ints]:
        """The P distinct predictions (place and target): an index among the R of each, and for each of the R which."""
        width, targets = self.ids_BT.shape[1], int(self.target_R.max()) + 1
        code_R = (self.row_R * width + self.place_R) * targets + self.target_R
        _, first_P, which_R = np.unique(code_R, return_index=True, return_inverse=True)
        return first_P, which_R

    def inputs(self, dtype: torch.dtype, device: Any) -> dict[str, torch.Tensor]:
        """The decoder's arguments. Rows of one string need no mask: causal attention hides the padding."""
        ids_BT = torch.from_numpy(self.ids_BT).to(device)
        if self.unshared:
            return {"input_ids": ids_BT}
        mask_B1TT = tree_mask(torch.from_numpy(self.part_BT).to(device), dtype)
        position_BT = torch.from_numpy(self.position_BT).to(device)
        return {"input_ids": ids_BT, "attention_mask": mask_B1TT, "position_ids": position_BT}

    def totals(self, values_P: NDArray[Any], count: int) -> NDArray[np.float64]:
        """float64[count]: the sum of each string's values."""
        sums_N = np.zeros(count)
        np.add.at(sums_N, self.owner_R, values_P[self.distinct[1]])
        return sums_N


def tree_mask(part_BT: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """[B, 1, T, T], to be added to attention: 0 if a token sees another, the type's lowest value if not."""
    query_BT1, key_B1T = part_BT[:, :, None], part_BT[:, None, :]
    causal_TT = torch.ones(part_BT.shape[1], part_BT.shape[1], dtype=torch.bool, device=part_BT.device).tril()
    seen_BTT = causal_TT & ((key_B1T == 0) | (key_B1T == query_BT1))
    mask_BTT = torch.zeros(seen_BTT.shape, dtype=dtype, device=part_BT.device)
    return mask_BTT.masked_fill_(~seen_BTT, torch.finfo(dtype).min)[:, None]


class RowLimit:
    """The longest shared row, in `tokens`, that the model scores correctly: at most `max_tokens`, 0 if none.

    The model must take positions and add an explicit mask. That mask disables sliding-window and chunked attention,
    or the window counts places of the row. So a shared row must not exceed the windows that the configuration names,
    nor a length at which an option was verified to come out as it does in a row of its own. In half precision the
    check misses an effect of less than 5 % on a state (a window almost as long as the row).
    """

    def __init__(self, model: Any, max_tokens: int) -> None:
        config = model.config.get_text_config()
        self.model, self.verified = model, 0
        longest = min(max_tokens, smallest_window(config) or max_tokens)
        self.tokens = longest if accepts_tree_masks(model, config) else 0
        self.tolerance = 1e-4 if model.dtype == torch.float32 else 5e-2

    def verify(self, length: int) -> int:
        """`tokens`, lowered if the model fails at 16 tokens or at the power of two from `length` on."""
        length = min(length, self.tokens)
        if length > self.verified == 0:
            self._verify(FIRST_TRIAL)
        if length > self.verified:
            self._verify(min(_power(length), self.tokens))
        return self.tokens

    def _verify(self, length: int) -> None:
        """Compare an option in a row of `length` tokens with the option alone; halve the limit until they agree.

        A window that no key names shows only in rows longer than it. Powers of two keep the trials few: shorter rows
        are not tried again, and after a failure the search goes down, perhaps to the length already verified or to 0.
        """
        while length > self.verified:
            if _deviation(self.model, length) <= self.tolerance:
                self.verified = length
            elif length <= FIRST_TRIAL:
                length = self.tokens = self.verified  # not even the shortest row: no rows are shared
            else:
                length = self.tokens = max(self.verified, _power(length) // 2)


def _power(length: int) -> int:
    """The next power of two."""
    return 1 << (length - 1).bit_length()


def _deviation(model: Any, length: int) -> float:
    """Relative distance of an option's last state in a row of `length` tokens from its state in a row of its own."""
    vocabulary = model.get_input_embeddings().num_embeddings
    # ids are arbitrary but varied (7919 is a prime): with equal ones a mask that is ignored could go unnoticed
    ids = (1 + np.arange(length - 2 * OPTION_TOKENS + 1) * 7919 % (vocabulary - 1)).tolist()
    *prefix, unread = ids
    strings = [ScoredString([*prefix, *option, unread], 1) for option in ([1, 2, 3, 4], [5, 1, 2, 6])]

    def last_state(members: list[int]) -> torch.Tensor:
        inputs = OptionBatch(strings, [_row(strings, members)]).inputs(model.dtype, model.device)
        state: torch.Tensor = model.get_decoder()(**inputs, use_cache=False).last_hidden_state[0, -1].float()
        return state

    with torch.inference_mode():
        expected = last_state([1])
        return float((last_state([0, 1]) - expected).norm() / expected.norm())
