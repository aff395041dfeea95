"""Evaluation of a trained model: the benchmarks' items, the models behind lm-eval, and the records."""
