"""A model whose logits are not finite is refused by name, wherever that shows; nothing is chosen among NaN."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from lm_eval.api.instance import Instance  # noqa: E402

from prunegrid.evaluation import harness  # noqa: E402
from prunegrid.evaluation.language_model import LanguageModel  # noqa: E402
from prunegrid.models.head import Head  # noqa: E402
from support.errors import refused  # noqa: E402
from support.tiny_models import options, tiny, tokenizer  # noqa: E402

SETTING = {"until": ["&"], "do_sample": False, "max_gen_toks": 9}


def wrapped(kind: str, text: str) -> LanguageModel:
    """A model that breaks down where it reads the text, of one token."""
    model, words = tiny(kind), tokenizer(False)
    [broken] = words.encode(text)
    model.get_input_embeddings().register_forward_hook(
        lambda _, ids, states: states.masked_fill((ids[0] == broken)[..., None], torch.nan)
    )
    return LanguageModel(model, words, 8192)


def test_a_diverged_model_is_named(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = tiny("llama")
    with torch.no_grad():
        model.lm_head.weight[:] = torch.nan
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    for use in (Head, lambda model: LanguageModel(model, tokenizer(False), 8192)):
        with refused(tmp_path, "logits", "diverged", fix="lower learning rate"):
            use(loaded)


@pytest.mark.parametrize("kind", ["llama", "gemma2", "llama4"])
def test_no_option_is_chosen_among_nan(kind: str) -> None:
    lm = wrapped(kind, "&")
    lm.loglikelihood(options(), disable_tqdm=True)
    broken = options([("Question: What do\ncats drink?", [" milk", " red"]), ("Is it & or so?", [" yes", " no"])])
    with refused(lm.model.config.model_type, "at 'Is it & or so? yes'"):
        lm.loglikelihood(broken, disable_tqdm=True)
    with refused(lm.model.config.model_type, "at 'Is it & or so? yes'"):
        lm.nll_per_token(broken)


@pytest.mark.parametrize("kind", ["llama", "bloom"])
def test_no_token_is_chosen_among_nan(kind: str) -> None:
    """By the loop that drops rows, and by transformers' own."""
    lm = wrapped(kind, "&")
    prompts = ["Cats drink", "Is it & or so?", "2 + 3"]
    requests = [Instance("generate_until", {}, (prompt, dict(SETTING)), 0) for prompt in prompts]
    with refused(kind, "in the answer to 'Is it & or so?'"):
        lm.generate_until(requests)


def test_the_benchmark_is_named() -> None:
    task: dict[str, Any] = {
        "output_type": "generate_until",
        "test_split": "test",
        "num_fewshot": 0,
        "doc_to_text": "{{q}}",
        "doc_to_target": "{{a}}",
        "generation_kwargs": SETTING,
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1},
    }
    with refused("ours: llama", "not finite"):
        harness.run(wrapped("llama", "&"), "ours", task, [{"q": "Is it & or so?", "a": "5"}], seed=0)


def test_scoring_needs_a_decoder_apart_from_the_head() -> None:
    with refused("llama4_text", "get_decoder()"):
        Head(tiny("llama4"))
