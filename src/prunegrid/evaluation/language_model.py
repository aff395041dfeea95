"""The model as lm-eval asks it: options scored in shared rows, answers generated, both under a budget of tokens.

    lm = LanguageModel(model, tokenizer, batch_tokens=8192)
    lm.loglikelihood(requests); lm.nll_per_token(requests); lm.generate_until(requests)

Tokens, truncation and answers are those of lm-eval's own `HFLM`; batches and the forward pass are not.
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
from prunegrid.evaluation.shared_prefix import OptionBatch, OptionRow, RowLimit, ScoredString, option_rows
from prunegrid.models.architecture import headless_decoder
from prunegrid.models.probes import changes_logits_after_head, non_finite_logits
from prunegrid.scoring.batches import batches_by_length

LOGITS = {"cpu": 2**27, "cuda": 2**29}  # of a pass that computes all of its logits: 0.5 and 2 GiB in float32
ELEMENTS = {"cpu": 2**23, "cuda": 2**26}  # logits of scored tokens at a time


class LanguageModel(HFLM):
    """lm-eval's wrapper. A forward pass has at most `batch_tokens` padded tokens, or one row.

    Where a model changes its logits after the head, options' passes compute all of them: `LOGITS`, or one row.
    For generation those are rows x (prompt + max_gen_toks). Generation is greedy and stops row by row.
    `is_truncated` tells which requests lost tokens to fit the model's context, `fallback` why answers were not
    generated as planned.
    """

    def __init__(self, model: Any, tokenizer: Any, batch_tokens: int) -> None:
        # HFLM counts rows; its limit never binds, since every row has a token at least
        super().__init__(
            pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=batch_tokens, softmax_dtype="float32"
        )
        self.batch_tokens = batch_tokens
        self.truncated: set[Hashable] = set()
        self.fallback: str | None = None
        encode: Any = super().tok_encode
        self.tok_encode = functools.lru_cache(8)(encode)  # a question's options ask for its prompt again
        head = model.get_output_embeddings()
        self.head = None if headless_decoder(model) is None or changes_logits_after_head(model) else head
        self.vocabulary = len(head.weight)
        most = LOGITS[self.device.type] // self.vocabulary
        self.pass_tokens = batch_tokens if self.head else max(1, min(batch_tokens, most))
        self.row_limit = RowLimit(model, min(self.pass_tokens, self.max_length))

    def nll_per_token(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """The mean NLL, in nats, of each request's whole string (its arguments joined).

        As OpenCompass scores options (opencompass/models/huggingface.py, `_get_ppl`; the same in `get_ppl` of
        huggingface_above_v4_33.py): the sum over all tokens but the first, divided by *all* tokens, first and
        special ones included. The tokenizer's own special tokens are added. So with a BOS every token of the
        text is predicted, and n + 1 divides; without one the first token is not predicted, and n divides.
        A string longer than the context is cut on the left. (OpenCompass leaves tokens with the padding's id out
        of sum and count; here they count: a text holds none, unless padding doubles as BOS.)
        """
        texts = [request.args for request in requests]
        wholes = [self.tok_encode("".join(parts)) for parts in texts]
        strings = [
            ScoredString(self._kept(ids, self.max_length, parts), 1) for ids, parts in zip(wholes, texts, strict=True)
        ]
        questions = [(request.task_name, request.doc_id) for request in requests]
        nll_N, _ = self._score(strings, questions, texts)
        return [float(nll) / len(string.ids) for nll, string in zip(nll_N, strings, strict=True)]

    def _loglikelihood_tokens(self, requests: list[Any], **_: Any) -> list[tuple[float, bool]]:
        """(log-probability of the continuation, in nats; whether greedy decoding would give it) of each request."""
        room = self.max_length + 1  # as HFLM: the last token is not read
        kept = [self._kept(context + rest, room, texts) for texts, context, rest in requests]
        strings = [ScoredString(ids, len(ids) - len(rest)) for ids, (_, _, rest) in zip(kept, requests, strict=True)]
        questions = [tuple(context) for _, context, _ in requests]
        nll_N, missed_N = self._score(strings, questions, [texts for texts, _, _ in requests])
        return [(-float(nll), not missed) for nll, missed in zip(nll_N, missed_N, strict=True)]

    def _kept(self, ids: list[int], room: int, texts: Hashable) -> list[int]:
        """The last `room` tokens."""
        if len(ids) > room:
            self.truncated.add(texts)
        return ids[-room:]

    def is_truncated(self, prompt: str, rest: str | dict[str, Any]) -> bool:
        """Whether the request of these arguments lost tokens on the left, since `truncated` was last cleared."""
        return (prompt, rest["max_gen_toks"] if isinstance(rest, dict) else rest) in self.truncated

    def _score(
        self, strings: list[ScoredString], questions: Sequence[Hashable], texts: Sequence[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """float64[N] each: the summed NLL of the strings' scored tokens, and how many were not the likeliest."""
        for string, text in zip(strings, texts, strict=True):
            if not 1 <= string.start < len(string.ids):
                raise PrunegridError(f"{text!r}: nothing to score, or more than the model's context {self.max_length}")
        rows = self._rows(strings, questions)
        alone = [row for row in rows if len(row.members) == 1]
        shared = [row for row in rows if len(row.members) > 1]
        progress = Progress(sum(row.length for row in rows), "options")
        sums_2N = np.zeros((2, len(strings)))
        for kind in (alone, shared):
            for chosen in batches_by_length(np.array([row.length for row in kind], np.int64), self.pass_tokens):
                batch = OptionBatch(strings, [kind[place] for place in chosen])
                sums_2N += [batch.totals(values_U, len(strings)) for values_U in self._judge(batch)]
                progress.add(sum(kind[place].length for place in chosen))
        for place in (~np.isfinite(sums_2N[0])).nonzero()[0]:
            raise non_finite_logits(self.model, f"at {' '.join(''.join(texts[place]).split())[:60]!r}")
        return sums_2N[0], sums_2N[1]

    def _rows(self, strings: list[ScoredString], questions: Sequence[Hashable]) -> list[OptionRow]:
        """Rows of which those that are shared are no longer than was tried."""
        rows = option_rows(strings, questions, self.row_limit.tokens)
        wanted = max((row.length for row in rows if len(row.members) > 1), default=0)
        if self.row_limit.reach(wanted) < wanted:
            rows = option_rows(strings, questions, self.row_limit.tokens)
        return rows

    def _judge(self, batch: OptionBatch) -> NDArray[np.float32]:
        """float32[2, U]: of the batch's distinct tokens the NLL, and 1 where another token is likelier."""
        first_U, _ = batch.distinct
        row_U, place_U, target_U = (
            torch.from_numpy(values_S[first_U]).to(self.device)
            for values_S in (batch.row_S, batch.place_S, batch.target_S)
        )
        with torch.inference_mode():
            inputs = batch.inputs(self.model.dtype, self.device)
            if self.head is None:
                found_BTX = self.model(**inputs, use_cache=False).logits
            else:
                found_BTX = self.model.get_decoder()(**inputs, use_cache=False).last_hidden_state
            size = max(1, ELEMENTS[self.device.type] // self.vocabulary)
            parts = zip(row_U.split(size), place_U.split(size), target_U.split(size), strict=True)
            judged = [_judged(self._logits(found_BTX[row_C, place_C]), target_C) for row_C, place_C, target_C in parts]
            return torch.cat(judged, dim=1).cpu().numpy()

    def _logits(self, found_CX: torch.Tensor) -> torch.Tensor:
        logits_CV: torch.Tensor = found_CX if self.head is None else self.head(found_CX)
        return logits_CV

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """The answers, in the requests' order."""
        places_by_setting: dict[tuple[int, tuple[str, ...]], list[int]] = defaultdict(list)
        for place, request in enumerate(requests):
            setting = request.args[1]
            places_by_setting[int(setting["max_gen_toks"]), tuple(setting["until"])].append(place)
        answers = [""] * len(requests)
        for (most, until), places in places_by_setting.items():
            texts = self._answers([requests[place].args[0] for place in places], most, until)
            for place, text in zip(places, texts, strict=True):
                answers[place] = text
        return answers

    def _answers(self, texts: list[str], most: int, until: Sequence[str]) -> list[str]:
        prompts = [self._kept(self.tok_encode(text), self.max_length - most, (text, most)) for text in texts]
        stops = handle_stop_sequences(list(until), self.tokenizer.decode(self.eot_token_id))
        progress = Progress(sum(map(len, prompts)) + most * len(prompts), "answers")
        generated = generate(
            self.model,
            self.tokenizer,
            prompts,
            max_new_tokens=most,
            stops=stops,
            batch_tokens=self.batch_tokens,
            implementation="dynamic" if self.fallback else None,
            progress=progress.add,
        )
        if generated.fallback:
            self.fallback = generated.fallback
            print(self.fallback, flush=True)
        return [postprocess_generated_text(self.tok_decode(ids), stops, None) for ids in generated.tokens]


def _judged(logits_UV: torch.Tensor, target_U: torch.Tensor) -> torch.Tensor:
    """float32[2, U]: NLL, and 1 where another token is likelier."""
    z_UV = logits_UV.float()
    nll_U = z_UV.logsumexp(-1) - z_UV.gather(-1, target_U[:, None])[:, 0]
    return torch.stack([nll_U, (z_UV.argmax(-1) != target_U).float()])
