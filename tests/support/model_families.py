"""Tiny models of many architectures, and what docs/reference/model-families.md says of each.

`PYTHONPATH=src:tests python -m support.model_families` prints the page's table as it is measured here.
"""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from prunegrid.core.errors import PrunegridError
from prunegrid.evaluation.shared_prefix import RowLimit
from prunegrid.models.architecture import TrainingAttention, check_positions, headless_decoder
from prunegrid.models.head import Head
from prunegrid.models.meta_model import meta_model, training_attention
from prunegrid.models.probes import attention_scores_unavailable, check_reads_positions

PAGE = Path(__file__).parents[2] / "docs/reference/model-families.md"
COMMON = {"vocab_size": 97, "bos_token_id": 1, "eos_token_id": 0, "pad_token_id": 0}
LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32}
SIZES = {**LAYERS, "intermediate_size": 48, "max_position_embeddings": 128}
GROUPED = {**SIZES, "num_key_value_heads": 2}
HEADS = {**GROUPED, "head_dim": 8}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
EXPERTS = {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 16}
LOCAL_EXPERTS = {"num_local_experts": 2, "num_experts_per_tok": 1}
LINEAR = {f"linear_{name}": 2 for name in ("num_key_heads", "num_value_heads")}
LINEAR |= {f"linear_{name}_head_dim": 8 for name in ("key", "value")}
LATENT = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "v_head_dim": 8, "qk_nope_head_dim": 8}
MAMBA = {"mamba_d_state": 4, "mamba_n_heads": 4, "mamba_n_groups": 1}
FAMILIES: dict[str, dict[str, Any]] = {
    "bamba": {**GROUPED, **MAMBA, "mamba_d_head": 16, "attn_layer_indices": [1]},
    "biogpt": SIZES,
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "codegen": {**GPT, "rotary_dim": 4},
    "cohere": GROUPED,
    "cohere2": GROUPED,
    "deepseek_v3": {
        **SIZES,
        **LATENT,
        "num_key_value_heads": 4,
        "moe_intermediate_size": 16,
        "n_routed_experts": 4,
        "n_group": 1,
        "topk_group": 1,
        "num_experts_per_tok": 2,
        "first_k_dense_replace": 1,
    },
    "exaone4": GROUPED,
    "falcon": {**LAYERS, "alibi": False},
    "falcon (ALiBi)": {**LAYERS, "alibi": True},
    "falcon_h1": {**GROUPED, **MAMBA, "mamba_d_ssm": 32, "mamba_d_head": 8},
    "gemma": HEADS,
    "gemma2": HEADS,
    "gemma3_text": HEADS,
    "glm4": HEADS,
    "gpt2": GPT,
    "gpt_bigcode": GPT,
    "gpt_neo": {
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 40,
        "max_position_embeddings": 128,
    },
    "gpt_neox": SIZES,
    "gpt_oss": {**HEADS, **LOCAL_EXPERTS},
    "gptj": {**GPT, "rotary_dim": 4},
    "granite": GROUPED,
    "jamba": {
        **GROUPED,
        "num_experts": 2,
        "num_experts_per_tok": 1,
        "use_mamba_kernels": False,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "mamba_d_state": 4,
        "mamba_dt_rank": 4,
    },
    "lfm2": {**GROUPED, "layer_types": ["conv", "full_attention"]},
    "llama": GROUPED,
    "llama4_text": {**HEADS, "intermediate_size_mlp": 48, "num_local_experts": 2},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
    "mistral": GROUPED,
    "mixtral": {**GROUPED, **LOCAL_EXPERTS},
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 128, "expansion_ratio": 2},
    "nemotron": GROUPED,
    "olmo2": GROUPED,
    "opt": {**LAYERS, "ffn_dim": 48, "max_position_embeddings": 128, "word_embed_proj_dim": 32},
    "phi": GROUPED,
    "phi3": GROUPED,
    "qwen2": GROUPED,
    "qwen3": HEADS,
    "qwen3_moe": {**HEADS, **EXPERTS},
    "qwen3_next": {
        **HEADS,
        **EXPERTS,
        **LINEAR,
        "shared_expert_intermediate_size": 16,
        "layer_types": ["linear_attention", "full_attention"],
    },
    "recurrent_gemma": {
        **HEADS,
        "lru_width": 32,
        "attention_window_size": 40,
        "block_types": ["recurrent", "attention"],
    },
    "rwkv": {"hidden_size": 32, "num_hidden_layers": 2, "context_length": 128},
    "smollm3": GROUPED,
    "stablelm": GROUPED,
    "starcoder2": GROUPED,
    "xglm": {"d_model": 32, "ffn_dim": 48, "num_layers": 2, "attention_heads": 4, "max_position_embeddings": 128},
    "xlnet": {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48},
}


class Row(NamedTuple):
    """One line of the page's table."""

    family: str
    model_class: str
    scoring: str
    attention_scores: str
    packed: str
    padded: str
    drop: str
    shared_rows: str

    def __str__(self) -> str:
        return f"| {' | '.join(self)} |"


def write_config(family: str, folder: Path) -> Path:
    """Only the config.json."""
    config(family).save_pretrained(folder)
    return folder


def config(family: str) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(family.split()[0], **{**COMMON, **FAMILIES[family]})


def build(family: str, attention: str | None = None) -> Any:
    """Random float32 weights, large enough that what a token sees shows in its states."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    options = {} if attention is None else {"attn_implementation": attention}
    model = AutoModelForCausalLM.from_config(config(family), **options).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.15)
    return model


def rows_of_the_page() -> dict[str, Row]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    rows = [Row(*(cell.strip() for cell in line.strip("|").split("|"))) for line in lines]
    return {row.family.strip("`"): row for row in rows}


@cache
def padded(family: str) -> Any:
    """The model as it is trained without packing."""
    return build(family, measured_attention(family, packing=False).implementation)


@cache
def measured_attention(family: str, packing: bool) -> TrainingAttention:
    with tempfile.TemporaryDirectory() as folder:
        return training_attention(write_config(family, Path(folder)), packing)


def reads_positions(family: str) -> bool:
    """Whether `removal: drop` is accepted, by the modules and by the weights."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            check_positions(meta_model(write_config(family, Path(folder))))
        check_reads_positions(padded(family))
    except PrunegridError:
        return False
    return True


def scored(model: Any) -> str:
    try:
        Head(model)
    except PrunegridError as error:
        message = str(error)
    else:
        return "yes"
    reasons = {"changes its logits": "no: logits", "see later": "no: not causal", "with its head": "no: head"}
    return next(short for words, short in reasons.items() if words in message)


def measured(family: str) -> Row:
    """The family's line as it comes out here."""
    model = build(family)
    scoring = scored(model)
    trained = scoring == "yes"
    flags = {
        "attention_scores": trained and attention_scores_unavailable(model) is None,
        "packed": trained and measured_attention(family, packing=True).packed,
        "drop": trained and reads_positions(family),
        "shared_rows": headless_decoder(model) is not None and RowLimit(model, 128).verify(64),
    }
    return Row(
        family=f"`{family}`",
        model_class=f"`{type(model).__name__}`",
        scoring=scoring,
        padded=measured_attention(family, packing=False).implementation if trained else "no",
        **{name: "yes" if flag else "no" for name, flag in flags.items()},
    )


if __name__ == "__main__":
    for name in FAMILIES:
        print(measured(name))
