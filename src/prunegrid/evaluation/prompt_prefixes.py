"""Reads a prefix that several prompts of a batch share once, and gives each of these rows a copy of its cache.

Questions about one passage share the passage, few-shot prompts their examples. `generation` uses it on request.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from transformers import DynamicCache

from prunegrid.core.errors import first_line
from prunegrid.models.architecture import accepts_tree_masks, smallest_window

SHORTEST = 32  # tokens of a prefix that is worth a row of its own
Prompts = Sequence[list[int]]


class SharedPrefixes(NamedTuple):
    """P distinct prefixes; of each of B prompts, the number of its prefix and how many tokens that has, 1 or more."""

    prefixes: list[list[int]]
    owner_B: list[int]
    length_B: list[int]


def families(prompts: Prompts) -> list[list[int]]:
    """The prompts' places in sorted order, cut where neighbours share little.

    Little is less than `SHORTEST` tokens, or less than half of what the family's first two share.
    """
    groups: list[list[int]] = []
    shared = 0
    for place in sorted(range(len(prompts)), key=prompts.__getitem__):
        length = _common(prompts[groups[-1][0]], prompts[place]) if groups else 0
        if length >= SHORTEST and 2 * length >= shared:
            groups[-1].append(place)
            shared = shared or length
        else:
            groups.append([place])
            shared = 0
    return groups


def shared_prefixes(prompts: Prompts, limits: Sequence[int]) -> SharedPrefixes | None:
    """The prefixes of a batch, none longer than its prompts' `limits`; None if reading them apart saves no tokens."""
    groups = families(prompts)
    lengths = [_family_prefix(prompts, limits, family) for family in groups]
    sharers = [(family, length) for family, length in zip(groups, lengths, strict=True) if len(family) > 1]
    if not sharers or min(limits) < 1:
        return None
    rest = max(len(prompts[place]) - length for family, length in sharers for place in family)
    shared = SharedPrefixes([], [0] * len(prompts), [0] * len(prompts))
    for family, common in zip(groups, lengths, strict=True):
        # a prompt alone is divided where the others' rests begin
        start = max(1, min(common, len(prompts[family[0]]) - rest))
        length = start if len(family) == 1 else common
        for place in family:
            shared.owner_B[place], shared.length_B[place] = len(shared.prefixes), length
        shared.prefixes.append(prompts[family[0]][:length])
    rest = max(len(prompt) - length for prompt, length in zip(prompts, shared.length_B, strict=True))
    tokens = len(groups) * max(shared.length_B) + len(prompts) * rest
    return shared if tokens < len(prompts) * max(map(len, prompts)) else None


def _family_prefix(prompts: Prompts, limits: Sequence[int], family: list[int]) -> int:
    # the common prefix of all is that of the first and last in sorted order
    common = _common(prompts[family[0]], prompts[family[-1]])
    return min(common, *(limits[place] for place in family))


def _common(a: list[int], b: list[int]) -> int:
    differing = (place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
    return next(differing, min(len(a), len(b)))


def prefix_cache(model: Any, ids_PT: torch.Tensor, mask_PT: torch.Tensor, owner_B: list[int]) -> DynamicCache:
    """A cache of B rows: each has the keys and values of the prefix `owner_B` names. Padding is on the left."""
    cache = DynamicCache(config=model.config)
    positions_PT = (mask_PT.cumsum(-1) - 1).clamp(min=0)
    with torch.inference_mode():
        model.get_decoder()(
            input_ids=ids_PT, attention_mask=mask_PT, position_ids=positions_PT, past_key_values=cache, use_cache=True
        )
        cache.batch_select_indices(torch.tensor(owner_B, device=ids_PT.device))
    return cache


def sharing_obstacle(model: Any, longest: int) -> str | None:
    """Why prompts of at most `longest` tokens, answers included, cannot share prefixes with this model; None if so.

    A window of attention counts the padding behind a prefix, and scaled positions may depend on a batch's width. What
    the configuration does not name shows in a trial: two prompts end in the state that they have without sharing.
    """
    config = model.config.get_text_config()
    if not accepts_tree_masks(model, config):
        return "the model takes no positions, or no mask"
    if (window := smallest_window(config)) and window < 2 * longest:
        return f"its attention has a window of {window} tokens"
    if (getattr(config, "rope_parameters", None) or {}).get("rope_type") in ("longrope", "dynamic"):
        return "its positions are scaled by the length of the text"
    try:
        deviation = _deviation(model, max(longest, SHORTEST) - 8)
    except Exception as error:  # whatever a model's cache raises: without sharing it works
        return first_line(error)
    # as for options in shared rows
    return None if deviation <= (1e-4 if model.dtype == torch.float32 else 5e-2) else "states differ in a trial"


def _deviation(model: Any, length: int) -> float:
    """Relative distance of two prompts' last states behind a shared prefix of `length` tokens from those without."""
    vocabulary = model.get_input_embeddings().num_embeddings
    prefix_T = 1 + torch.arange(length, device=model.device) * 7919 % (vocabulary - 1)
    rest_BT = torch.tensor([[0, 0, 1, 2], [3, 1, 2, 4]], device=model.device)
    mask_BT = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]], device=model.device)
    ids_BT = torch.cat([prefix_T.expand(2, -1), rest_BT], 1)
    seen_BT = torch.cat([torch.ones_like(ids_BT[:, :length]), mask_BT], 1)
    cache = prefix_cache(model, prefix_T[None], torch.ones_like(prefix_T[None]), [0, 0])
    decoder = model.get_decoder()
    with torch.inference_mode():
        shared = decoder(
            input_ids=rest_BT,
            attention_mask=seen_BT,
            position_ids=(seen_BT.cumsum(-1) - 1)[:, length:],
            past_key_values=cache,
        ).last_hidden_state[:, -1]
        rows = [ids[seen.bool()][None] for ids, seen in zip(ids_BT, seen_BT, strict=True)]
        whole = torch.cat([decoder(input_ids=row, use_cache=False).last_hidden_state[:, -1] for row in rows])
    return float((shared - whole).float().norm() / whole.float().norm())
