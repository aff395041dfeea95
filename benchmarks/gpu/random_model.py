"""Models of random weights, made on the device, and samples of real lengths: speed and memory ask for no more."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu import limits, package
from gpu.measure import Section

MAX_LENGTH = 2048
LENGTHS = Path(__file__).with_name("lengths.json")  # prompt and response tokens of 1,000 WizardLM samples
WORDS = 32_000  # ids are drawn below this, whatever the vocabulary
LOGITS = 3.0  # standard deviation of a trained model's logits, about


def build(section: Section, attention: str = "sdpa", dtype: torch.dtype = torch.bfloat16) -> Any:
    """A Llama in evaluation mode."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    with torch.device(section.device):
        model = AutoModelForCausalLM.from_config(config(section.shape), dtype=dtype, attn_implementation=attention)
    return model.eval()


def build_peaked(section: Section, attention: str = "sdpa", dtype: torch.dtype = torch.bfloat16) -> Any:
    """With a head of its own whose logits spread as a trained model's do: of flat ones any score is noise."""
    model = build(section, attention, dtype)
    head = model.get_output_embeddings()
    spread = LOGITS / section.shape.hidden**0.5
    head.weight = torch.nn.Parameter(torch.randn_like(head.weight) * spread, requires_grad=False)
    model.config.tie_word_embeddings = False
    return model


def config(s: limits.Shape) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        hidden_size=s.hidden,
        intermediate_size=s.inner,
        num_hidden_layers=s.layers,
        num_attention_heads=s.heads,
        num_key_value_heads=s.kv_heads,
        vocab_size=s.vocabulary,
        max_position_embeddings=4096,
        tie_word_embeddings=s.tied,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
        architectures=["LlamaForCausalLM"],
    )


def tokenizer(vocabulary: int) -> Any:
    """Words w1, w2, ...: decoding costs what it costs with a real vocabulary of that size."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<eos>": 0} | {f"w{i}": i for i in range(1, vocabulary)}
    made = Tokenizer(models.WordLevel(words, unk_token="<eos>"))
    made.pre_tokenizer, made.decoder = pre_tokenizers.WhitespaceSplit(), decoders.WordPiece(prefix="##")
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<eos>", pad_token="<eos>", unk_token="<eos>")
    fast.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    return fast


def write_folder(shape: limits.Shape, folder: Path) -> Path:
    """Configuration and tokenizer, without weights."""
    tokenizer(shape.vocabulary).save_pretrained(folder)
    config(shape).save_pretrained(folder)
    return folder


def lengths(section: Section, count: int) -> np.ndarray:
    """int64[count, 2]: prompt and response tokens, evenly chosen; at toy size a sixteenth."""
    both = np.array(json.loads(LENGTHS.read_text()), dtype=np.int64)
    both = both[np.linspace(0, len(both) - 1, count).astype(int)] if count <= len(both) else np.resize(both, (count, 2))
    return np.maximum(1, both // 16) if section.toy else both


def rows(section: Section, count: int) -> Any:
    """Samples as the package holds them."""
    both = lengths(section, count)
    return package.rows(both[:, 0], both[:, 1], token_ids(section, int(both.sum())))


def token_ids(section: Section, count: int, seed: int = 0) -> np.ndarray:
    words = min(section.shape.vocabulary, WORDS)
    return np.random.default_rng(seed).integers(10, words, count).astype(np.int32)


def mean_context(length_N: np.ndarray) -> float:
    """Positions that a token attends to, on average."""
    return float((length_N.astype(float) ** 2).sum() / (2 * length_N.sum()))
