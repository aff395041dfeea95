"""The sandbox's data sets and the fixed sizes of its model, for the config and the plan: imports nothing heavy."""

BENCHMARK_ITEMS = {
    "sandbox/ai2_arc/ARC-Easy/test": 200,
    "sandbox/ai2_arc/ARC-Challenge/test": 200,
    "sandbox/gsm8k/main/test": 150,
    "sandbox/squad_v2/default/validation": 150,
    "sandbox/trivia_qa/rc.nocontext/validation": 150,
}
PRETRAINING, SFT = "sandbox/pretrain/default/train", "sandbox/sft/default/train"
DATA_SETS = (PRETRAINING, SFT, *BENCHMARK_ITEMS)
"""`org/name/config/split` of each, as a mirror is laid out."""
QUERIES, JUDGE = "sandbox/gsm8k/main/train", "sandbox/judge/default/train"
OPTIONAL_SETS = (QUERIES, JUDGE)
"""What is written only for an experiment that reads it: samples of a task for `query`, grades for `scores`."""

VOCABULARY = 1024
FEED_FORWARD = 3  # times the hidden size
