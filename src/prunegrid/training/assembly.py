"""One rank's Trainer, put together: its samples, its model and DeepSpeed."""

import os

import deepspeed
import torch
from deepspeed.runtime import compiler
from deepspeed.runtime.fp16.loss_scaler import LossScaler
from deepspeed.runtime.zero.config import ZeroStageEnum
from deepspeed.utils.tensor_fragment import fragment_address
from transformers import TrainingArguments, set_seed

from prunegrid.core.randomness import derive_seed
from prunegrid.models import load_tokenizer
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.training import checkpoints
from prunegrid.training.counters import Counters
from prunegrid.training.job import Order
from prunegrid.training.samples import Examples, StaticExamples
from prunegrid.training.settings import bucket_sizes, trainer_arguments
from prunegrid.training.trained_model import load_trained_model
from prunegrid.training.trainer import PrunedTrainer


def build_trainer(order: Order, rank: int) -> PrunedTrainer:
    """The Trainer of this rank; the counters of a resumed job continue from its checkpoint."""
    job, counters, rows = order.job, Counters(rank), ScoresFolder(order.job.scores).sequences()
    if order.resume:
        counters.load(order.resume, checkpoints.checkpoint_step(order.resume))
    if job.pruning:
        from prunegrid.training.dynamic import DynamicExamples  # here, for a static job needs no scoring modules

        examples: Examples = DynamicExamples(order, rows, counters)
    else:
        examples = StaticExamples(job, rows, rank)
    _set_up_deepspeed(job.device)
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(order.reports)
    seed = derive_seed(job.seed, "training") % 2**31
    # Before the model: ZeRO-3 shards it as it loads, which transformers knows by these arguments.
    steps = examples.timetable.steps
    arguments = TrainingArguments(**trainer_arguments(job, steps, seed), output_dir=str(order.checkpoints))
    set_seed(seed)
    model, fallbacks = load_trained_model(order, arguments.device)
    arguments.hf_deepspeed_config.config["zero_optimization"] |= bucket_sizes(model)
    trainer = PrunedTrainer(
        order=order,
        examples=examples,
        counters=counters,
        fallbacks=fallbacks,
        model=model,
        args=arguments,
        processing_class=load_tokenizer(job.model),
    )
    examples.trainer = trainer
    return trainer


def _set_up_deepspeed(device: str) -> None:
    """Settings DeepSpeed has no option for; they must be made before it starts."""
    _import_muon_uncompiled()
    # Let a checkpoint's pickles hold tensors and plain values only: DeepSpeed would run any code in them.
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    torch.serialization.add_safe_globals([LossScaler, ZeroStageEnum, fragment_address])
    if device == "cpu":
        # An optional C++ op that takes over a minute to compile at first use; gloo serves instead.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def _import_muon_uncompiled() -> None:
    """DeepSpeed compares every optimizer with its Muon, whose import loads torch's compiler: seconds for nothing."""
    original, compiler.compile = compiler.compile, lambda: lambda function: function
    try:
        import deepspeed.runtime.zero.muon.muon_optimizer  # noqa: F401
    finally:
        compiler.compile = original
