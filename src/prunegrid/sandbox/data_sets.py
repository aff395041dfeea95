"""The names of the sandbox's data sets."""

from __future__ import annotations

DATA_SETS = (
    "sandbox/pretrain/default/train",
    "sandbox/sft/default/train",
    "sandbox/ai2_arc/ARC-Easy/test",
    "sandbox/ai2_arc/ARC-Challenge/test",
    "sandbox/gsm8k/main/test",
    "sandbox/squad_v2/default/validation",
    "sandbox/trivia_qa/rc.nocontext/validation",
)
