"""Greedy decoding of a batch whose rows end one by one and then cost nothing more.

`LanguageModel` generates with it. Transformers' `generate` carries ended rows to the end of the batch: on SmolLM2-135M
it takes 1.4 times the CPU time of this for 12 questions of GSM8K, 1.1 times for SQuAD's. The texts are equal.
"""

import inspect
from typing import Any

import torch
from transformers import (
    DynamicCache,
    GenerationMixin,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.cache_utils import DynamicLayer

from prunegrid.models.probes import non_finite_logits


class RowStop(StoppingCriteria):
    """A row is done when any stop string is in it.

    lm-eval's own ends a batch only when one and the same string is in every row: a batch that ends on
    different strings runs to max_gen_toks, and text behind a stop that is a special token is kept.
    """

    def __init__(self, tokenizer: Any, stops: list[str], start: int) -> None:
        self.tokenizer, self.stops, self.start = tokenizer, stops, start
        self.window = 2 + max(len(tokenizer.encode(stop, add_special_tokens=False)) for stop in stops)

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        tails = self.tokenizer.batch_decode(input_ids[:, self.start :][:, -self.window :])
        done = [any(stop in tail for stop in self.stops) for tail in tails]
        return torch.tensor(done, device=input_ids.device)


class Finite(LogitsProcessor):
    """Refuses logits that are not finite: greedy decoding takes NaN for the likeliest token's."""

    def __init__(self, model: Any, tokenizer: Any, prompt_BP: torch.Tensor) -> None:
        self.model, self.tokenizer, self.prompt_BP = model, tokenizer, prompt_BP

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.check(scores, torch.arange(len(scores), device=scores.device))
        return scores

    def check(self, logits_AV: torch.Tensor, row_A: torch.Tensor) -> None:
        for row in row_A[~logits_AV.amax(-1).isfinite()].tolist():
            prompt = self.tokenizer.decode(self.prompt_BP[row], skip_special_tokens=True)
            raise non_finite_logits(self.model, f"in the answer to {' '.join(prompt.split())[:60]!r}")


def drops_rows(model: Any) -> bool:
    """Whether the model's cache can lose rows: keys and values only, and positions that the model is told.

    And the model prepares a step as others do: Phi-3 computes its cache anew where its long rotation begins.
    """
    told = {"position_ids", "logits_to_keep"} <= inspect.signature(model.forward).parameters.keys()
    plain = type(model).prepare_inputs_for_generation is GenerationMixin.prepare_inputs_for_generation
    return told and plain and all(isinstance(layer, DynamicLayer) for layer in _cache(model).layers)


def _cache(model: Any) -> DynamicCache:
    return DynamicCache(config=model.config.get_text_config(decoder=True))


def generate(
    model: Any, prompt_BP: torch.Tensor, mask_BP: torch.Tensor, most: int, pad: int, stop: RowStop
) -> torch.Tensor:
    """The most likely next token again and again: [B, `most` at the most], prompts (padded on the left) included."""
    finite = Finite(model, stop.tokenizer, prompt_BP)
    if not drops_rows(model):
        criteria = StoppingCriteriaList([stop])
        whole: torch.Tensor = model.generate(
            input_ids=prompt_BP, attention_mask=mask_BP, max_length=most, stopping_criteria=criteria,
            logits_processor=LogitsProcessorList([finite]), pad_token_id=pad, do_sample=False,
        )  # fmt: skip
        return whole
    with torch.inference_mode():
        return _dropping(model, prompt_BP, mask_BP, most, pad, stop, finite)


def _dropping(
    model: Any, prompt_BP: torch.Tensor, mask_BP: torch.Tensor, most: int, pad: int, stop: RowStop, finite: Finite
) -> torch.Tensor:
    """As `generate`; A rows are still active, of which the cache and the mask are."""
    ends = torch.tensor(model.generation_config.eos_token_id, device=prompt_BP.device).reshape(-1)
    out_BT = prompt_BP.new_full((len(prompt_BP), most), pad)
    out_BT[:, : prompt_BP.shape[1]] = prompt_BP
    active_A = torch.arange(len(prompt_BP), device=prompt_BP.device)
    cache = _cache(model)
    ids, mask, places = prompt_BP, mask_BP, (mask_BP.cumsum(-1) - 1).clamp(min=0)
    for length in range(prompt_BP.shape[1] + 1, most + 1):
        told = {"attention_mask": mask, "position_ids": places, "past_key_values": cache, "use_cache": True}
        logits_AV = model(input_ids=ids, **told, logits_to_keep=1).logits[:, -1]
        finite.check(logits_AV, active_A)
        next_A = logits_AV.argmax(-1)
        out_BT[active_A, length - 1] = next_A
        left = (~(torch.isin(next_A, ends) | stop(out_BT[active_A, :length], None))).nonzero()[:, 0]
        if len(left) == 0:
            return out_BT[:, :length]
        if len(left) < len(active_A):
            cache.batch_select_indices(left)
            active_A, next_A, mask, places = active_A[left], next_A[left], mask[left], places[left]
        ids, places = next_A[:, None], places[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
    return out_BT
