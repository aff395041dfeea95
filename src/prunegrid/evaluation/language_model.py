"""The model behind lm-eval's interface: scores options in shared rows, generates answers, under a budget of tokens.

    lm = LanguageModel(model, tokenizer, batch_tokens=8192)
    lm.loglikelihood(requests); lm.nll_per_token(requests); lm.generate_until(requests)

Tokens, truncation and answers equal those of lm-eval's own `HFLM`; batches and the forward pass are our own.
"""

import functools
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import handle_stop_sequences, postprocess_generated_text
from numpy.typing import NDArray

from prunegrid.core.errors import PrunegridError
from prunegrid.core.progress import Progress
from prunegrid.evaluation.generation import generate
from prunegrid.evaluation.sampling import Sampling, Seed
from prunegrid.evaluation.shared_prefix import OptionBatch, OptionRow, RowLimit, ScoredString, option_rows
from prunegrid.models.architecture import headless_decoder
from prunegrid.models.probes import changes_logits_after_head, non_finite_logits
from prunegrid.scoring.batches import batches_by_length

PASS_LOGITS = {"cpu": 2**27, "cuda": 2**29}  # of a pass that computes all of its logits: 0.5 and 2 GiB in float32
CHUNK_LOGITS = {"cpu": 2**23, "cuda": 2**26}  # of scored tokens at a time


class LanguageModel(HFLM):
    """lm-eval's wrapper of a transformers model. A forward pass has at most `batch_tokens` padded tokens, or one row.

    In generation these are rows x (prompt + max_gen_toks); it stops row by row. If a model changes its
    logits after the head, passes over options compute all logits: at most `PASS_LOGITS`, or one row.
    `truncated` holds the requests that lost tokens to fit the context; `fallback` says why answers were not generated
    as planned.
    """

    def __init__(self, model: Any, tokenizer: Any, batch_tokens: int, share_prefixes: bool = False) -> None:
        # HFLM counts rows; its limit never binds, since every row has at least one token
        super().__init__(
            pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=batch_tokens, softmax_dtype="float32"
        )
        self.batch_tokens, self.share_prefixes = batch_tokens, share_prefixes
        self.truncated: set[Hashable] = set()
        self.fallback: str | None = None
        encode: Any = super().tok_encode
        self.tok_encode = functools.lru_cache(8)(encode)  # each option of a question encodes its prompt again
        head = model.get_output_embeddings()
        self.head = None if headless_decoder(model) is None or changes_logits_after_head(model) else head
        self.vocabulary = len(head.weight)
        all_logits_tokens = PASS_LOGITS[self.device.type] // self.vocabulary
        self.pass_tokens = batch_tokens if self.head else max(1, min(batch_tokens, all_logits_tokens))
        self.row_limit = RowLimit(model, min(self.pass_tokens, self.max_length))

    def nll_per_token(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """The NLL, in nats, of each request's whole string (`_whole_strings`) divided by *all* of its tokens.

        As OpenCompass' Hugging Face backend scores options (opencompass/models/huggingface.py, `_get_ppl`; the same in
        `get_ppl` of huggingface_above_v4_33.py): a text of n tokens has the divisor n + 1 with a BOS, n without.
        (OpenCompass leaves tokens with the padding's id out of sum and count; here they count: a text has none, unless
        padding doubles as BOS.)
        """
        return [nll / tokens for nll, tokens in self._whole_strings(requests)]

    def nll_per_prediction(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """The NLL, in nats, of each request's whole string divided by the tokens that have one: one fewer than all.

        As OpenCompass' vLLM backend scores options (opencompass/models/vllm.py, `get_ppl`): a text of n tokens has the
        divisor n with a BOS. Without one it is n - 1: none is added, so the text's first token is in neither.
        """
        return [nll / (tokens - 1) for nll, tokens in self._whole_strings(requests)]

    def _whole_strings(self, requests: list[Any]) -> list[tuple[float, int]]:
        """(NLL in nats of all tokens but the first; number of all) of each request's arguments, joined.

        The tokenizer's own special tokens are added. A string longer than the context is truncated on the left.
        """
        texts = [request.args for request in requests]
        ids = [self._truncate(self.tok_encode("".join(parts)), self.max_length, parts) for parts in texts]
        strings = [ScoredString(tokens, 1) for tokens in ids]
        questions = [(request.task_name, request.doc_id) for request in requests]
        nll_N, _ = self._score(strings, questions, texts)
        return [(float(nll), len(string.ids)) for nll, string in zip(nll_N, strings, strict=True)]

    def _loglikelihood_tokens(self, requests: list[Any], **_: Any) -> list[tuple[float, bool]]:
        """(log-probability of the continuation, in nats; whether greedy decoding gives it) of each request."""
        limit = self.max_length + 1  # as HFLM: the last token is not read
        strings = []
        for texts, context, continuation in requests:
            ids = self._truncate(context + continuation, limit, texts)
            strings.append(ScoredString(ids, len(ids) - len(continuation)))
        questions = [tuple(context) for _, context, _ in requests]
        nll_N, misses_N = self._score(strings, questions, [texts for texts, _, _ in requests])
        return [(-float(nll), not misses) for nll, misses in zip(nll_N, misses_N, strict=True)]

    def _truncate(self, ids: list[int], limit: int, texts: Hashable) -> list[int]:
        """The last `limit` tokens; a request that loses some is noted in `truncated`."""
        if len(ids) > limit:
            self.truncated.add(texts)
        return ids[-limit:]

    def is_truncated(self, prompt: str, rest: str | dict[str, Any]) -> bool:
        """Whether the request with these arguments lost tokens on the left since `truncated` was last cleared."""
        return (prompt, rest["max_gen_toks"] if isinstance(rest, dict) else rest) in self.truncated

    def _score(
        self, strings: list[ScoredString], questions: Sequence[Hashable], texts: Sequence[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """float64[N] each: the summed NLL of the strings' scored tokens, and how many were not the likeliest."""
        for string, text in zip(strings, texts, strict=True):
            if not 1 <= string.start < len(string.ids):
                raise unscorable(text, self.max_length)
        rows = self._rows(strings, questions)
        unshared = [row for row in rows if len(row.members) == 1]
        shared = [row for row in rows if len(row.members) > 1]
        progress = Progress(sum(row.length for row in rows), "options")
        sums_2N = np.zeros((2, len(strings)))
        for group in (unshared, shared):  # apart, since unshared rows need no mask
            for places in batches_by_length(np.array([row.length for row in group], np.int64), self.pass_tokens):
                batch = OptionBatch(strings, [group[place] for place in places])
                sums_2N += [batch.totals(values_P, len(strings)) for values_P in self._predictions(batch)]
                progress.add(sum(group[place].length for place in places))
        for place in (~np.isfinite(sums_2N[0])).nonzero()[0]:
            raise non_finite_logits(self.model, f"at {' '.join(''.join(texts[place]).split())[:60]!r}")
        return sums_2N[0], sums_2N[1]

    def _rows(self, strings: list[ScoredString], questions: Sequence[Hashable]) -> list[OptionRow]:
        """The rows; shared ones are no longer than the model was verified for."""
        rows = option_rows(strings, questions, self.row_limit.tokens)
        longest = max((row.length for row in rows if len(row.members) > 1), default=0)
        if self.row_limit.verify(longest) < longest:
            rows = option_rows(strings, questions, self.row_limit.tokens)
        return rows

    def _predictions(self, batch: OptionBatch) -> NDArray[np.float32]:
        """float32[2, P]: the NLL of the batch's distinct predictions, and 1 if another token is likelier."""
        first_P, _ = batch.distinct
        row_P, place_P, target_P = (
            torch.from_numpy(values_R[first_P]).to(self.device)
            for values_R in (batch.row_R, batch.place_R, batch.target_R)
        )
        with torch.inference_mode():
            inputs = batch.inputs(self.model.dtype, self.device)
            # logits of all tokens, or states: the head is then applied to scored tokens only, in chunks
            if self.head is None:
                outputs = self.model(**inputs, use_cache=False).logits
            else:
                outputs = self.model.get_decoder()(**inputs, use_cache=False).last_hidden_state
            size = max(1, CHUNK_LOGITS[self.device.type] // self.vocabulary)
            chunks = zip(row_P.split(size), place_P.split(size), target_P.split(size), strict=True)
            values = [_nll_and_miss(self._logits(outputs[row_C, place_C]), to_C) for row_C, place_C, to_C in chunks]
            return torch.cat(values, dim=1).cpu().numpy()

    def _logits(self, outputs: torch.Tensor) -> torch.Tensor:
        logits_CV: torch.Tensor = outputs if self.head is None else self.head(outputs)
        return logits_CV

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """The answers, in the requests' order. A request that samples has its `seed` among its settings."""
        Setting = tuple[int, tuple[str, ...], Sampling | None]
        places_by_setting: dict[Setting, list[int]] = defaultdict(list)
        for place, request in enumerate(requests):
            setting = request.args[1]
            sampling = Sampling.from_settings(setting)
            places_by_setting[int(setting["max_gen_toks"]), tuple(setting["until"]), sampling].append(place)
        answers = [""] * len(requests)
        for (max_new_tokens, stops, sampling), places in places_by_setting.items():
            prompts = [requests[place].args[0] for place in places]
            seeds = [requests[place].args[1]["seed"] for place in places] if sampling else []
            texts = self._answers(prompts, max_new_tokens, stops, sampling, seeds)
            for place, text in zip(places, texts, strict=True):
                answers[place] = text
        return answers

    def _answers(
        self,
        texts: list[str],
        max_new_tokens: int,
        stops: Sequence[str],
        sampling: Sampling | None,
        seeds: Sequence[Seed],
    ) -> list[str]:
        limit = self.max_length - max_new_tokens
        prompts = [self._truncate(self.tok_encode(text), limit, (text, max_new_tokens)) for text in texts]
        stops = handle_stop_sequences(list(stops), self.tokenizer.decode(self.eot_token_id))
        progress = Progress(sum(map(len, prompts)) + max_new_tokens * len(prompts), "answers")
        generated = generate(
            self.model,
            self.tokenizer,
            prompts,
            max_new_tokens=max_new_tokens,
            stops=stops,
            batch_tokens=self.batch_tokens,
            implementation="dynamic" if self.fallback else None,
            sampling=sampling,
            seeds=seeds,
            share_prefixes=self.share_prefixes,
            progress=progress.add,
        )
        if generated.fallback:
            self.fallback = generated.fallback
            print(self.fallback, flush=True)
        return [postprocess_generated_text(self.tok_decode(ids), stops, None) for ids in generated.tokens]


def unscorable(texts: Any, context: int) -> PrunegridError:
    """The error of a request without a token to score, or with more than the context holds."""
    problem = f"no token to score, or more than the model's context of {context}"
    return PrunegridError(f"option {texts!r}", problem, "correct the item")


def _nll_and_miss(logits_CV: torch.Tensor, target_C: torch.Tensor) -> torch.Tensor:
    """float32[2, C]: NLL, and 1 if another token is likelier."""
    z_CV = logits_CV.float()
    nll_C = z_CV.logsumexp(-1) - z_CV.gather(-1, target_C[:, None])[:, 0]
    return torch.stack([nll_C, (z_CV.argmax(-1) != target_C).float()])
