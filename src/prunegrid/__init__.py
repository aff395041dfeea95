"""prunegrid: prune a fine-tuning set twice (samples, then tokens) and tabulate what it costs or gains."""

__version__ = "0.1.0"
