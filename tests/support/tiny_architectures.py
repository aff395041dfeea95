"""Tiny models of several architectures, with the tiny model's tokenizer."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from prunegrid.models import load_tokenizer

COMMON = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
}
MODELS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", "tie_word_embeddings": True},
    "mistral": {"model_type": "mistral", "sliding_window": 7},
    "qwen2": {
        "model_type": "qwen2",
        "use_sliding_window": True,
        "sliding_window": 9,
        "max_window_layers": 2,
        "tie_word_embeddings": False,
    },
    "qwen3": {"model_type": "qwen3", "head_dim": 16, "tie_word_embeddings": True},
}


def write_model(folder: Path, tiny_model: Path, seed: int = 0, **values: Any) -> Path:
    """Random weights of any architecture, with the tiny model's tokenizer."""
    from transformers import AutoConfig

    torch.manual_seed(seed)
    config = AutoConfig.for_model(**{**COMMON, **values, "bos_token_id": None, "eos_token_id": 0, "pad_token_id": 0})
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    load_tokenizer(tiny_model).save_pretrained(folder)
    return folder
