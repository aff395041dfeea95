"""vLLM's answers a second on the prompts of generation.py, where it is installed."""

import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from gpu import limits
from gpu.generation import Prompts
from gpu.measure import Section, rounded
from gpu.random_model import tokenizer, write_folder


def run(section: Section) -> None:
    if not find_spec("vllm"):
        section.put("vllm", "vLLM is not installed")
        return
    from vllm import LLM, SamplingParams

    prompts = Prompts(section, tokenizer(section.shape.vocabulary))
    limit = limits.decoding(section.shape, prompts.count, prompts.context, section.card)
    section.put("limit", rounded({"tokens_s": limit.ideal, "step_ms": 1e3 * limit.step}))
    with tempfile.TemporaryDirectory() as work:
        folder = write_folder(section.shape, Path(work, "model"))
        started = time.perf_counter()
        engine = LLM(str(folder), load_format="dummy", dtype="bfloat16", max_model_len=4096)
        section.put("start_s", round(time.perf_counter() - started, 1))
        settings = SamplingParams(temperature=0, max_tokens=prompts.new, ignore_eos=True)
        asked = [{"prompt_token_ids": ids} for ids in prompts.ids]
        for _ in range(2):
            started = time.perf_counter()
            answers = engine.generate(asked, settings, use_tqdm=False)
            taken = time.perf_counter() - started
        tokens = sum(len(answer.outputs[0].token_ids) for answer in answers)
        section.put("vllm", rounded({"tokens_s": tokens / taken, "answers_s": prompts.count / taken}))
