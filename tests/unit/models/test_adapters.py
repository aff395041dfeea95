"""LoRA adapters: what is trained is what is merged, or the target modules are refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from prunegrid.experiment.training import Lora, Scoring, Training
from prunegrid.models import apply_adapter, load_model
from prunegrid.models.adapters import KEY, add_adapter
from prunegrid.models.meta_model import check_trainable
from prunegrid.scoring.score import score
from support.errors import refused
from support.tiny_llama import write_tiny_model
from support.training_jobs import run

IDS = torch.arange(40).reshape(2, 20)


@pytest.fixture(scope="module")
def tied_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tied") / "model", tied=True)


@pytest.fixture(scope="module")
def tied_scores(tmp_path_factory: pytest.TempPathFactory, tied_model: Path, dataset: Path) -> Path:
    folder = tmp_path_factory.mktemp("tied_scores") / "scores"
    score(tied_model, dataset, folder, Scoring(max_length=60, batch_tokens=200))
    return folder


def with_targets(targets: Any) -> Training:
    return Training(method="lora", lora=Lora(target_modules=targets))


def logits_of(model: Any) -> torch.Tensor:
    with torch.no_grad():
        values: torch.Tensor = model(input_ids=IDS).logits
    return values


@pytest.mark.parametrize("targets", [["embed_tokens", "q_proj"], ["q_proj", "lm_head"], ".*(embed_tokens|q_proj)"])
def test_targets_that_share_weights_with_the_head_are_refused(tied_model: Path, targets: Any) -> None:
    for check in (
        lambda: check_trainable(tied_model, with_targets(targets), {"mask"}),
        lambda: add_adapter(load_model(tied_model, "float32", "cpu"), Lora(target_modules=targets)),
    ):
        with refused(KEY, "model.embed_tokens and lm_head share", fix="all-linear"):
            check()


def test_a_head_of_its_own_is_refused_as_a_target(tiny_model: Path) -> None:
    """The loss reads the head's weights, so an update beside them would never be trained."""
    with refused(KEY, "the head", fix="all-linear"):
        check_trainable(tiny_model, with_targets(["q_proj", "lm_head"]), {"mask"})


def test_targets_that_the_model_lacks_are_refused(tiny_model: Path) -> None:
    with refused(KEY, "q_prj", fix="all-linear"):
        check_trainable(tiny_model, with_targets(["q_prj"]), {"mask"})


def test_all_linear_is_trained_whether_the_embeddings_are_tied_or_not(tied_model: Path, tiny_model: Path) -> None:
    for model in (tied_model, tiny_model):
        assert check_trainable(model, with_targets("all-linear"), {"mask"}) == "trained packed"
    assert check_trainable(tiny_model, with_targets(["embed_tokens"]), {"mask"}) == "trained packed"


def test_full_training_of_tied_embeddings_is_not_refused(tied_model: Path) -> None:
    settings = with_targets(["embed_tokens"]).model_copy(update={"method": "full"})
    assert check_trainable(tied_model, settings, {"mask"}) == "trained packed"


def test_an_adapter_of_shared_weights_is_not_merged(tied_model: Path, tmp_path: Path) -> None:
    """One that something else trained: merged, it would change the head as well."""
    config = LoraConfig(r=2, target_modules=["embed_tokens"], init_lora_weights=False)
    get_peft_model(load_model(tied_model, "float32", "cpu"), config).save_pretrained(str(tmp_path))
    with refused(tmp_path, "model.embed_tokens and lm_head share", fix="train an adapter"):
        apply_adapter(load_model(tied_model, "float32", "cpu"), tmp_path)


def assert_merged_is_trained(folder: Path, model: Path) -> None:
    base = load_model(model, "float32", "cpu")
    before = logits_of(base)
    trained = logits_of(PeftModel.from_pretrained(base, str(folder)).eval())
    merged = logits_of(apply_adapter(load_model(model, "float32", "cpu"), folder))
    assert float((trained - before).abs().max()) > 0.1
    assert torch.allclose(merged, trained, atol=1e-4)


@pytest.mark.usefixtures("warm")
def test_a_tied_model_is_merged_as_trained(tied_model: Path, tied_scores: Path, tmp_path: Path) -> None:
    run(tmp_path, tied_model, tied_scores, method="lora", learning_rate=0.05)
    assert_merged_is_trained(tmp_path / "model", tied_model)


@pytest.mark.usefixtures("warm")
def test_embeddings_of_their_own_are_merged_as_trained(tiny_model: Path, scores: Path, tmp_path: Path) -> None:
    run(tmp_path, tiny_model, scores, method="lora", learning_rate=0.05, lora={"target_modules": ["embed_tokens"]})
    assert_merged_is_trained(tmp_path / "model", tiny_model)


@pytest.mark.usefixtures("warm")
def test_a_training_job_refuses_shared_targets(tied_model: Path, tied_scores: Path, tmp_path: Path) -> None:
    with refused(KEY, "model.embed_tokens and lm_head share", fix="all-linear"):
        run(tmp_path, tied_model, tied_scores, method="lora", lora={"target_modules": ["embed_tokens"]})
