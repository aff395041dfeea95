"""What an experiment will take before it is run: jobs, hours, disk and memory (docs/plan.md).

    prunegrid plan experiments/paper.yaml

Nothing here imports torch, transformers or pandas: sizes are also read when the Snakefile is parsed.
"""
