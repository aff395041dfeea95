"""Fine-tuning of one cell: DeepSpeed ZeRO under torchrun, through the Hugging Face Trainer."""

from prunegrid.train.launch import Job, train

__all__ = ["Job", "train"]
