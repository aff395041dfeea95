"""One rank of a training job: `python -m prunegrid.training.worker ORDER.json` (written and started by `launch`)."""

import os
import sys
from pathlib import Path

import torch

from prunegrid.core.errors import PrunegridError
from prunegrid.core.step import delay_garbage_collection
from prunegrid.models.architecture import check_positions
from prunegrid.models.meta_model import meta_model, training_attention
from prunegrid.training import checkpoints
from prunegrid.training.job import Order
from prunegrid.training.rank_failures import exit_after_failure, write_failure


def main(path: Path) -> None:
    delay_garbage_collection()
    order, rank = Order.model_validate_json(path.read_text()), int(os.environ["RANK"])
    checkpoints.share_lock(order.checkpoints)
    checkpoints.sign_in(path, rank)
    launcher = os.open(path, os.O_RDONLY)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if order.job.training.deterministic:
        use_deterministic_kernels()
    if order.job.training.ranks > 1:
        exit_after_failure(order.error)
    trainer = None
    try:
        order = with_attention(order, rank)
        # Imported here: a model that is refused takes no seconds, and an import that fails is reported to the launcher.
        from prunegrid.training import assembly, report

        trainer = assembly.build_trainer(order, rank)
        trainer.launcher = launcher
        trainer.train(resume_from_checkpoint=str(order.resume) if order.resume else None)
        report.write_outputs(order, trainer)
    except Exception as error:
        write_failure(order.error, error, trainer)
        raise
    torch.distributed.destroy_process_group()


def use_deterministic_kernels() -> None:
    """The same numbers in every run; an operation without such a kernel is an error (`rank_failures.MEANING`)."""
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    # Would write every new buffer once more, and changes no number.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def with_attention(order: Order, rank: int) -> Order:
    """The order with the attention to train with; a model that cannot be packed is trained padded."""
    job = order.job
    if job.training.removal == "drop":
        check_positions(meta_model(job.model))
    attention = training_attention(job.model, job.training.packing)
    if attention.packed != job.training.packing and rank == 0:
        print(f"trained padded with {attention.implementation} attention: {attention.padded_because}", flush=True)
    training = job.training.model_copy(update={"packing": attention.packed})
    return order.model_copy(update={"job": job.model_copy(update={"training": training}), "attention": attention})


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except PrunegridError as error:
        sys.exit(str(error))
