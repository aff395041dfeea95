"""Fine-tuning of one cell: DeepSpeed ZeRO under torchrun, through the Hugging Face Trainer."""

from prunegrid.training.job import Job
from prunegrid.training.launch import train

__all__ = ["Job", "train"]
