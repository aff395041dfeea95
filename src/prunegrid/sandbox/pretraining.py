"""Pre-trains the sandbox's base model: a byte-level BPE tokenizer and a Llama of about a million parameters.

    python -c "from prunegrid.sandbox.pretraining import pretrain; pretrain('world', 'model', seed=0, steps=1000)"

The result is an ordinary Hugging Face directory, chat template included. The same seed and number of threads
give the same weights.
"""

import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, get_cosine_schedule_with_warmup

from prunegrid.core.files import read_records, repair
from prunegrid.sandbox.data_sets import FEED_FORWARD, PRETRAINING, VOCABULARY

TOKENS_PER_STEP = 2048
BOS, EOS, PAD = "<s>", "</s>", "<pad>"
PROMPT_WORDS = "Question: Title: Background:\nAnswer: unanswerable #### ####"
CHAT_TEMPLATE = (
    "{% for m in messages %}"
    "{% if m['role'] == 'user' %}{{ m['content'] }}\nAnswer:"
    "{% elif m['role'] == 'assistant' %} {{ m['content'] }}{{ eos_token }}{% endif %}"
    "{% endfor %}"
)


def pretrain(
    world: Path,
    out: Path,
    *,
    seed: int,
    steps: int,
    hidden_size: int = 128,
    layers: int = 3,
    heads: int = 4,
    vocab_size: int = VOCABULARY,
    block_length: int = 128,
    batch_size: int | None = None,
    lr: float = 4e-3,
    log_every: int = 50,
) -> dict[str, float]:
    """Train on `world`'s pre-training text for `steps` steps and save tokenizer and model to `out`.

    Returns the number of parameters, of tokens seen, the seconds taken and the last steps' mean loss (nats).
    """
    start = time.monotonic()
    batch_size = batch_size or TOKENS_PER_STEP // block_length
    texts = read_texts(world)
    tokenizer = train_tokenizer(texts, vocab_size)
    blocks_NT = pack(tokenizer, texts, block_length)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(_config(tokenizer, hidden_size, layers, heads))
    losses = _train(model, blocks_NT, seed, steps, batch_size, lr, log_every)
    tokenizer.save_pretrained(out)
    model.save_pretrained(out)
    last = losses[-log_every:]
    return {
        "parameters": model.num_parameters(),
        "tokens": steps * batch_size * block_length,
        "seconds": round(time.monotonic() - start, 1),
        "final_loss": sum(last) / len(last),
    }


def read_texts(world: Path) -> list[str]:
    path = Path(world) / f"{PRETRAINING}.jsonl"
    return [row["text"] for row in read_records(path, repair(path))]


def train_tokenizer(texts: list[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE, so that any text survives a round trip. The fixed words of prompts become tokens, too."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts, *[PROMPT_WORDS] * 500], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
        model_max_length=1024,
    )


def pack(tokenizer: PreTrainedTokenizerFast, texts: list[str], block_length: int) -> torch.Tensor:
    """All texts end to end, each closed by the end-of-sequence token, cut into blocks of equal length."""
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
    stream = torch.tensor([token for ids in encoded for token in [*ids, tokenizer.eos_token_id]])
    count = len(stream) // block_length
    return stream[: count * block_length].view(count, block_length)


def _config(tokenizer: PreTrainedTokenizerFast, hidden_size: int, layers: int, heads: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=FEED_FORWARD * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _train(
    model: LlamaForCausalLM, blocks_NT: torch.Tensor, seed: int, steps: int, batch_size: int, lr: float, log_every: int
) -> list[float]:
    """AdamW with a cosine schedule; every step's loss in nats per token."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.1, betas=(0.9, 0.95))
    schedule = get_cosine_schedule_with_warmup(optimizer, max(1, steps // 20), steps)
    model.train()
    losses: list[float] = []
    for step in range(steps):
        batch_BT = blocks_NT[torch.randint(len(blocks_NT), (batch_size,), generator=generator)]
        loss = model(input_ids=batch_BT, labels=batch_BT, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        losses.append(loss.item())
        if (step + 1) % log_every == 0:
            print(f"pretrain: step {step + 1}/{steps}, loss {losses[-1]:.3f} nats", flush=True)
    return losses
