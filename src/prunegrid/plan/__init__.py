"""What an experiment will cost: jobs, hours, disk and memory, estimated before it runs (docs/how-to/plan.md).

    prunegrid plan experiments/paper.yaml

Nothing here imports torch, transformers or pandas, since the Snakefile computes estimates each time it is parsed.
"""
