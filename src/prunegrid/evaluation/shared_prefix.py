"""Options of one question in one row of a batch: what they share once, then what each has left.

Each option sees the shared prefix and itself only, and its positions go on from the prefix's end: the tree
attention of SpecInfer (Miao et al. 2024, section 4.2) with one branching. `LanguageModel` scores with it.
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

SHORTEST, REST = 16, 4  # tokens of the first row that is tried, and of each of a row's two options


class ScoredString(NamedTuple):
    """A tokenised string whose tokens from `start` (1 or more) on are scored, each from those before it."""

    ids: list[int]
    start: int

    @property
    def inputs(self) -> list[int]:
        """What the model reads: the last token is predicted only."""
        return self.ids[:-1]


class OptionRow(NamedTuple):
    """The strings `members` in one row of `length` tokens, the first `prefix` of which they share."""

    members: list[int]
    prefix: int
    length: int


def option_rows(strings: Sequence[ScoredString], questions: Sequence[Hashable], limit: int) -> list[OptionRow]:
    """Neighbours that belong to the same question put into rows, in order.

    A string joins the row before it where the row stays within `limit` tokens and within twice its longest
    string: what is shared is then worth the wider attention.
    """
    made: list[OptionRow] = []
    for _, group in groupby(range(len(strings)), key=questions.__getitem__):
        rows: list[OptionRow] = []
        for place in group:
            joined = _row(strings, [*(rows[-1].members if rows else []), place])
            longest = max(len(strings[member].inputs) for member in joined.members)
            if rows and joined.length <= min(limit, 2 * longest):
                rows[-1] = joined
            else:
                rows.append(_row(strings, [place]))
        made += rows
    return made


def _row(strings: Sequence[ScoredString], members: list[int]) -> OptionRow:
    inputs = [strings[member].inputs for member in members]
    first, last = min(inputs), max(inputs)
    differ = (place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    prefix = next(differ, min(len(first), len(last)))
    return OptionRow(members, prefix, prefix + sum(len(ids) - prefix for ids in inputs))


class OptionBatch:
    """B rows padded on the right to T tokens, and the S tokens to score: where each is predicted, and whose it is.

    `part_BT` is 0 in a shared prefix, 1, 2, ... in what the options have left, -1 in padding.
    """

    def __init__(self, strings: Sequence[ScoredString], rows: Sequence[OptionRow]) -> None:
        shape = (len(rows), max(row.length for row in rows))
        self.ids_BT, self.position_BT = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self.part_BT = np.full(shape, -1)
        self.one_each = all(len(row.members) == 1 for row in rows)
        found = [place for b, row in enumerate(rows) for place in self._fill(b, row, strings)]
        columns = np.concatenate(found, axis=1)
        self.row_S, self.place_S, self.target_S, self.owner_S = columns

    def _fill(self, b: int, row: OptionRow, strings: Sequence[ScoredString]) -> Iterator[Ints]:
        """Put a row in; for each member int64[4, its tokens]: row, place of prediction, target, member."""
        self._put(b, slice(0, row.prefix), strings[row.members[0]].ids[: row.prefix], 0, 0)
        at = row.prefix
        for part, member in enumerate(row.members, 1):
            ids, start = strings[member]
            rest = strings[member].inputs[row.prefix :]
            self._put(b, slice(at, at + len(rest)), rest, row.prefix, part)
            place = np.arange(start - 1, len(ids) - 1)
            place[place >= row.prefix] += at - row.prefix
            yield np.stack([np.full_like(place, b), place, np.array(ids[start:]), np.full_like(place, member)])
            at += len(rest)

    def _put(self, b: int, where: slice, ids: list[int], position: int, part: int) -> None:
        self.ids_BT[b, where] = ids
        self.position_BT[b, where] = np.arange(position, position + len(ids))
        self.part_BT[b, where] = part

    @cached_property
    def distinct(self) -> tuple[Ints, Ints]:
        """Of the S tokens those that differ in place or target, U of them, and for each of S which that is."""
        width, most = self.ids_BT.shape[1], int(self.target_S.max()) + 1
        code_S = (self.row_S * width + self.place_S) * most + self.target_S
        _, first_U, which_S = np.unique(code_S, return_index=True, return_inverse=True)
        return first_U, which_S

    def inputs(self, dtype: torch.dtype, device: Any) -> dict[str, torch.Tensor]:
        """The decoder's arguments. One string a row needs no mask: causal attention hides what is behind it."""
        ids_BT = torch.from_numpy(self.ids_BT).to(device)
        if self.one_each:
            return {"input_ids": ids_BT}
        mask_B1TT = tree_mask(torch.from_numpy(self.part_BT).to(device), dtype)
        position_BT = torch.from_numpy(self.position_BT).to(device)
        return {"input_ids": ids_BT, "attention_mask": mask_B1TT, "position_ids": position_BT}

    def totals(self, values_U: NDArray[Any], count: int) -> NDArray[np.float64]:
        """float64[count]: the sum of each string's values."""
        sums_N = np.zeros(count)
        np.add.at(sums_N, self.owner_S, values_U[self.distinct[1]])
        return sums_N


def tree_mask(part_BT: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """[B, 1, T, T], 0 where a token sees another and the type's lowest value elsewhere, as attention adds it."""
    query_BT1, key_B1T = part_BT[:, :, None], part_BT[:, None, :]
    causal_TT = torch.ones(part_BT.shape[1], part_BT.shape[1], dtype=torch.bool, device=part_BT.device).tril()
    seen_BTT = causal_TT & ((key_B1T == 0) | (key_B1T == query_BT1))
    mask_BTT = torch.zeros(seen_BTT.shape, dtype=dtype, device=part_BT.device)
    return mask_BTT.masked_fill_(~seen_BTT, torch.finfo(dtype).min)[:, None]


class RowLimit:
    """`tokens` that a shared row of the model may have, `most` or fewer; 0 where it cannot have one.

    It can where it is told positions and adds the mask it is given, and an option comes out of a shared row as it
    does alone. A given mask overrides a window or chunk of attention, or the window counts a row's places: so a row
    is no longer than the windows that the configuration names, nor than rows that were tried. In half precision a
    trial misses what changes a state by less than 5 % (a window that is almost as long as the row).
    """

    def __init__(self, model: Any, most: int) -> None:
        config = model.config.get_text_config()
        self.model, self.tried = model, 0
        self.tokens = min(most, smallest_window(config) or most) if accepts_tree_masks(model, config) else 0
        self.far = 1e-4 if model.dtype == torch.float32 else 5e-2

    def reach(self, wanted: int) -> int:
        """`tokens`, lowered where need be, after trials of 16 tokens and of the power of two that `wanted` asks for."""
        wanted = min(wanted, self.tokens)
        if wanted > self.tried == 0:
            self._try(SHORTEST)
        if wanted > self.tried:
            self._try(min(_power(wanted), self.tokens))
        return self.tokens

    def _try(self, length: int) -> None:
        """Try a row of `length` tokens; where an option comes out otherwise than alone, the power of two below."""
        while length > self.tried:
            if _deviation(self.model, length) <= self.far:
                self.tried = length
            else:
                length = self.tokens = max(self.tried, _power(length) // 2 if length > SHORTEST else 0)


def _power(length: int) -> int:
    """The next power of two."""
    return 1 << (length - 1).bit_length()


def _deviation(model: Any, length: int) -> float:
    """How far an option's last state in a row of `length` tokens is from that of the option alone, relative to it."""
    vocabulary = model.get_input_embeddings().num_embeddings
    *prefix, nothing = (1 + np.arange(length - 2 * REST + 1) * 7919 % (vocabulary - 1)).tolist()
    strings = [ScoredString([*prefix, *first, nothing], 1) for first in ([1, 2, 3, 4], [5, 1, 2, 6])]

    def last(members: list[int]) -> torch.Tensor:
        inputs = OptionBatch(strings, [_row(strings, members)]).inputs(model.dtype, model.device)
        state: torch.Tensor = model.get_decoder()(**inputs, use_cache=False).last_hidden_state[0, -1].float()
        return state

    with torch.inference_mode():
        alone = last([1])
        return float((last([0, 1]) - alone).norm() / alone.norm())
