"""The libraries' own trainers on our samples: the padded Trainer, and TRL packed on the attention kernel of ours."""

from pathlib import Path
from typing import Any

import torch

from gpu import limits
from gpu.jobs import reset_libraries
from gpu.measure import Section, mfu, rounded
from gpu.random_model import build, mean_context, tokenizer
from gpu.stopwatch import Stopwatch

IGNORE = -100
KERNEL = "kit_varlen"


class Peers:
    """LoRA of rank 8 on all linear layers, `batch` samples a step, as ours."""

    def __init__(self, section: Section, work: Path, samples: Any, batch: int) -> None:
        self.section, self.work, self.samples, self.batch = section, work, samples, batch
        self.each = 2 if section.toy else 4  # rows of a pass
        self.steps = 4 if section.toy else 6

    def padded(self) -> dict[str, Any]:
        from peft import get_peft_model
        from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

        words, watch = tokenizer(self.section.shape.vocabulary), Stopwatch(self.section)
        trainer = Trainer(
            model=get_peft_model(build(self.section).train(), self.adapter()),
            args=TrainingArguments(**self.arguments(), gradient_accumulation_steps=self.batch // self.each),
            train_dataset=self.dataset(),
            data_collator=DataCollatorForSeq2Seq(words),
            callbacks=[watch],
        )
        return self.train(trainer, watch, self.batch * float(self.samples.length_N.mean()))

    def packed(self) -> dict[str, Any]:
        from transformers import AttentionInterface
        from trl import SFTConfig, SFTTrainer

        AttentionInterface.register(KERNEL, varlen)
        words, watch, accumulated = tokenizer(self.section.shape.vocabulary), Stopwatch(self.section), 2
        longest = 128 if self.section.toy else 2048
        settings = {"gradient_accumulation_steps": accumulated, "packing": True, "max_length": longest}
        trainer = SFTTrainer(
            model=build(self.section, KERNEL if self.section.cuda else "sdpa").train(),
            args=SFTConfig(**self.arguments(), **settings),
            train_dataset=self.dataset(),
            processing_class=words,
            peft_config=self.adapter(),
            callbacks=[watch],
        )
        filled = sum(map(len, trainer.train_dataset["input_ids"])) / len(trainer.train_dataset)
        return self.train(trainer, watch, accumulated * self.each * filled)

    def train(self, trainer: Any, watch: Stopwatch, tokens_a_step: float) -> dict[str, Any]:
        try:
            trainer.train()
        finally:
            reset_libraries()
        rate = tokens_a_step * watch.steps / watch.seconds
        share = float(self.samples.response_N.sum() / self.samples.length_N.sum())
        context = mean_context(self.samples.length_N)
        operations = limits.training(self.section.shape, context, share, self.section.card).operations
        measured = {"tokens_s": rate, "step_s": watch.seconds / watch.steps, "tokens_a_step": tokens_a_step}
        return rounded(measured) | {"mfu": mfu(rate * operations, self.section.card)}

    def dataset(self) -> Any:
        from datasets import Dataset

        both = [self.samples.ids(i) for i in range(len(self.samples))]
        labels = [[IGNORE] * len(prompt) + response for prompt, response in both]
        return Dataset.from_dict({"input_ids": [prompt + response for prompt, response in both], "labels": labels})

    def adapter(self) -> Any:
        from peft import LoraConfig

        return LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, lora_dropout=0.0, target_modules="all-linear")

    def arguments(self) -> dict[str, Any]:
        return {
            "output_dir": str(self.work / "peer"),
            "per_device_train_batch_size": self.each,
            "max_steps": self.steps,
            "bf16": self.section.cuda,
            "use_cpu": not self.section.cuda,
            "learning_rate": 1e-4,
            "logging_strategy": "no",
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "gradient_checkpointing": False,
            "optim": "adamw_torch_fused" if self.section.cuda else "adamw_torch",
        }


def varlen(module: Any, query: Any, key: Any, value: Any, mask: Any, scaling: Any = None, **others: Any) -> Any:
    """TRL's borders (`cu_seq_lens_q`), or those of the positions, on torch's variable-length flash attention."""
    from torch.nn.attention.varlen import varlen_attn

    borders, longest = others.get("cu_seq_lens_q"), int(others.get("max_length_q") or 0)
    if borders is None:
        starts = (others["position_ids"].flatten() == 0).nonzero().flatten()
        borders = torch.cat([starts, starts.new_tensor([query.shape[2]])]).to(torch.int32)
        longest = int(borders.diff().max())
    query_THD, key_TGD, value_TGD = (x[0].transpose(0, 1) for x in (query, key, value))
    grouped = {"enable_gqa": True} if takes_grouped(varlen_attn) and query_THD.shape[1] != key_TGD.shape[1] else {}
    packed = (query_THD, key_TGD, value_TGD, borders, borders, longest, longest)
    return varlen_attn(*packed, scale=scaling, window_size=(-1, 0), **grouped)[None], None


def takes_grouped(function: Any) -> bool:
    """torch 2.11's kernel takes grouped heads, but its function has no such argument."""
    import inspect

    return "enable_gqa" in inspect.signature(function).parameters
