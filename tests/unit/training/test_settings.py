"""The training section: what it refuses, and that what it says arrives at the Trainer and at DeepSpeed."""

import ast
import copy
import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from transformers import TrainingArguments

from prunegrid.core.files import write_json
from prunegrid.experiment.config import load
from prunegrid.experiment.training import Training
from prunegrid.scoring.reader import ScoresFolder
from prunegrid.selection.examples import IGNORE
from prunegrid.training import Job, settings
from prunegrid.training.samples import static_samples
from support.errors import refused

DEFAULT = yaml.safe_load((Path(__file__).parents[3] / "config.yaml").read_text())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("method", "qlora"),
        ("mode", "online"),
        ("removal", "delete"),
        ("optim", "adamw"),
        ("adam_beta1", 1.0),
        ("adam_beta2", -0.1),
        ("adam_epsilon", 0),
        ("learning_rate", -1e-4),
        ("learning_rate", float("nan")),
        ("lr_scheduler_type", "cosin"),
        ("warmup_ratio", 1.0),
        ("warmup_ratio", 5),
        ("weight_decay", -0.1),
        ("max_grad_norm", -1),
        ("max_steps", 0),
        ("num_train_epochs", 0),
        ("batch_tokens", 0),
        ("zero_stage", 4),
        ("packing", "sometimes"),
    ],
)
def test_bad_value_is_one_line_that_names_its_key(key: str, value: Any) -> None:
    values = copy.deepcopy(DEFAULT)
    values["training"][key] = value
    with refused(f"config.yaml: training.{key}", repr(value)) as caught:
        load(values)
    assert len(str(caught.value).splitlines()) == 1


def job(**values: Any) -> Job:
    return Job(model=Path("m"), scores=Path("s"), training=Training(**values), seed=0)


def arguments(tmp_path: Path, steps: int, **values: Any) -> TrainingArguments:
    """The Trainer's own reading of ours, less DeepSpeed, which would start here."""
    given = settings.trainer_arguments(job(**values), steps, seed=1)
    given.pop("deepspeed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return TrainingArguments(**given, output_dir=str(tmp_path))


def test_passed_fields_reach_the_trainer_under_their_names(tmp_path: Path) -> None:
    values = {
        "optim": "adamw_torch_fused",
        "adam_beta1": 0.8,
        "adam_beta2": 0.9,
        "adam_epsilon": 1e-6,
        "learning_rate": 3e-3,
        "lr_scheduler_type": "linear",
        "weight_decay": 0.3,
        "max_grad_norm": 0.7,
    }
    actual = arguments(tmp_path, 10, **values)
    assert {key: getattr(actual, key) for key in values} == values


def test_every_field_is_passed_to_the_trainer_or_read_here() -> None:
    """A new field that is in neither list is one that users set in vain."""
    sources = [ast.parse(path.read_text()) for path in Path(settings.__file__).parent.glob("*.py")]
    attributes = (node for source in sources for node in ast.walk(source) if isinstance(node, ast.Attribute))
    handled = {node.attr for node in attributes if ast.unparse(node.value).endswith(("training", "settings"))}
    assert set(Training.model_fields) == set(settings.PASSED) | handled & set(Training.model_fields)
    assert set(settings.PASSED) <= {field.name for field in dataclasses.fields(TrainingArguments)}


def test_setting_not_passed_is_no_argument_of_the_trainer() -> None:
    """`gradient_checkpointing` is a field of both, but ours is a decision of the launcher."""
    assert "gradient_checkpointing" not in settings.trainer_arguments(job(gradient_checkpointing=True), 10, seed=1)


@pytest.mark.parametrize("optim", ["adamw_torch", "adamw_torch_fused", "sgd", "adagrad", "rmsprop"])
def test_every_optimizer_is_known_to_the_trainer(optim: str, tmp_path: Path) -> None:
    from transformers import Trainer

    actual, _ = Trainer.get_optimizer_cls_and_kwargs(arguments(tmp_path, 10, optim=optim))
    assert issubclass(actual, torch.optim.Optimizer)


@pytest.mark.parametrize(("ratio", "steps", "warm"), [(0.1, 10, 1), (0.1, 11, 2), (0.3, 5, 2), (0, 7, 0), (0.03, 3, 1)])
def test_warm_up_is_a_share_of_the_steps_rounded_up(ratio: float, steps: int, warm: int, tmp_path: Path) -> None:
    assert arguments(tmp_path, steps, warmup_ratio=ratio).get_warmup_steps(steps) == warm


def test_trainer_gets_whole_steps_and_accumulates_nothing(tmp_path: Path) -> None:
    actual = arguments(tmp_path, 17, per_device_train_batch_size=4, gradient_accumulation_steps=3)
    assert (actual.max_steps, actual.gradient_accumulation_steps, actual.per_device_train_batch_size) == (17, 1, 12)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_deepspeed_gets_stage_clipping_and_precision(stage: int) -> None:
    actual = settings.deepspeed_config(Training(zero_stage=stage, max_grad_norm=0.7, bf16=True, offload_optimizer=True))
    assert actual["zero_optimization"]["stage"] == stage
    assert actual["zero_optimization"]["offload_optimizer"]["device"] == "cpu"
    assert actual["gradient_clipping"] == 0.7
    assert actual["bf16"]["enabled"] is True
    assert actual["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] is (stage == 3)
    assert actual["gradient_accumulation_steps"] == 1, "a step's passes are not DeepSpeed's to count"


def texts(folder: Path, n: int) -> Path:
    """Token ids that tell their sample: prompts 1000 + n, responses 2000 + n of two lengths."""
    rows = [{"sample_id": 3 * n, "prompt_ids": [1000 + n], "response_ids": [2000 + n] * (1 + n % 2)} for n in range(n)]
    table = pa.Table.from_pylist([{**row, "truncated": False} for row in rows])
    pq.write_table(table, folder / "tokens.parquet")
    pq.write_table(table, folder / "samples.parquet")
    write_json(folder / "meta.json", {})
    return folder


def shuffled(folder: Path, n: int, seed: int) -> list[tuple[int, int, list[int]]]:
    """(sample_id, prompt's sample, response ids) of each sample of the reference cell `shuffled-responses`."""
    given = Job(model=Path("m"), scores=folder, shuffled=True, training=Training(), seed=seed)
    samples = static_samples(given, ScoresFolder(folder).sequences())
    examples = [samples[number] for number in range(len(samples.rows_N))]
    assert len(examples) == n
    return [
        (example.sample_id, example.ids[0] - 1000, [i for i in example.labels if i != IGNORE]) for example in examples
    ]


@pytest.mark.parametrize("n", [2, 3, 20, 500])
def test_shuffled_responses_keep_no_own_response_and_lose_none(n: int, tmp_path: Path) -> None:
    actual = shuffled(texts(tmp_path, n), n, seed=0)
    givers = [response[0] - 2000 for _, _, response in actual]
    assert [prompt for _, prompt, _ in actual] == list(range(n)), "prompts stay where they are"
    assert all(giver != prompt for giver, (_, prompt, _) in zip(givers, actual, strict=True))
    assert sorted(givers) == list(range(n))
    assert all(len(response) == 1 + giver % 2 for giver, (_, _, response) in zip(givers, actual, strict=True))


def test_shuffled_responses_depend_on_the_seed_alone(tmp_path: Path) -> None:
    folder = texts(tmp_path, 20)
    assert shuffled(folder, 20, seed=0) == shuffled(folder, 20, seed=0)
    assert shuffled(folder, 20, seed=0) != shuffled(folder, 20, seed=1)


def test_shuffled_responses_do_not_depend_on_the_rows_order(tmp_path: Path) -> None:
    folder = texts(tmp_path, 20)
    before = {number: response for number, _, response in shuffled(folder, 20, seed=0)}
    for file in (folder / "samples.parquet", folder / "tokens.parquet"):
        pq.write_table(pq.read_table(file).take(pa.array(np.arange(20)[::-1])), file)
    assert {number: response for number, _, response in shuffled(folder, 20, seed=0)} == before
