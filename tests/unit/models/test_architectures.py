"""What docs/reference/model-families.md says of each family, measured: scored, packed, padded and dropped tokens
come out right.

References are plain float32 forwards: one sample alone, all logits.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from prunegrid.core.files import read_json
from prunegrid.experiment.training import Scoring, Training
from prunegrid.models.architecture import PACKED, TrainingAttention, scoring_error
from prunegrid.models.head import Head
from prunegrid.models.meta_model import check_trainable, meta_model, training_attention
from prunegrid.models.probes import check_isolated
from prunegrid.scoring.batches import pad
from prunegrid.scoring.forward import hidden_states, predicting_states
from prunegrid.scoring.score import score
from prunegrid.scoring.sequences import Sequences
from prunegrid.selection.examples import Example, build_example
from prunegrid.training.loss import collate, total_nll
from support.errors import refused
from support.model_families import (
    FAMILIES,
    build,
    measured,
    measured_attention,
    padded,
    reads_positions,
    rows_of_the_page,
    write_config,
)
from support.snakemake_runs import snakemake
from support.tiny_architectures import write_model
from support.toy_experiment import toy_config
from support.training_jobs import run

TOLERANCE = 2e-5
LENGTHS = (9, 3, 14, 1, 6)
SETTINGS = Scoring(max_length=60, batch_tokens=200)


def samples(removal: str) -> list[Example]:
    """Prompts of 2 to 5 tokens; about half of each response is pruned; the gaps are 1 to 3 tokens wide."""
    rng = np.random.default_rng(0)
    made = []
    for number, length in enumerate(LENGTHS):
        ids = rng.integers(2, 97, 2 + number % 4 + length).tolist()
        kept = [i for i in range(length - 1) if i % 5 in (0, 3)] + [length - 1]
        made.append(build_example(number, ids[:-length], ids[-length:], kept, 1.0, removal))
    return made


def separate_nll(model: Any, rows: list[Example], with_positions: bool) -> float:
    """The summed NLL of the labels, each sample by itself through the whole model."""
    total = 0.0
    for example in rows:
        places = {"position_ids": torch.tensor([example.positions])} if with_positions else {}
        ids_1T = torch.tensor([example.ids])
        with torch.no_grad():
            logits_TV = model(input_ids=ids_1T, attention_mask=torch.ones_like(ids_1T), **places).logits[0]
        for place, label in enumerate(example.labels):
            if label >= 0:
                total -= float(logits_TV[place - 1].log_softmax(-1)[label])
    return total


SCORED = [family for family, row in rows_of_the_page().items() if row.scoring == "yes"]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_page_says_what_the_family_does(family: str) -> None:
    assert str(rows_of_the_page().get(family)) == str(measured(family)), (
        "PYTHONPATH=tests python -m support.model_families prints the table"
    )


@pytest.mark.parametrize("family", SCORED)
def test_scores_equal_those_of_each_sample_alone(family: str) -> None:
    """Rows padded on the right without a mask, as the scoring pass has them."""
    model, whole = build(family), samples("mask")
    length_N = np.array([len(example.ids) for example in whole])
    response_N = np.array(LENGTHS)
    ids_T = np.concatenate([example.ids for example in whole]).astype(np.int32)
    rows = Sequences(np.arange(len(whole)), length_N - response_N, response_N, np.zeros(len(whole), bool), ids_T)
    batch = pad(rows, np.arange(len(whole)), "cpu")
    with torch.no_grad():
        nll_R, _ = Head(model)(predicting_states(hidden_states(model, batch), batch), batch.targets_R)
    learned = [
        example._replace(labels=[-100] * (len(example.ids) - n) + example.ids[-n:])
        for example, n in zip(whole, LENGTHS, strict=True)
    ]
    assert float(nll_R.sum()) == pytest.approx(separate_nll(model, learned, with_positions=False), rel=TOLERANCE)


@pytest.mark.parametrize("removal", ["mask", "drop"])
@pytest.mark.parametrize("family", SCORED)
def test_a_padded_step_equals_its_samples_alone(family: str, removal: str) -> None:
    if removal == "drop" and not reads_positions(family):
        pytest.skip("refused: it reads no position ids")
    model, rows = padded(family), samples(removal)
    with torch.no_grad():
        loss = float(total_nll(model, collate(rows, packed=False)))
    assert loss == pytest.approx(separate_nll(model, rows, with_positions=removal == "drop"), rel=TOLERANCE)


def assert_same_gradients(example: Any, other: Any) -> None:
    """To 1e-4 of each parameter's largest entry. A key's bias and a lone expert's router are zero but for rounding."""
    gradients = [[p.grad for p in model.parameters() if p.grad is not None] for model in (example, other)]
    largest = max(float(gradient.abs().max()) for gradient in gradients[1])
    for actual, expected in zip(*gradients, strict=True):
        near = max(1e-4 * float(expected.abs().max()), 1e-6 * largest)
        torch.testing.assert_close(actual, expected, rtol=0, atol=near)


@pytest.mark.parametrize("removal", ["mask", "drop"])
@pytest.mark.parametrize("family", SCORED)
def test_a_packed_step_equals_the_padded_one(family: str, removal: str) -> None:
    if not measured_attention(family, packing=True).packed:
        pytest.skip("trained padded")
    packed, rows = build(family, PACKED), samples(removal)
    check_isolated(packed)
    losses = [total_nll(packed, collate(rows, packed=True)), total_nll(padded(family), collate(rows, packed=False))]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=TOLERANCE)
    for loss in losses:
        loss.backward()
    assert_same_gradients(packed, padded(family))
    padded(family).zero_grad()


@pytest.mark.parametrize("family", ["stablelm", "nemotron", "codegen", "recurrent_gemma", "falcon_h1", "lfm2"])
def test_a_family_that_is_not_packed_would_mix_samples(family: str) -> None:
    """What the modules tell without weights is what the weights do."""
    assert not measured_attention(family, packing=True).packed
    with refused(
        build(family, PACKED).config.model_type, "a packed sample sees the one before it", fix="packing: false"
    ):
        check_isolated(build(family, PACKED))


@pytest.mark.parametrize(
    ("family", "implementation", "reason"),
    [
        ("gptj", "eager", "its layers do not use the attention interface of transformers"),
        ("falcon", "sdpa", "its layers do not use the attention interface of transformers"),
        ("lfm2", "sdpa", "1 of its 2 layers do not use the attention interface"),
        ("stablelm", "sdpa", "its layers do not pass the borders of packed samples on"),
        ("gpt_oss", "eager", "its attention needs s_aux, which the packed attention does not compute"),
        ("mamba", "eager", "carry a state from token to token"),
    ],
)
def test_training_attention_falls_back_to_padding_with_a_reason(family: str, implementation: str, reason: str) -> None:
    attention = measured_attention(family, packing=True)
    assert attention.implementation == implementation
    assert reason in str(attention.padded_because)


def test_training_attention_without_packing_is_padded(tiny_model: Path) -> None:
    assert training_attention(tiny_model, packing=True) == TrainingAttention(PACKED)
    assert training_attention(tiny_model, packing=False) == TrainingAttention("sdpa", "training.packing is false")


def test_meta_model_has_the_full_size_and_no_memory(tmp_path: Path) -> None:
    from transformers import LlamaConfig

    LlamaConfig().save_pretrained(tmp_path)
    model = meta_model(tmp_path)
    assert sum(p.numel() for p in model.parameters()) > 6e9
    assert {p.device.type for p in model.parameters()} == {"meta"}
    assert check_trainable(tmp_path, Training(), {"drop"}) == "trained packed"


@pytest.mark.parametrize(
    ("family", "value", "fix"),
    [
        ("bloom", "position ids", "removal: mask"),
        ("falcon (ALiBi)", "position ids", "removal: mask"),
        ("cohere", "logit_scale 0.0625", "another model"),
        ("llama4_text", "get_decoder()", "another model"),
    ],
)
def test_check_trainable_refuses_from_the_configuration(family: str, value: str, fix: str, tmp_path: Path) -> None:
    with refused(family.split()[0], value, fix=fix):
        check_trainable(write_config(family, tmp_path), Training(), {"drop"})


def test_check_trainable_unbuildable_config_names_the_folder(tmp_path: Path) -> None:
    write_config("llama", tmp_path)
    file = tmp_path / "config.json"
    file.write_text(file.read_text().replace('"num_attention_heads": 4', '"num_attention_heads": 0'))
    with refused(tmp_path, "config.json", fix="another model"):
        check_trainable(tmp_path, Training(), set())


def test_score_refuses_drop_for_a_model_that_ignores_positions(tiny_model: Path, dataset: Path, tmp_path: Path) -> None:
    """Jamba takes position ids and does nothing with them: only its weights tell. Own data is scored all the same."""
    folder = write_model(tmp_path / "jamba", tiny_model, model_type="jamba", **FAMILIES["jamba"], vocab_size=300)
    with refused("jamba", "position ids", fix="removal: mask"):
        score(folder, dataset, tmp_path / "refused", SETTINGS, removals={"mask", "drop"})
    assert not (tmp_path / "refused").exists()
    score(folder, dataset, tmp_path / "scores", SETTINGS)


def test_a_model_that_sees_ahead_is_not_scored() -> None:
    with refused("xlnet", "its tokens see later ones", fix="another model"):
        Head(build("xlnet"))


def test_scoring_error_names_what_changes_the_logits(tmp_path: Path) -> None:
    for family in ("cohere", "cohere2", "gemma2", "recurrent_gemma"):
        assert "changes its logits" in str(scoring_error(meta_model(write_config(family, tmp_path / family))))
    assert scoring_error(meta_model(write_config("mpt", tmp_path / "mpt"))) is None


UNPACKED = {
    "bloom": {"model_type": "bloom", "n_layer": 2, "n_head": 4},
    "gptj": {"model_type": "gptj", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "rotary_dim": 4},
}


@pytest.fixture(scope="module", params=UNPACKED)
def unpacked(request: Any, tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, dataset: Path) -> Any:
    """(Folder of the model, of its scores) of an architecture that has neither SDPA nor packing."""
    folder = tmp_path_factory.mktemp(request.param)
    model = write_model(folder / "model", tiny_model, **UNPACKED[request.param])
    score(model, dataset, folder / "scores", SETTINGS)
    return model, folder / "scores"


@pytest.mark.usefixtures("warm")
def test_training_without_packing_and_sdpa(unpacked: Any, tmp_path: Path) -> None:
    """By default it is trained padded, and says so; `packing: false` gives the same weights."""
    model, scores = unpacked
    jobs = [
        run(tmp_path / str(packing), model, scores, method="lora", num_train_epochs=1, packing=packing)
        for packing in (True, False)
    ]
    attention = {"implementation": "eager", "packed": False}
    because = "its layers do not use the attention interface of transformers"
    assert [job["attention"] for job in jobs] == [
        attention | {"reason": because},
        attention | {"reason": "training.packing is false"},
    ]
    assert [job["training"]["packing"] for job in jobs] == [True, False]
    assert jobs[0]["weights"] == jobs[1]["weights"]
    assert jobs[0]["loss_curve"] == jobs[1]["loss_curve"]


@pytest.mark.usefixtures("warm")
def test_training_refuses_drop_without_position_ids(unpacked: Any, tmp_path: Path) -> None:
    model, scores = unpacked
    if "bloom" not in str(model):
        pytest.skip("gptj reads position ids")
    with refused("bloom", "position ids", fix="removal: mask"):
        run(tmp_path, model, scores, removal="drop")


@pytest.mark.slow
@pytest.mark.usefixtures("warm_workflow")
def test_workflow_refuses_drop_and_trains_with_mask(tiny_model: Path, tmp_path: Path) -> None:
    config = toy_config(tmp_path) | {
        "budgets": [{"sample_ratio": 1.0, "token_ratio": 0.5}],
        "variants": ["random+random"],
    }
    model = write_model(tmp_path / "bloom", tiny_model, **UNPACKED["bloom"])
    config |= {"models": {"m": {"path": str(model)}}, "references": ["full"]}
    target = "results/toy/trained/m/full/seed0/training.json"
    refused = snakemake(tmp_path, "--cores", "1", target, config=config | {"training": {"removal": "drop"}})
    assert refused.returncode != 0
    logs = [log.read_text() for log in (tmp_path / "results/toy/logs/score/m").glob("*.log")]
    assert any("bloom: does not read position ids" in log and "Traceback" not in log for log in logs)
    assert not list((tmp_path / "results/toy/scores").rglob("*.parquet"))
    done = snakemake(tmp_path, "--cores", "1", target, config=config | {"training": {"num_train_epochs": 1}})
    assert done.returncode == 0, done.stderr
    attention = read_json(tmp_path / target)["attention"]
    assert (attention["implementation"], attention["packed"]) == ("eager", False)
    assert (
        "trained padded with eager attention" in next((tmp_path / "results/toy/logs/score/m").glob("*.log")).read_text()
    )
