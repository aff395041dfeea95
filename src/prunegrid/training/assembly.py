"""One rank's Trainer, put together: its samples, its model and DeepSpeed."""

import os

from transformers import TrainingArguments, set_seed

from prunegrid.core.randomness import derive_seed
from prunegrid.models import load_tokenizer
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.sequences import Sequences
from prunegrid.training import checkpoints, deepspeed_setup
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
    examples = _dynamic_examples(order, rows, counters) if job.pruning else StaticExamples(job, rows, rank)
    deepspeed_setup.set_up(job.device)
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(order.reports)
    seed = derive_seed(job.seed, "training") % 2**31
    # Before the model: ZeRO-3 shards it as it loads, which transformers knows by these arguments.
    arguments = TrainingArguments(**trainer_arguments(job, len(examples.plan), seed), output_dir=str(order.checkpoints))
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


def _dynamic_examples(order: Order, rows: Sequences, counters: Counters) -> Examples:
    from prunegrid.training.dynamic_examples import DynamicExamples  # here, for a static job needs no scoring modules

    return DynamicExamples(order, rows, counters)
