"""A step that is not finite is named, with its samples, however late the device says so."""

import math
from typing import Any

import pytest
import torch

from prunegrid.training.finite import StepNumbers
from prunegrid.training.trainer import PrunedTrainer
from support.errors import refused

SAMPLES = [[3, 4], [5]]


def numbers(losses: tuple[float, float] = (1.0, 2.0), norm: Any = 0.5, step: int = 7) -> StepNumbers:
    return StepNumbers(step, [torch.tensor(loss) for loss in losses], norm, SAMPLES)


@pytest.mark.parametrize("norm", [0, 0.5, torch.tensor(0.5), None])
def test_finite_numbers_are_no_problem(norm: Any) -> None:
    assert numbers(norm=norm).problem() is None


@pytest.mark.parametrize("norm", [0.5, None, math.nan])
@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_the_pass_whose_loss_is_not_finite_is_named(loss: float, norm: Any) -> None:
    assert numbers((1.0, loss), norm).problem() == (f"the loss is {loss}", [5])


@pytest.mark.parametrize("norm", [math.inf, math.nan, -1.0, torch.tensor(math.inf), torch.tensor(-1.0)])
def test_a_gradient_is_of_all_samples(norm: Any) -> None:
    assert numbers(norm=norm).problem() == ("the gradient is not finite", [3, 4, 5])


class Late(StepNumbers):
    arrived = False  # as of a GPU that still computes


def trainer(last: StepNumbers) -> Any:
    made = object.__new__(PrunedTrainer)
    made.last_step = last
    return made


def test_unfinished_step_is_checked_only_on_wait() -> None:
    late = trainer(Late(7, [torch.tensor(math.nan)] * 2, 0.5, SAMPLES))
    late._require_finite(wait=False)
    with refused("step 7", "nan", "sample_id 3, 4", fix="training.learning_rate"):
        late._require_finite(wait=True)


@pytest.mark.parametrize("save", ["_save_checkpoint", "save_model"])
def test_nothing_is_saved_before_the_last_step_is_checked(save: str) -> None:
    late = trainer(Late(7, [torch.tensor(math.nan)] * 2, 0.5, SAMPLES))
    with refused("step 7", "nan"):
        getattr(late, save)("nowhere", None)
