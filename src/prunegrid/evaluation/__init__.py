"""Evaluation of a trained model: the benchmarks' items, lm-eval's side, and the records that are written."""
