"""Names with a meaning of their own, in configs, paths, frames and tables."""

from typing import Literal, get_args

Reference = Literal["zero-shot", "full", "shuffled-responses"]
REFERENCES: tuple[Reference, ...] = get_args(Reference)
"""Variants of the cells beside the grid: the untrained model, all data, all data with shuffled responses."""
ZERO_SHOT, FULL, SHUFFLED = REFERENCES

Engine = Literal["transformers", "vllm"]
TRANSFORMERS, VLLM = get_args(Engine)

BASELINE = "random+random"
"""The method that deltas are against."""

AVERAGE = "Avg"
"""The benchmark that is the average of the others."""

BEST = "best"
"""Stands for the pair with the best average: `prunegrid table --against best`."""

IMPORTED = "imported"
"""The kind of a benchmark whose scores come from outside."""
