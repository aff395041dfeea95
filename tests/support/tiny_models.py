"""Models of many kinds with two tiny layers, their tokenizer, and questions: what tests of lm-eval's wrapper share."""

from typing import Any

import torch
from lm_eval.api.instance import Instance

LONG = "Cats drink milk, and fish live in water. " * 40
QUESTIONS = [
    ("Question: What do cats drink?\nAnswer:", [" milk", " milk, and fish", " m", " red sand", " milk"]),
    ("Question: 2 + 3 =", [" 5", " 6", "5"]),
    ("", ["Cats drink", "Fish", "2 + 3 = 5"]),
    ("x", [" live in water", " drink", ","]),
    ("Question: Where do the fish live?\nAnswer: in ", ["water", "iron"]),
    (LONG, [" milk", " fish live in water"]),
    (
        "Fish live in sand, and the red cat drinks. " * 4,
        [" milk and fish", " in water and milk", " sand, and", "."],
    ),
]
LONG_ROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * 4,
    "long_factor": [2.0, 3.0, 4.0, 5.0],
    "original_max_position_embeddings": 64,
    "factor": 4.0,
}
KINDS = ["llama", "mistral", "gemma2", "gpt2", "bloom", "gpt_neo", "llama4"]


def tokenizer(bos: bool) -> Any:
    """Byte-level BPE; with `bos` it puts one before every text, as Llama 2 and Mistral do."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    from support.tiny_llama import TEXT

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<eos>", "<bos>"]
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet)
    bpe.train_from_iterator(TEXT, trainer)
    if bos:
        bpe.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    names = {"eos_token": "<eos>", "pad_token": "<eos>", **({"bos_token": "<bos>"} if bos else {})}
    return PreTrainedTokenizerFast(tokenizer_object=bpe, **names)


def tiny(kind: str) -> Any:
    """Two layers of random weights, context 256.

    Mistral, Gemma 2 and GPT-Neo (in its second layer, by places in the row) see 40 tokens back, Llama 4 chunks of 40;
    Llama 4's `get_decoder()` is the model itself; Phi-3 computes its cache anew at 64 tokens.
    """
    import transformers

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    common = {"vocab_size": 300, "initializer_range": 0.3, "eos_token_id": 0, "bos_token_id": 1, "pad_token_id": 0}
    grouped = {**sizes, "num_key_value_heads": 2, "max_position_embeddings": 256, "head_dim": 8}
    configs: dict[str, Any] = {
        "llama": lambda: transformers.LlamaConfig(**common, **grouped),
        "mistral": lambda: transformers.MistralConfig(**common, **grouped, sliding_window=40),
        "gemma2": lambda: transformers.Gemma2Config(
            **common, **grouped, sliding_window=40, final_logit_softcapping=2.0, query_pre_attn_scalar=8
        ),
        "gpt2": lambda: transformers.GPT2Config(**common, n_embd=32, n_layer=2, n_head=4, n_positions=256),
        "gpt_neo": lambda: transformers.GPTNeoConfig(
            **common,
            hidden_size=32,
            num_layers=2,
            num_heads=4,
            attention_types=[[["global", "local"], 1]],
            window_size=40,
            max_position_embeddings=256,
        ),
        "llama4": lambda: transformers.Llama4TextConfig(
            **common,
            **grouped,
            intermediate_size_mlp=64,
            attention_chunk_size=40,
            num_local_experts=2,
            layer_types=["chunked_attention", "full_attention"],
        ),
        "phi3": lambda: transformers.Phi3Config(
            **common,
            **sizes,
            num_key_value_heads=2,
            max_position_embeddings=256,
            original_max_position_embeddings=64,
            rope_parameters=LONG_ROPE,
        ),
        "bloom": lambda: transformers.BloomConfig(**common, hidden_size=32, n_layer=2, n_head=4, seq_length=256),
    }
    return transformers.AutoModelForCausalLM.from_config(configs[kind]()).eval()


def options(questions: list[tuple[str, list[str]]] = QUESTIONS, kind: str = "loglikelihood") -> list[Instance]:
    return [
        Instance(kind, {}, (prompt, option), place, ("task", doc_id, 1))
        for doc_id, (prompt, texts) in enumerate(questions)
        for place, option in enumerate(texts)
    ]


def forward_nll(model: Any, ids: list[int], start: int) -> tuple[float, bool]:
    """NLL of ids[start:] in nats, summed in float64, and whether each is the likeliest: one forward."""
    with torch.no_grad():
        logp_TV = model(torch.tensor([ids])).logits[0, :-1].double().log_softmax(-1)[start - 1 :]
    targets = torch.tensor(ids[start:])
    return -float(logp_TV.gather(1, targets[:, None]).sum()), bool((logp_TV.argmax(-1) == targets).all())
