"""The vLLM engine behind lm-eval's interface: the same options and answers as `LanguageModel`.

Importing this module imports vLLM, which reads its settings from the environment: set those of `ENVIRONMENT`
(in `prunegrid.evaluation.evaluate`) first.
"""

import math
import shutil
from collections.abc import Hashable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from lm_eval.models.utils import resolve_max_length
from lm_eval.models.vllm_causallms import VLLM
from transformers import AutoConfig
from vllm.platforms import current_platform

from prunegrid.core.errors import PrunegridError, first_line
from prunegrid.evaluation.language_model import unscorable
from prunegrid.models import check_complete, load_tokenizer, merge_adapter
from prunegrid.models.probes import non_finite_logits
from prunegrid.models.remote_code import may_run_code

MAX_CONTEXT = 8192  # tokens: the cache must have room for one request of this length
GPU_MEMORY = 0.9  # of the card, shared by the jobs on it
BATCH_SIZE = 2**31 - 1  # all requests at once: vLLM makes its own batches


def load(model_dir: Path, adapter_dir: Path | None, work: Path, **settings: Any) -> "VllmModel":
    """The model in vLLM; an adapter is merged into a copy in `work`, which is removed after loading.

    vLLM's own adapters are not used: version 0.32 applied one to requests without it, and failed at scoring prompts.
    """
    if adapter_dir is None:
        return VllmModel(model_dir, name=model_dir, base=model_dir, **settings)
    merged = work / "merged"
    shutil.rmtree(merged, ignore_errors=True)  # left by a run that was killed
    try:
        merge_adapter(model_dir, adapter_dir, merged, settings["dtype"])
        return VllmModel(merged, name=adapter_dir, base=model_dir, **settings)
    finally:
        shutil.rmtree(merged, ignore_errors=True)


class VllmModel(VLLM):
    """lm-eval's wrapper of vLLM, with the attributes that `harness.run` needs.

    `truncated` holds the requests that lost tokens to fit the context. Requests that score prompts are truncated two
    tokens earlier than in `LanguageModel`: vLLM reads the last token, and generates one more.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: Path,
        base: Path,
        dtype: str,
        device: str,
        batch_tokens: int,
        seed: int,
        jobs_per_gpu: int = 1,
    ) -> None:
        check_complete(folder)
        if current_platform.device_type != device:
            problem = f"is {device}, but the installed vllm is built for {current_platform.device_type}"
            fix = "install the build for this device, or set evaluation.engine: transformers"
            raise PrunegridError("device", problem, fix)
        self.source = SimpleNamespace(name_or_path=str(name), dtype=getattr(torch, dtype))
        self.truncated: set[Hashable] = set()
        self.fallback: str | None = None
        config = AutoConfig.from_pretrained(base, trust_remote_code=may_run_code(base))
        # The model's context as the transformers engine reads it.
        context = min(MAX_CONTEXT, resolve_max_length(config, load_tokenizer(base), default=2048))
        try:
            super().__init__(
                pretrained=str(folder),
                dtype=dtype,
                seed=seed,
                trust_remote_code=may_run_code(base),
                batch_size=BATCH_SIZE,
                max_model_len=context,
                max_num_batched_tokens=max(batch_tokens, context),
                gpu_memory_utilization=round(GPU_MEMORY / jobs_per_gpu, 3),
                enable_prefix_caching=False,  # a request's numbers do not depend on those before it
                enforce_eager=device == "cpu",
            )
        except (ValueError, RuntimeError, AssertionError) as error:  # assertions: a neighbour freed memory meanwhile
            problem = f"vLLM cannot load it ({first_line(error)})"
            raise PrunegridError(name, problem, "set evaluation.engine: transformers") from error

    def is_truncated(self, prompt: str, rest: str | dict[str, Any]) -> bool:
        """Whether the request with these arguments lost tokens on the left since `truncated` was last cleared."""
        return (prompt, rest["max_gen_toks"] if isinstance(rest, dict) else rest) in self.truncated

    def nll_per_token(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """As `LanguageModel.nll_per_token`: the sum over all tokens but the first, divided by all of them."""
        return [nll / tokens for nll, tokens in self._whole_strings(requests)]

    def nll_per_prediction(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """As `LanguageModel.nll_per_prediction`: the same sum, divided by one fewer."""
        return [nll / (tokens - 1) for nll, tokens in self._whole_strings(requests)]

    def _whole_strings(self, requests: list[Any]) -> list[tuple[float, int]]:
        """(NLL in nats of all tokens but the first; number of all) of each request's arguments, joined."""
        texts = [request.args for request in requests]
        strings = [self._truncate(self.tok_encode("".join(parts)), self.max_length - 1, parts) for parts in texts]
        parts = [(request.args, ids[:1], ids[1:]) for ids, request in zip(strings, requests, strict=True)]
        sums = self._loglikelihood_tokens(parts, disable_tqdm=True)
        return [(-value, len(ids)) for (value, _), ids in zip(sums, strings, strict=True)]

    def _loglikelihood_tokens(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        limit = self.max_length - 1
        for texts, context, continuation in requests:
            self._truncate(context + continuation, limit, texts)
            if not context or not 1 <= len(continuation) < limit:
                raise unscorable(texts, self.max_length)
        values: list[tuple[float, bool]] = super()._loglikelihood_tokens(requests, disable_tqdm=True)
        for (value, _), (texts, *_) in zip(values, requests, strict=True):
            if not math.isfinite(value):
                raise non_finite_logits(self.source, f"at {' '.join(''.join(texts).split())[:60]!r}")
        return values

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """The answers, in the requests' order."""
        for request in requests:
            prompt, max_new_tokens = request.args[0], int(request.args[1]["max_gen_toks"])
            self._truncate(self.tok_encode(prompt), self.max_length - max_new_tokens, (prompt, max_new_tokens))
        answers: list[str] = super().generate_until(requests, disable_tqdm=True)
        return answers

    def _truncate(self, ids: list[int], limit: int, texts: Hashable) -> list[int]:
        """The last `limit` tokens; a request that loses some is noted in `truncated`."""
        if len(ids) > limit:
            self.truncated.add(texts)
        return ids[-limit:]

    @staticmethod
    def modify_gen_kwargs(*arguments: Any, **settings: Any) -> Any:
        """Request the generated tokens' log-probabilities, too: they show logits that are not finite.

        vLLM seeds a request with one number; it is made from the three of a sample's.
        """
        kwargs, stops, max_new_tokens = VLLM.modify_gen_kwargs(*arguments, **settings)
        if "seed" in kwargs:
            kwargs = kwargs | {"seed": int(np.random.SeedSequence(kwargs["seed"]).generate_state(1)[0])}
        return kwargs | {"logprobs": 0}, stops, max_new_tokens

    def _model_generate(self, requests: list[list[int]], generate: bool = False, sampling_params: Any = None) -> Any:
        """vLLM's outputs; generated texts have no special tokens, as in `LanguageModel`."""
        outputs = super()._model_generate(requests, generate, sampling_params)
        for ids, output in zip(requests, outputs, strict=True):
            answer = output.outputs[0]
            if not generate:
                continue
            if not math.isfinite(answer.cumulative_logprob):
                prompt = " ".join(self.tokenizer.decode(ids, skip_special_tokens=True).split())
                raise non_finite_logits(self.source, f"in the answer to {prompt[:60]!r}")
            answer.text = self.tokenizer.decode(answer.token_ids, skip_special_tokens=True)
        return outputs
