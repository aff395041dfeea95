"""One side of benchmarks/training.py, alone in its process: training_side.py SIDE JOB.json (written by it).

SIDE is `ours`, `trainer`, `trl`, `trl-packed` or `forward` (scoring, no training); all read prunegrid's job, and so
the same token ids and settings. The last line of the output is one JSON object.
"""

import json
import math
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers.trainer
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, DataCollatorForSeq2Seq, Trainer, TrainerCallback, TrainingArguments

from prunegrid.core.files import read_json, read_parquet, write_json
from prunegrid.experiment.training import USUAL_DTYPE
from prunegrid.models import load_model, load_tokenizer
from prunegrid.models.head import Head
from prunegrid.pruners.columns import HEAD_SCORES
from prunegrid.scoring.forward import compute_in_batches
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.scoring.score import scorer
from prunegrid.selection.examples import IGNORE
from prunegrid.training import Job, processes, train, worker

WATCHED = "PRUNEGRID_BENCHMARK_WATCHED"


class Stopwatch(TrainerCallback):
    """Wall and CPU seconds of all epochs but the first, which is the warm-up, and the peak memory until then.

    Whole epochs, since every side has an order of its own: only over an epoch have all seen the same tokens.
    Nothing between two steps is left out, neither collating nor, in dynamic mode, scoring.
    """

    def __init__(self, epochs: int, out: Path) -> None:
        self.epochs, self.out = epochs, out

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        steps = state.max_steps // self.epochs
        if state.global_step in (steps, state.max_steps):
            wait_for(args.device.type)
        clocks = time.perf_counter(), time.process_time()
        if state.global_step == steps:
            self.started = clocks
        if state.global_step == state.max_steps:
            wall, cpu = (end - start for end, start in zip(clocks, self.started, strict=True))
            timed = state.max_steps - steps
            measured = {"seconds": wall, "cpu_seconds": cpu, "timed_steps": timed}
            measured["peak_mb"] = peak_megabytes(args.device.type)
            write_json(self.out, measured)


def main(side: str, spec: Path) -> None:
    job, watched = Job.model_validate_json(spec.read_text()), spec.with_name("watch.json")
    torch.set_num_threads(job.threads)
    if side == "forward":
        measured = forward(job)
    elif side == "ours":
        measured = train_ours(job, spec.parent, watched) | read_json(watched)
    else:
        watch(job.training.num_train_epochs, watched)
        measured = peer(side, job, spec.parent) | read_json(watched)
    print("\n" + json.dumps(measured))


def watch(epochs: int, out: Path) -> None:
    """Every Trainer that this process makes gets a stopwatch."""
    transformers.trainer.DEFAULT_CALLBACKS.append(Stopwatch(epochs, out))


def wait_for(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def peak_megabytes(device: str) -> float:
    """Of the GPU, or of this process alone; getrusage would begin at its parent's."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    match = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert match
    return int(match[1]) / 1024


def forward(job: Job) -> dict[str, float]:
    """One scoring pass over all samples, a step's candidates at a time, for pruners that read no attention."""
    rows, model = ScoresFolder(job.scores).sequences(), load_model(job.model, USUAL_DTYPE[job.device], job.device)
    compute, step = scorer(model, Head(model), None), job.training.per_device_train_batch_size
    began, cpu = time.monotonic(), time.process_time()
    for start in range(0, len(rows), step):
        part = rows.take(np.arange(start, min(start + step, len(rows))))
        compute_in_batches(part, job.training.batch_tokens, model.device, HEAD_SCORES, compute, "forward")
    seconds = {"seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - cpu}
    return {**seconds, "trained_tokens": 0, "forwarded_tokens": int(rows.length_N.sum())}


def train_ours(job: Job, out: Path, watched: Path) -> dict[str, int]:
    """`train` as it is, but this file starts its worker, to put the stopwatch in."""
    processes.WORKER = Path(__file__).stem
    os.environ |= {"PYTHONPATH": f"{Path(__file__).parent}:{os.environ.get('PYTHONPATH', '')}", WATCHED: str(watched)}
    report = train(job, out / "model", out / "training.json")
    return {key: report[key] for key in ("trained_tokens", "forwarded_tokens")}


def our_worker(order: Path) -> None:
    watch(read_json(order)["job"]["training"]["num_train_epochs"], Path(os.environ[WATCHED]))
    worker.main(order)


def peer(side: str, job: Job, out: Path) -> dict[str, int]:
    """The library's trainer as it is; tokens are counted in the data that it ends up with, whatever it was given."""
    dtype = torch.bfloat16 if job.training.bf16 else torch.float32
    model = AutoModelForCausalLM.from_pretrained(job.model, dtype=dtype)
    tokenizer = load_tokenizer(job.model)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    trainer = (padded if side == "trainer" else trl)(job, model, tokenizer, out, packing=side == "trl-packed")
    trainer.train()
    epochs = job.training.num_train_epochs
    return {
        "trained_tokens": epochs * sum(label != IGNORE for row in trainer.train_dataset["labels"] for label in row),
        "forwarded_tokens": epochs * sum(map(len, trainer.train_dataset["input_ids"])),
    }


def padded(job: Job, model: Any, tokenizer: Any, out: Path, packing: bool) -> Trainer:
    return Trainer(
        model=get_peft_model(model, lora(job)),
        args=TrainingArguments(**arguments(job, out)),
        train_dataset=rows(job),
        data_collator=DataCollatorForSeq2Seq(tokenizer),
    )


def trl(job: Job, model: Any, tokenizer: Any, out: Path, packing: bool) -> Trainer:
    """SFTTrainer; packed, with as many packs of the cut-off's length in a batch as make the others' steps."""
    from trl import SFTConfig, SFTTrainer, pack_dataset

    data, settings = rows(job), arguments(job, out)
    cut_off: int = read_json(job.scores / "meta.json")["max_length"]
    if packing:
        steps = math.ceil(len(data) / job.training.per_device_train_batch_size)
        settings["per_device_train_batch_size"] = math.ceil(len(pack_dataset(data, cut_off)) / steps)
    return SFTTrainer(
        model=model,
        args=SFTConfig(**settings, max_length=cut_off, packing=packing),
        train_dataset=data,
        processing_class=tokenizer,
        peft_config=lora(job),
    )


def rows(job: Job) -> Dataset:
    """All of the scores' samples; the loss is on the response."""
    table = read_parquet(job.scores / "tokens.parquet", ["prompt_ids", "response_ids"]).to_pylist()
    ids = [row["prompt_ids"] + row["response_ids"] for row in table]
    labels = [[IGNORE] * len(row["prompt_ids"]) + row["response_ids"] for row in table]
    return Dataset.from_dict({"input_ids": ids, "labels": labels})


def lora(job: Job) -> LoraConfig:
    return LoraConfig(task_type="CAUSAL_LM", **job.training.lora.model_dump())


def arguments(job: Job, out: Path) -> dict[str, Any]:
    """The job's settings, under the same names; those that TRL would choose otherwise are spelt out."""
    names = {"learning_rate", "lr_scheduler_type", "weight_decay", "max_grad_norm", "num_train_epochs", "bf16"}
    names |= {"per_device_train_batch_size", "gradient_accumulation_steps", "gradient_checkpointing"}
    given = job.training.model_dump(include=names)
    quiet = {"logging_strategy": "no", "save_strategy": "no", "report_to": "none", "disable_tqdm": True}
    paths = {"use_cpu": job.device == "cpu", "output_dir": str(out / "trainer")}
    return {**given, **quiet, "optim": "adamw_torch", **paths}


if __name__ == "__main__":
    if len(sys.argv) == 2:
        our_worker(Path(sys.argv[1]))
    else:
        main(sys.argv[1], Path(sys.argv[2]))
