"""Evaluation tasks by protocol: YAML in lm-eval's format, with the functions that it names (`catalog` reads them)."""
