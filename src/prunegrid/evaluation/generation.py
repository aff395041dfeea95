"""Greedy or sampled answers by transformers' own `generate`, in batches under a budget of tokens.

    generated = generate(model, tokenizer, prompts, max_new_tokens=256, stops=["Question:"], batch_tokens=8192)

transformers carries finished rows to the end of their batch. So a batch with few unfinished rows is given up, and the
unfinished rows of all batches form new batches, which read prompts and answers again.

The cache of keys and values is one of `IMPLEMENTATIONS`: `dynamic` grows with every step; `static` has one size for all
batches, so that on a GPU transformers compiles a step once and replays it as a CUDA graph. The tokens are the same.

With `share_prefixes` prompts that begin alike are batched together and read their prefix once (`prompt_prefixes`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import LogitsProcessor, LogitsProcessorList, StaticCache, StoppingCriteria, StoppingCriteriaList

from prunegrid.core.errors import PrunegridError, first_line
from prunegrid.core.ragged import Ints
from prunegrid.evaluation.prompt_prefixes import families, prefix_cache, shared_prefixes, sharing_obstacle
from prunegrid.evaluation.sampling import Draw, Sampling, Seed
from prunegrid.models.probes import non_finite_logits
from prunegrid.scoring.batches import batches_by_length

IMPLEMENTATIONS = ("dynamic", "static")
COMPILED_STEPS = 2000  # that pay for compiling: about 30 s at 15 ms less a step (estimated for 7B on an H100)


class Generated(NamedTuple):
    """The new tokens of each prompt, up to its end or stop; `fallback` is why another implementation had to finish."""

    tokens: list[list[int]]
    implementation: str
    fallback: str | None = None


class RowStop(StoppingCriteria):
    """Finishes a row at any stop string, at an end-of-sequence token, or at `max_new_tokens`.

    lm-eval's own ends a batch only when the same string is in every row: a batch that ends on different strings runs
    to max_gen_toks, and text behind a stop that is a special token is kept.

    `length[row]` is the number of new tokens at which the row finished, 0 before. `answered` counts the tokens of its
    answer that the prompt already contains. With `regroup` a batch is given up when few of its rows are unfinished,
    and reading them again costs less than carrying the finished ones to the end.
    """

    def __init__(self, run: "_Run", start: int, answered: list[int], regroup: bool) -> None:
        self.tokenizer, self.stops, self.ends, self.limit = run.tokenizer, run.stops, run.ends, run.max_new_tokens
        self.start, self.answered, self.regroup, self.length = start, answered, regroup, [0] * len(answered)
        lengths = [len(self.tokenizer.encode(stop, add_special_tokens=False)) for stop in self.stops]
        self.window = 2 + max(lengths, default=0)  # tokens decoded at each step: enough to hold any stop
        self.done_B = torch.zeros(len(answered), dtype=torch.bool, device=run.model.device)

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        new = input_ids.shape[1] - self.start
        recent = input_ids[:, -self.window :].tolist()
        answers = [ids[-(answered + new) :] for ids, answered in zip(recent, self.answered, strict=True)]
        for row, text in enumerate(self.tokenizer.batch_decode(answers)):
            full = self.answered[row] + new >= self.limit
            ends = full or answers[row][-1] in self.ends or any(stop in text for stop in self.stops)
            if ends and not self.length[row]:
                self.length[row] = new
        self.done_B = torch.tensor([length > 0 for length in self.length], device=input_ids.device)
        return self.done_B | self._gives_up(new)

    def _gives_up(self, new: int) -> bool:
        """Whether to leave unfinished rows to another batch.

        The estimated cost of continuing assumes that answers keep finishing at this batch's rate so far.
        """
        unfinished = [answered for answered, length in zip(self.answered, self.length, strict=True) if not length]
        rows, finished = len(self.answered), len(self.answered) - len(unfinished)
        if not self.regroup or not unfinished or 4 * len(unfinished) > rows:
            return False
        # exponential decay: rows x exp(-rate x new) are unfinished now, and less than one after `steps` more
        steps = new * math.log1p(len(unfinished)) / math.log(rows / len(unfinished))
        max_steps = self.limit - new - min(unfinished)
        return len(unfinished) * (self.start + new) < finished * min(steps, max_steps)


class Finite(LogitsProcessor):
    """Notes unfinished rows whose logits are not finite: greedy decoding treats NaN as the likeliest token.

    `check` raises for the first of them, once a batch: a check at each step would wait for the device.
    """

    def __init__(self, stop: RowStop) -> None:
        self.stop, self.broken_B = stop, torch.zeros_like(stop.done_B)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.broken_B |= ~scores.amax(-1).isfinite() & ~self.stop.done_B
        return scores

    def check(self, model: Any, prompts: Sequence[list[int]]) -> None:
        for row in self.broken_B.nonzero()[:1, 0].tolist():
            prompt = self.stop.tokenizer.decode(prompts[row], skip_special_tokens=True)
            raise non_finite_logits(model, f"in the answer to {' '.join(prompt.split())[:60]!r}")


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    *,
    max_new_tokens: int,
    stops: Sequence[str] = (),
    batch_tokens: int = 8192,
    implementation: str | None = None,
    sampling: Sampling | None = None,
    seeds: Sequence[Seed] = (),
    share_prefixes: bool = False,
    progress: Callable[[int], None] = lambda tokens: None,
) -> Generated:
    """Decode each of `prompts` (token ids, at least one): greedily, or with `sampling` from each prompt's seed.

    A batch has at most `batch_tokens` tokens, future answers included, or one row. Without an `implementation`,
    `choose` selects one, and a static cache that fails is replaced by a dynamic one. With `share_prefixes` the cache is
    dynamic; a model that cannot share them reads whole prompts, and `fallback` says why.
    """
    run = _Run(model, tokenizer, prompts, max_new_tokens, stops, progress, sampling, seeds)
    if share_prefixes and any(len(family) > 1 for family in families(prompts)):
        obstacle = sharing_obstacle(model, int(run.lengths.max()))
        if obstacle is None:
            run.shares = True
            return Generated(run.dynamic(batch_tokens), "dynamic")
        note = f"prefixes of prompts are not shared: {obstacle}"
        return Generated(run.dynamic(batch_tokens), "dynamic", note)
    cache = implementation or choose(model, run.lengths, max_new_tokens, batch_tokens)
    if cache == "dynamic":
        return Generated(run.dynamic(batch_tokens), cache)
    if cache != "static":
        raise PrunegridError("implementation", f"there is no {cache!r}", f"give one of {', '.join(IMPLEMENTATIONS)}")
    try:
        return Generated(run.static(batch_tokens), cache)
    except Exception as error:
        if implementation or isinstance(error, PrunegridError):
            raise
        fallback = f"using a dynamic cache, because the static one failed: {first_line(error)}"
    retry = _Run(model, tokenizer, prompts, max_new_tokens, stops, progress, sampling, seeds)
    return Generated(retry.dynamic(batch_tokens), "dynamic", fallback)


def choose(model: Any, lengths: Ints, max_new_tokens: int, batch_tokens: int) -> str:
    """`static` on a GPU, if transformers can compile the model and the answers are worth compiling for.

    A model that it cannot compile (GPT-Neo) gives wrong answers with a static cache.
    """
    steps = -(-len(lengths) // fixed_rows(lengths, batch_tokens)) * max_new_tokens
    compiles = model.device.type == "cuda" and model._can_compile_fullgraph
    return "static" if compiles and steps >= COMPILED_STEPS else "dynamic"


def fixed_rows(lengths: Ints, batch_tokens: int) -> int:
    """The rows of each batch if all batches are padded to the longest row."""
    return max(1, min(len(lengths), batch_tokens // int(lengths.max(initial=1))))


@dataclass
class _Run:
    """The batches of one call of `generate`. Prompts are named by their places in `prompts`."""

    model: Any
    tokenizer: Any
    prompts: Sequence[list[int]]
    max_new_tokens: int
    stops: Sequence[str]
    progress: Callable[[int], None]
    sampling: Sampling | None = None
    seeds: Sequence[Seed] = ()
    shares: bool = False

    def __post_init__(self) -> None:
        ends = self.model.generation_config.eos_token_id
        self.ends = {ends} if isinstance(ends, int) else set(ends or ())
        self.answers: list[list[int]] = [[] for _ in self.prompts]
        self.lengths = np.array([len(prompt) + self.max_new_tokens for prompt in self.prompts], np.int64)

    def dynamic(self, batch_tokens: int) -> list[list[int]]:
        pending, lengths = np.arange(len(self.prompts)), self.lengths
        if self.shares:  # a family's prompts follow one another, as if all were as long as its longest
            lengths = lengths.copy()
            for family in families(self.prompts):
                lengths[family] = lengths[family].max()
            pending = np.array([place for family in families(self.prompts) for place in family], np.int64)
        while len(pending):
            groups = batches_by_length(lengths[pending], batch_tokens, padding=1.0)
            places = [pending[group].tolist() for group in groups]
            pending = np.array([place for batch in places for place in self._batch(batch, regroup=True)], np.int64)
        return self.answers

    def static(self, batch_tokens: int) -> list[list[int]]:
        """Equal batches in one cache, the last one filled up: any other shape would have to be compiled."""
        rows, longest = fixed_rows(self.lengths, batch_tokens), int(self.lengths.max(initial=0))
        pending = np.argsort(-self.lengths, kind="stable").tolist()
        cache = StaticCache(config=self.model.config, max_cache_len=longest)
        while pending:
            places = [pending[start : start + rows] for start in range(0, len(pending), rows)]
            regroup = len(places) > 1
            pending = [place for batch in places for place in self._batch(batch, regroup, cache, rows)]
        return self.answers

    def _batch(self, places: list[int], regroup: bool, cache: Any = None, rows: int = 0) -> list[int]:
        """Continue these answers; return the unfinished ones: the batch was given up, or reached its maximum length.

        It is at most as long as its longest prompt and answer. A short prompt's answer, which starts behind the
        longest prompt, may need more.
        """
        fill = places[:1] * (rows - len(places))
        prompts = [self.prompts[place] + self.answers[place] for place in places + fill]
        answered = [len(self.answers[place]) for place in places + fill]
        ids_BT, mask_BT, prefixes = self._inputs(prompts, [len(self.prompts[place]) - 1 for place in places + fill])
        cache, width = prefixes or cache, ids_BT.shape[1]
        gap = width - max(map(len, prompts))  # the padding between prefixes and rests
        stop = RowStop(self, width, answered, regroup)
        stop.length[len(places) :] = [1] * len(fill)  # rows that only fill up count as finished
        finite = Finite(stop)
        if cache is not None and prefixes is None:
            cache.reset()
        out_BT = self.model.generate(
            input_ids=ids_BT,
            attention_mask=mask_BT,
            max_length=min(width + self.max_new_tokens - min(answered), gap + int(self.lengths[places].max())),
            stopping_criteria=StoppingCriteriaList([stop]),
            logits_processor=LogitsProcessorList([finite, *self._draws(places + fill, answered, width)]),
            pad_token_id=self.tokenizer.pad_token_id,
            do_sample=False,
            **({} if cache is None else {"past_key_values": cache}),
        )
        finite.check(self.model, [self.prompts[place] for place in places + fill])
        for place, row, length in zip(places, out_BT[:, width:].tolist(), stop.length, strict=False):
            self.answers[place] += row[: length or None]
        finished = [place for place, length in zip(places, stop.length, strict=False) if length]
        self.progress(int(self.lengths[finished].sum()))
        return [place for place, length in zip(places, stop.length, strict=False) if not length]

    def _draws(self, places: list[int], answered: list[int], width: int) -> list[LogitsProcessor]:
        """What draws these rows' next tokens; nothing if the likeliest are taken."""
        if self.sampling is None:
            return []
        seeds = [self.seeds[place] for place in places]
        return [Draw(self.sampling, seeds, answered, width, self.max_new_tokens)]

    def _inputs(self, prompts: list[list[int]], limits: list[int]) -> tuple[torch.Tensor, torch.Tensor, Any]:
        """Ids, mask, and a cache that holds the shared prefixes, or None. Prefixes and rests are padded each."""
        shared = shared_prefixes(prompts, limits) if self.shares else None
        if shared is None:
            return *self._padded(prompts), None
        cache = prefix_cache(self.model, *self._padded(shared.prefixes), shared.owner_B)
        heads = self._padded([shared.prefixes[owner] for owner in shared.owner_B])
        rests = self._padded([prompt[length:] for prompt, length in zip(prompts, shared.length_B, strict=True)])
        ids_BT, mask_BT = (torch.cat(parts, dim=1) for parts in zip(heads, rests, strict=True))
        return ids_BT, mask_BT, cache

    def _padded(self, prompts: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """The prompts padded on the left, and a mask that is 0 in padding."""
        width = max(map(len, prompts))
        ids = [[self.tokenizer.pad_token_id] * (width - len(prompt)) + prompt for prompt in prompts]
        mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        return torch.tensor(ids, device=self.model.device), torch.tensor(mask, device=self.model.device)
