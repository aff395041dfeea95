"""Items of every benchmark and a toy model to ask them: what tests of evaluation share."""

import json
from pathlib import Path
from typing import Any

from prunegrid.experiment.dataset import DataRef
from prunegrid.experiment.evaluation import Benchmark

TASKS = ["arc_challenge", "arc_easy", "gsm8k", "squadv2", "triviaqa"]
ARC = [
    ("What do cats drink?", ["milk", "red sand", "iron"], "ABC", "A"),
    ("Which is a metal?", ["wood", "iron", "milk", "sand", "a cat"], "12345", "2"),
    ("Where do fish live?", ["in sand", "in water", "in iron", "in a house"], "ABCD", "B"),
    ("What is red?", ["water", "milk", "sand", "iron when it rusts"], "1234", "4"),
]
ITEMS: dict[str, list[dict[str, Any]]] = {
    "arc_easy": [
        {"id": str(i), "question": q, "choices": {"text": texts, "label": list(labels)}, "answerKey": key}
        for i, (q, texts, labels, key) in enumerate(ARC)
    ],
    "gsm8k": [
        {"question": f"A cat eats {n} fish. How many fish do 2 cats eat?", "answer": f"2*{n}\n#### {2 * n:,}"}
        for n in (2, 3, 600)
    ],
    "squadv2": [
        {
            "id": str(i),
            "title": "Cats",
            "context": "Cats drink milk. Fish live in water.",
            "question": f"What do {who}?",
            "answers": {"text": answers, "answer_start": [0] * len(answers)},
        }
        for i, (who, answers) in enumerate(
            [("cats drink", ["milk", "the milk"]), ("irons eat", []), ("fish do", ["live"])]
        )
    ],
    "triviaqa": [
        {
            "question": "Which metal is red",
            "answer": {"value": "Iron", "aliases": ["Iron", "Fe"], "type": "x"},
        },
        {"question": "Who drinks milk", "answer": {"value": "Cat", "aliases": []}},
        {
            "question": "Where is the fish",
            "answer": {"value": "Water", "aliases": ["Water", "H2O", "the sea"]},
        },
    ],
}
ITEMS["arc_challenge"] = ITEMS["arc_easy"][:3]


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def toy_benchmark(task: str, limit: int | None = None, **data: Any) -> Benchmark:
    return Benchmark(task=task, data=DataRef(**data or {"path": "unused.jsonl"}), limit=limit)


def write_toy_model(folder: Path) -> Path:
    """A random 2-layer Llama whose byte-level tokenizer has 300 tokens; its answers are long and wrong."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.set_num_threads(1)
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<pad>", "<end>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        json.dumps(ITEMS),
        trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>", pad_token="<pad>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=1024,
        initializer_range=0.5,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
